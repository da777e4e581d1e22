package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// Sending is what every command takes beside its values. The type is exported because huma skips the fields of others.
type Sending struct {
	Trial

	Key     key     `header:"Idempotency-Key" example:"6f9c2a1e-register-dan"`
	IfMatch ifMatch `header:"If-Match" example:"\"3\""`
}

func (in *Sending) options(ctx context.Context) (o commands.Options) {
	if in.DryRun {
		o.DryRun, o.At = new(dryrun.Outcome), eventsourcing.Version(in.At)
	}
	if in.Key != "" {
		o.Key, o.Fingerprint = string(in.Key), fingerprintOf(ctx)
	}
	if in.IfMatch != "" {
		match, _ := httpapi.ParseTags(string(in.IfMatch)) // Resolve has checked them
		o.AllowVersion = func(v eventsourcing.Version) bool { return match.HasVersion(v, false) }
	}
	return o
}

// Target is the input of a command whose address is an aggregate's, or part of one. The type is exported as Sending is.
type Target struct {
	restvalue.Target
	Sending

	IfNoneMatch ifNoneMatch `header:"If-None-Match" example:"*"`
}

func (in *Target) aggregateID() string { return string(in.ID) }

func (in *Target) options(ctx context.Context) commands.Options {
	o := in.Sending.options(ctx)
	if in.IfNoneMatch != "" {
		none, _ := httpapi.ParseTags(string(in.IfNoneMatch)) // Resolve has checked them
		allowed := o.AllowVersion
		o.AllowVersion = func(v eventsourcing.Version) bool {
			return (allowed == nil || allowed(v)) && !none.HasVersion(v, true)
		}
	}
	return o
}

// refuseIfNoneMatch refuses a POST that has the header. What it would be compared with is the POST's own target
// (https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2), which is a list; a client that sends it has the new aggregate in mind.
func refuseIfNoneMatch(c huma.Context, next func(huma.Context)) {
	if len(httpapi.HeadersOf(c, httpapi.IfNoneMatchHeader)) == 0 {
		next(c)
		return
	}
	p := httpapi.NewProblem(http.StatusBadRequest, httpapi.CodeMalformed, "a POST takes no If-None-Match")
	p.Errors = []httpapi.Field{{
		Location: "header." + httpapi.IfNoneMatchHeader,
		Message:  "would be about the list, which is what this request is sent to; leave it out: an id that exists is answered 409",
	}}
	p.Answer(c)
}

const (
	keyHeader     = "Idempotency-Key"
	ifMatchHeader = "If-Match"
)

// key is an Idempotency-Key.
type key string

// maxKey bounds a key, in bytes.
const maxKey = 255

// Schema implements huma.SchemaProvider.
func (key) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey), Pattern: "^[!-~]+$", PatternDescription: "visible ASCII characters",
		Description: "a name of your choice for this request: for 24 hours it is carried out once, and a repetition gets the first answer",
	}
}

// Resolve implements huma.ResolverWithPath.
func (k *key) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	keys := httpapi.HeadersOf(c, keyHeader)
	if len(keys) == 0 || len(keys) == 1 && httpapi.VisibleASCII(keys[0], maxKey) {
		return nil
	}
	return httpapi.Malformed(at, fmt.Errorf("want one key of 1 to %d visible ASCII characters", maxKey))
}

// ifMatch is the list of all If-Match headers: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1
type ifMatch string

// Schema implements huma.SchemaProvider.
func (ifMatch) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Description: "carry it out only at this ETag, or at one of these; * is any the aggregate can have",
	}
}

// Resolve implements huma.ResolverWithPath.
func (m *ifMatch) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	return httpapi.ResolveTags(c, at, ifMatchHeader, m)
}

// ifNoneMatch is the list of all If-None-Match headers: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
type ifNoneMatch string

// Schema implements huma.SchemaProvider.
func (ifNoneMatch) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Description: "do not carry it out at this ETag, or at one of these; *: only if the aggregate does not exist",
	}
}

// Resolve implements huma.ResolverWithPath.
func (m *ifNoneMatch) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	return httpapi.ResolveTags(c, at, httpapi.IfNoneMatchHeader, m)
}

// request is a huma.Context by another name, for that has a method Context.
type request huma.Context

// bodyHasher hashes the body while it is read; an operation without a body reads none.
type bodyHasher struct {
	request
	body hash.Hash
}

type hasherKey struct{}

// hashBody lets fingerprintOf see the body of a request that has a key.
func hashBody(c huma.Context, next func(huma.Context)) {
	if c.Header(keyHeader) != "" {
		h := &bodyHasher{request: c, body: sha256.New()}
		c = huma.WithValue(h, hasherKey{}, h)
	}
	next(c)
}

// BodyReader implements huma.Context.
func (h *bodyHasher) BodyReader() io.Reader { return io.TeeReader(h.request.BodyReader(), h.body) }

// Unwrap lets the adapter find its own context.
func (h *bodyHasher) Unwrap() huma.Context { return h.request }

// fingerprintOf distinguishes requests under one key: by method, path, conditions and the body's bytes as they came.
func fingerprintOf(ctx context.Context) string {
	h, ok := ctx.Value(hasherKey{}).(*bodyHasher)
	if !ok {
		return ""
	}
	url, sum := h.URL(), sha256.New()
	_, _ = fmt.Fprintf(sum, "%s %q %q ", h.Method(), url.EscapedPath(), httpapi.HeadersOf(h.request, ifMatchHeader)) // a hash never fails
	// Former builds ignored it.
	if none := httpapi.HeadersOf(h.request, httpapi.IfNoneMatchHeader); len(none) > 0 {
		_, _ = fmt.Fprintf(sum, "%q ", none)
	}
	_, _ = sum.Write(h.body.Sum(nil))
	return hex.EncodeToString(sum.Sum(nil))
}
