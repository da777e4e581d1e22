package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// Names of the headers that every command takes.
const (
	keyHeader     = "Idempotency-Key"
	ifMatchHeader = "If-Match"
)

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

// Headers are what every command takes beside its deed. Its name is exported for huma to find it.
type Headers struct {
	Key     string `header:"Idempotency-Key" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" patternDescription:"visible ASCII characters" doc:"a name of your choice for this request: for 24 hours it is carried out once, and a repetition gets the first answer" example:"6f9c2a1e-register-dan"`
	IfMatch string `header:"If-Match" doc:"carry it out only at this ETag, or at one of these; * is any the aggregate can have" example:"\"3\""`

	demand commands.Demand
}

func (in *Headers) asked() *commands.Demand { return &in.demand }

// Resolve implements huma.Resolver.
func (in *Headers) Resolve(c huma.Context) []error {
	var keys, tags []string
	c.EachHeader(func(name, value string) {
		switch http.CanonicalHeaderKey(name) {
		case keyHeader:
			keys = append(keys, value)
		case ifMatchHeader:
			tags = append(tags, value)
		}
	})
	var errs []error
	if len(tags) > 0 {
		holds, err := parseIfMatch(strings.Join(tags, ","))
		errs = append(errs, malformed(ifMatchHeader, err))
		in.demand.Holds = holds
	}
	if len(keys) > 0 {
		key, err := parseKey(keys)
		errs = append(errs, malformed(keyHeader, err))
		in.demand.Key, in.demand.Fingerprint = key, fingerprint(c, tags)
	}
	return httpapi.Faults(errs...)
}

func parseKey(keys []string) (string, error) {
	key := keys[0]
	if len(keys) > 1 || !httpapi.VisibleASCII(key, maxKey) {
		return "", fmt.Errorf("want one key of 1 to %d visible ASCII characters", maxKey)
	}
	return key, nil
}

// parseIfMatch takes "*" or a list of strong entity tags: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1
// A weak one never matches, so it is refused as the mistake it must be.
func parseIfMatch(list string) (holds func(eventsourcing.Version) bool, err error) {
	list = strings.Trim(list, " \t,")
	if list == "*" {
		return func(v eventsourcing.Version) bool { return v > 0 }, nil
	}
	var tags []string
	for separated := true; list != "" || len(tags) == 0; {
		opaque, quoted := strings.CutPrefix(list, `"`)
		end := strings.IndexByte(opaque, '"')
		if !separated || !quoted || end < 0 {
			return nil, errors.New(`want * or strong tags with commas between them, such as "3"`)
		}
		tags = append(tags, list[:end+2])
		rest := strings.TrimLeft(opaque[end+1:], " \t")
		list = strings.TrimLeft(rest, " \t,")
		separated = len(list) < len(rest)
	}
	return func(v eventsourcing.Version) bool { return v > 0 && slices.Contains(tags, httpapi.ETag(v)) }, nil
}

// malformedHeader makes the whole request a 400.
type malformedHeader struct{ detail huma.ErrorDetail }

func (e *malformedHeader) Error() string { return e.detail.Error() }

// ErrorDetail implements huma.ErrorDetailer.
func (e *malformedHeader) ErrorDetail() *huma.ErrorDetail { return &e.detail }

// GetStatus implements huma.StatusError.
func (*malformedHeader) GetStatus() int { return http.StatusBadRequest }

func malformed(header string, err error) error {
	if err == nil {
		return nil
	}
	return &malformedHeader{huma.ErrorDetail{Location: "header." + header, Message: err.Error()}}
}

// Target is what every command on an aggregate that is there already takes. Its name is exported for huma to find it.
type Target struct {
	httpapi.AggregateID
	Headers
}

// Resolve implements huma.Resolver.
func (in *Target) Resolve(c huma.Context) []error {
	return append(in.AggregateID.Resolve(c), in.Headers.Resolve(c)...)
}

// fingerprint tells requests under one key apart: by method, path, conditions and the body's bytes as they came.
func fingerprint(c huma.Context, ifMatch []string) string {
	url, sum := c.URL(), sha256.New()
	_, _ = fmt.Fprintf(sum, "%s %q %q ", c.Method(), url.EscapedPath(), ifMatch) // a hash takes everything
	if w, ok := c.(*witness); ok {
		_, _ = sum.Write(w.body.Sum(nil))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// request is a huma.Context by another name, for that has a method Context.
type request huma.Context

// witness hashes the body on its way to whoever reads it; an operation without a body reads none.
type witness struct {
	request
	body hash.Hash
}

// BodyReader implements huma.Context.
func (w *witness) BodyReader() io.Reader { return io.TeeReader(w.request.BodyReader(), w.body) }

// Unwrap lets the adapter find its own context.
func (w *witness) Unwrap() huma.Context { return w.request }

// watchBody lets fingerprint see the body of a request that has a key.
func watchBody(c huma.Context, next func(huma.Context)) {
	if c.Header(keyHeader) != "" {
		c = &witness{request: c, body: sha256.New()}
	}
	next(c)
}
