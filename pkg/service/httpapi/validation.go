package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// maxFields bounds the answer to a request that is wrong all over.
const maxFields = 50

// problemOfHuma turns what huma itself answers (validation, content negotiation) into a Problem. It echoes no values.
func problemOfHuma(m *huma.ErrorModel) *Problem {
	switch m.Status {
	case http.StatusBadRequest:
		return withFields(NewProblem(m.Status, CodeMalformed, "the request cannot be read"), m.Errors)
	case http.StatusUnprocessableEntity:
		return withFields(NewProblem(m.Status, CodeInvalid, "the request has invalid parts"), m.Errors)
	case http.StatusUnsupportedMediaType:
		return NewProblem(m.Status, CodeUnsupportedMediaType, "send application/json")
	case http.StatusRequestEntityTooLarge:
		return NewProblem(m.Status, CodeTooLarge, m.Detail)
	case http.StatusRequestTimeout:
		return NewProblem(m.Status, CodeTimeout, m.Detail)
	default:
		return internal()
	}
}

// withFields names each wrong part once. Where a rule of the domain and the schema both complain, the rule's words stay.
func withFields(p *Problem, errs []*huma.ErrorDetail) *Problem {
	for _, e := range errs[:min(len(errs), maxFields)] {
		p.Errors = append(p.Errors, fieldOf(e))
	}
	slices.SortStableFunc(p.Errors, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Location, b.Location), cmp.Compare(a.bySchema(), b.bySchema()))
	})
	p.Errors = slices.CompactFunc(p.Errors, func(a, b Field) bool { return a.Location == b.Location })
	return p
}

// bySchema is 1 for what huma says of a text's pattern or length, else 0.
func (f Field) bySchema() int {
	if strings.HasPrefix(f.Message, "expected string to ") || strings.HasPrefix(f.Message, "expected length ") {
		return 1
	}
	return 0
}

// fieldOf places a missing member where it is missing; huma reports it at its parent.
func fieldOf(e *huma.ErrorDetail) Field {
	var member string
	if _, err := fmt.Sscanf(e.Message, validation.MsgExpectedRequiredProperty, &member); err == nil {
		return Field{Location: e.Location + "." + member, Message: "is missing"}
	}
	if e.Message == validation.MsgUnexpectedProperty {
		return Field{Location: identifiersOf(e.Location), Message: e.Message}
	}
	return Field{Location: e.Location, Message: e.Message}
}

// identifiersOf cuts a location off before the first part that is no identifier: a client may send any text as a
// member's name, an e-mail address for instance.
func identifiersOf(location string) string {
	parts := strings.Split(location, ".")
	odd := slices.IndexFunc(parts, func(part string) bool {
		return len(part) > 40 || strings.ContainsFunc(part, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		})
	})
	if odd > 0 {
		return strings.Join(parts[:odd], ".")
	}
	return location
}
