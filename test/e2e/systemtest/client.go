package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Client sends requests to an API.
type Client struct {
	HTTP *http.Client
	// Base is the address, such as "http://127.0.0.1:8080".
	Base string
}

// Request is one request of the API.
type Request struct {
	Method, Path string
	// Body goes out as JSON; a string goes out as it is, and nil as no body.
	Body any
	// Correlation is its ID. Defaults to none sent.
	Correlation string
	// ContentType is the body's. Defaults to application/json.
	ContentType string
	// Header holds further headers. Defaults to none.
	Header http.Header
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Receipt is the answer to an accepted command.
type Receipt struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
}

// Problem is the answer to a request that failed.
type Problem = httpapi.Problem

// Decode reads the answer's JSON.
func Decode[T any](a Answer) (v T, err error) {
	if err = json.Unmarshal(a.Body, &v); err != nil {
		err = fmt.Errorf("decode %q: %w", a.Body, err)
	}
	return v, err
}

// Do sends a request. It returns an error if no answer came back.
func (c Client) Do(ctx context.Context, in Request) (Answer, error) {
	var body io.Reader = http.NoBody
	switch b := in.Body.(type) {
	case nil:
	case string:
		body = bytes.NewReader([]byte(b))
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return Answer{}, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, in.Method, c.Base+in.Path, body)
	if err != nil {
		return Answer{}, err
	}
	maps.Copy(req.Header, in.Header)
	if in.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if in.ContentType != "" {
		req.Header.Set("Content-Type", in.ContentType)
	}
	if in.Correlation != "" {
		req.Header.Set(httpapi.CorrelationHeader, in.Correlation)
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }() // read to its end below
	text, err := io.ReadAll(res.Body)
	return Answer{Status: res.StatusCode, Header: res.Header, Body: text}, err
}
