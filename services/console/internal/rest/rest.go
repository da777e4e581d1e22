// Package rest speaks to the REST API in the name of who reads the console.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// API answers requests. It is safe for concurrent use.
type API interface {
	// Send returns an error where there is no answer.
	Send(ctx context.Context, r Request) (Answer, error)
}

// Request is one of the API.
type Request struct {
	Method string
	// Path has the query with it.
	Path   string
	Header http.Header
	// Body is sent as JSON. Nil: there is none.
	Body any
}

// Get is the request that reads a path.
func Get(path string) Request { return Request{Method: http.MethodGet, Path: path} }

// Answer is what the API says.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports whether the API did as asked.
func (a Answer) OK() bool { return a.Status < http.StatusMultipleChoices }

// Problem is why it did not. The code of what is no problem document is empty.
func (a Answer) Problem() (p httpapi.Problem) {
	if json.Unmarshal(a.Body, &p) != nil || p.Code == "" {
		return httpapi.Problem{Status: a.Status, Detail: fmt.Sprintf("the API answers %d without saying why", a.Status)}
	}
	return p
}

type tokenKey struct{}

// WithToken returns a context whose requests carry a bearer token.
func WithToken(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, tokenKey{}, token)
}

// Client is an API at an address.
type Client struct {
	at   func() string
	http *http.Client
}

// longest bounds an answer's time and size.
const (
	longest   = 10 * time.Second
	maxAnswer = 4 << 20
)

// NewClient returns the API at the URL that at returns, reached by that transport. Nil: the network.
func NewClient(at func() string, by http.RoundTripper) *Client {
	return &Client{at, &http.Client{Timeout: longest, Transport: by}}
}

// Send implements API.
func (c *Client) Send(ctx context.Context, r Request) (Answer, error) {
	var body io.Reader = http.NoBody
	if r.Body != nil {
		text, err := json.Marshal(r.Body)
		if err != nil {
			return Answer{}, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, c.at()+r.Path, body)
	if err != nil {
		return Answer{}, err
	}
	if r.Header != nil {
		request.Header = r.Header.Clone()
	}
	if r.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token, ok := ctx.Value(tokenKey{}).(string); ok {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = answer.Body.Close() }() // of a reader
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	return Answer{answer.StatusCode, answer.Header, text}, err
}

// Collection is where the API has the aggregates of a category, such as "users"; "" if nowhere.
func Collection(category string) string {
	for _, p := range (topology.Names{}).Projections() {
		if p.Categories[0] == category { // its own; others are shown with it
			return p.Collection
		}
	}
	return ""
}
