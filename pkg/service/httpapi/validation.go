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
	default:
		return internal()
	}
}

// withFields names each wrong part once. Where a rule of the domain and the schema both complain, the rule's words stay. Of a
// value that is wrong as a whole, no part is named: what is said of those comes of their being absent.
func withFields(p *Problem, errs []*huma.ErrorDetail) *Problem {
	for _, e := range errs[:min(len(errs), maxFields)] {
		p.Errors = append(p.Errors, fieldOf(e))
	}
	slices.SortStableFunc(p.Errors, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Location, b.Location), cmp.Compare(a.bySchema(), b.bySchema()))
	})
	p.Errors = slices.CompactFunc(p.Errors, func(a, b Field) bool { return a.Location == b.Location })
	whole := slices.Clone(p.Errors)
	p.Errors = slices.DeleteFunc(p.Errors, func(part Field) bool {
		return slices.ContainsFunc(whole, func(f Field) bool {
			return f.Message != hasUnexpected && strings.HasPrefix(part.Location, f.Location+".")
		})
	})
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
		return unexpected(e.Location)
	}
	return Field{Location: e.Location, Message: e.Message}
}

const hasUnexpected = "has an unexpected part, whose name is not repeated here"

// unexpected names what a client has sent without need, unless its name might hold anything, such as an e-mail address: answers
// are kept in logs that are not ours.
func unexpected(location string) Field {
	parts := strings.Split(location, ".")
	odd := slices.IndexFunc(parts, func(part string) bool {
		return part == "" || len(part) > 40 || strings.ContainsFunc(part, func(r rune) bool {
			return !strings.ContainsRune("_-[]", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		})
	})
	if odd > 0 {
		return Field{Location: strings.Join(parts[:odd], "."), Message: hasUnexpected}
	}
	return Field{Location: location, Message: "unexpected"}
}
