package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// ETag returns a version as an entity tag, "3".
func ETag(v eventsourcing.Version) string { return fmt.Sprintf("\"%d\"", v) }

// contentTag returns the entity tag of an answer, such as "3-0bJ7sXq2Vw9Y": of the version, by which commands compare it, and of
// what is shown, because that has more than the version's: the names of other aggregates, or what another build shows.
func contentTag(v eventsourcing.Version, shown any) string {
	text, err := json.Marshal(shown)
	if err != nil {
		panic(err) // huma is about to encode the same
	}
	sum := sha256.Sum256(text)
	return fmt.Sprintf("\"%d-%s\"", v, base64.RawURLEncoding.EncodeToString(sum[:9]))
}

// Tags are the entity tags of an If-Match or If-None-Match: https://www.rfc-editor.org/rfc/rfc9110#section-13.1
type Tags struct {
	any          bool
	strong, weak []string
}

// ParseTags takes "*" or a list of entity tags.
func ParseTags(list string) (t Tags, err error) {
	list = strings.Trim(list, " \t,")
	if list == "*" {
		return Tags{any: true}, nil
	}
	for first := true; first || list != ""; first = false {
		unprefixed, weak := strings.CutPrefix(list, "W/")
		opaque, quoted := strings.CutPrefix(unprefixed, `"`)
		tag, rest, closed := strings.Cut(opaque, `"`)
		list = strings.TrimLeft(rest, " \t,")
		if !quoted || !closed || list != "" && !strings.Contains(rest[:len(rest)-len(list)], ",") {
			return Tags{}, errors.New(`want * or tags with commas between them, such as "3"`)
		}
		if weak {
			t.weak = append(t.weak, `"`+tag+`"`)
		} else {
			t.strong = append(t.strong, `"`+tag+`"`)
		}
	}
	return t, nil
}

// HasVersion reports whether the version of an aggregate that exists is among the tags, each as ETag or a read gave it. A weak tag
// never is where the comparison is strong: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3.2
func (t Tags) HasVersion(v eventsourcing.Version, weakly bool) bool {
	is := func(tag string) bool {
		version, _, content := strings.Cut(tag, "-")
		return tag == ETag(v) || content && version+`"` == ETag(v)
	}
	return v > 0 && (t.any || slices.ContainsFunc(t.strong, is) || weakly && slices.ContainsFunc(t.weak, is))
}

// has reports whether the tag is among the tags, compared weakly.
func (t Tags) has(tag string) bool {
	return t.any || slices.Contains(t.strong, tag) || slices.Contains(t.weak, tag)
}

// ResolveTags stores all the request's headers of that name in target, as one list, or returns that they are malformed.
func ResolveTags[T ~string](c huma.Context, at *huma.PathBuffer, header string, target *T) []error {
	lists := HeadersOf(c, header)
	if len(lists) == 0 {
		return nil
	}
	*target = T(strings.Join(lists, ","))
	if _, err := ParseTags(string(*target)); err != nil {
		return Malformed(at, err)
	}
	return nil
}

// HeadersOf returns all headers of that name; huma's own would be the first.
func HeadersOf(c huma.Context, header string) []string {
	r, _ := humachi.Unwrap(c)
	return r.Header.Values(header)
}

// malformedHeader makes the whole request a 400.
type malformedHeader struct{ detail huma.ErrorDetail }

// Malformed returns what a Resolve returns for a header that is not as it should be.
func Malformed(at *huma.PathBuffer, err error) []error {
	return []error{&malformedHeader{huma.ErrorDetail{Location: at.String(), Message: err.Error()}}}
}

func (e *malformedHeader) Error() string { return e.detail.Error() }

// ErrorDetail implements huma.ErrorDetailer.
func (e *malformedHeader) ErrorDetail() *huma.ErrorDetail { return &e.detail }

// GetStatus implements huma.StatusError.
func (*malformedHeader) GetStatus() int { return http.StatusBadRequest }

// IfNoneMatchHeader is the header by which a client says what it has already.
const IfNoneMatchHeader = "If-None-Match"

// Known is the If-None-Match of a read. Inputs of reads that answer with One embed it.
type Known struct {
	IfNoneMatch ifNoneMatch `header:"If-None-Match" example:"\"2-0bJ7sXq2Vw9Y\""`
}

// ifNoneMatch is the list of all If-None-Match headers: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
type ifNoneMatch string

// Schema implements huma.SchemaProvider.
func (ifNoneMatch) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Description: "answer 304, without a body, if the ETag is this, or one of these; *: if there is anything to show",
	}
}

// Resolve implements huma.ResolverWithPath.
func (m *ifNoneMatch) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	return ResolveTags(c, at, IfNoneMatchHeader, m)
}

// One is the answer of a read of one aggregate: 200 with it, or 304 if the client has just that.
type One[T any] struct {
	Status int
	ETag   string `header:"ETag" doc:"the version, and a hash of what is shown; If-Match takes it, too" example:"\"3-0bJ7sXq2Vw9Y\""`
	Body   T
}

// Show answers a read with what is shown of an aggregate at that version. It comes last: a precondition counts only where the
// answer would be 200 without it (https://www.rfc-editor.org/rfc/rfc9110#section-13.2.1).
func Show[T any](in Known, v eventsourcing.Version, shown T) *One[T] {
	one := &One[T]{Status: http.StatusOK, ETag: contentTag(v, shown), Body: shown}
	if known, _ := ParseTags(string(in.IfNoneMatch)); known.has(one.ETag) { // Resolve has checked them
		one.Status = http.StatusNotModified
	}
	return one
}
