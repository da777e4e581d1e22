package rest

import (
	"context"
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
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// Headers are what every command takes beside its values. The type is exported because huma skips the fields of others.
type Headers struct {
	Key         key         `header:"Idempotency-Key" example:"6f9c2a1e-register-dan"`
	IfMatch     ifMatch     `header:"If-Match" example:"\"3\""`
	IfNoneMatch ifNoneMatch `header:"If-None-Match" example:"*"`
}

func (in *Headers) options(ctx context.Context) (o commands.Options) {
	if in.Key != "" {
		o.Key, o.Fingerprint = string(in.Key), fingerprintOf(ctx)
	}
	if in.IfMatch != "" || in.IfNoneMatch != "" {
		match, _ := parseTags(string(in.IfMatch)) // Resolve has checked them
		none, _ := parseTags(string(in.IfNoneMatch))
		o.AllowVersion = func(v eventsourcing.Version) bool {
			return (in.IfMatch == "" || match.has(v, false)) && !none.has(v, true)
		}
	}
	return o
}

const (
	keyHeader         = "Idempotency-Key"
	ifMatchHeader     = "If-Match"
	ifNoneMatchHeader = "If-None-Match"
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
	keys := valuesOf(c, keyHeader)
	if len(keys) == 0 || len(keys) == 1 && httpapi.VisibleASCII(keys[0], maxKey) {
		return nil
	}
	return malformed(at, fmt.Errorf("want one key of 1 to %d visible ASCII characters", maxKey))
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
	return resolveTags(c, at, ifMatchHeader, m)
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
	return resolveTags(c, at, ifNoneMatchHeader, m)
}

func resolveTags[T ~string](c huma.Context, at *huma.PathBuffer, header string, target *T) []error {
	lists := valuesOf(c, header)
	if len(lists) == 0 {
		return nil
	}
	*target = T(strings.Join(lists, ","))
	if _, err := parseTags(string(*target)); err != nil {
		return malformed(at, err)
	}
	return nil
}

// tags are entity tags, or any.
type tags struct {
	any          bool
	strong, weak []string
}

// parseTags takes "*" or a list of entity tags.
func parseTags(list string) (t tags, err error) {
	list = strings.Trim(list, " \t,")
	if list == "*" {
		return tags{any: true}, nil
	}
	for first := true; first || list != ""; first = false {
		unprefixed, weak := strings.CutPrefix(list, "W/")
		opaque, quoted := strings.CutPrefix(unprefixed, `"`)
		tag, rest, closed := strings.Cut(opaque, `"`)
		list = strings.TrimLeft(rest, " \t,")
		if !quoted || !closed || list != "" && !strings.Contains(rest[:len(rest)-len(list)], ",") {
			return tags{}, errors.New(`want * or tags with commas between them, such as "3"`)
		}
		if weak {
			t.weak = append(t.weak, `"`+tag+`"`)
		} else {
			t.strong = append(t.strong, `"`+tag+`"`)
		}
	}
	return t, nil
}

// has reports whether the version of an aggregate that exists is among the tags. A weak tag never is where the comparison is strong.
func (t tags) has(v eventsourcing.Version, weakly bool) bool {
	return v > 0 && (t.any || slices.Contains(t.strong, httpapi.ETag(v)) || weakly && slices.Contains(t.weak, httpapi.ETag(v)))
}

func valuesOf(c huma.Context, header string) []string {
	r, _ := humachi.Unwrap(c)
	return r.Header.Values(header)
}

// malformedHeader makes the whole request a 400.
type malformedHeader struct{ detail huma.ErrorDetail }

func malformed(at *huma.PathBuffer, err error) []error {
	return []error{&malformedHeader{huma.ErrorDetail{Location: at.String(), Message: err.Error()}}}
}

func (e *malformedHeader) Error() string { return e.detail.Error() }

// ErrorDetail implements huma.ErrorDetailer.
func (e *malformedHeader) ErrorDetail() *huma.ErrorDetail { return &e.detail }

// GetStatus implements huma.StatusError.
func (*malformedHeader) GetStatus() int { return http.StatusBadRequest }

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
	_, _ = fmt.Fprintf(sum, "%s %q %q ", h.Method(), url.EscapedPath(), valuesOf(h.request, ifMatchHeader)) // a hash never fails
	if none := valuesOf(h.request, ifNoneMatchHeader); len(none) > 0 {                                      // former builds ignored it
		_, _ = fmt.Fprintf(sum, "%q ", none)
	}
	_, _ = sum.Write(h.body.Sum(nil))
	return hex.EncodeToString(sum.Sum(nil))
}
