package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

// Codes of problems that no domain declares. A domain's refusals bring their own.
const (
	CodeMalformed            = "malformed"
	CodeInvalid              = "invalid"
	CodeUnauthenticated      = "unauthenticated"
	CodeForbidden            = "forbidden"
	CodeNotFound             = "not_found"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeTimeout              = "timeout"
	CodeTooLarge             = "too_large"
	CodeUnsupportedMediaType = "unsupported_media_type"
	CodeBusy                 = "busy"
	CodeUnavailable          = "unavailable"
	CodeInternal             = "internal"
	CodeNotYet               = "not_yet"
	CodeBadCursor            = "bad_cursor"
	CodeHeaderTooLarge       = "header_too_large"
	CodeTooManyRequests      = "too_many_requests"
)

// Problem is every error answer (RFC 9457). Code is stable and meant for programs, Detail for people. It never holds
// anything internal.
type Problem struct {
	Type   string  `json:"type" format:"uri-reference" doc:"where the code is explained, relative to the request's address" example:"/problems/invalid"`
	Title  string  `json:"title" doc:"the HTTP status in words" example:"Unprocessable Entity"`
	Status int     `json:"status" minimum:"400" maximum:"599" doc:"the HTTP status" example:"422"`
	Code   string  `json:"code" pattern:"^[a-z_]+$" doc:"what went wrong, for programs" example:"invalid"`
	Detail string  `json:"detail,omitempty" doc:"what went wrong, for people" example:"the request has invalid parts"`
	Errors []Field `json:"errors,omitempty" nullable:"false" maxItems:"50" doc:"every part of the request that is wrong, each once"`

	retryAfter int // seconds; 0: no header
}

// Field says what is wrong with one part of the request.
type Field struct {
	Location string `json:"location" doc:"where" example:"body.email"`
	Message  string `json:"message" doc:"what is wrong with it" example:"is missing"`
}

// NewProblem returns a problem of that status and code.
func NewProblem(status int, code, detail string, fields ...Field) *Problem {
	return &Problem{
		Type: "/problems/" + code, Title: http.StatusText(status),
		Status: status, Code: code, Detail: detail, Errors: fields,
	}
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return h
}

// ServeHTTP answers with the problem, outside of huma.
func (p *Problem) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may have gone
}

// ProblemOf turns an error of our own into its answer: the one place where errors meet HTTP. Whatever it does not know
// becomes an "internal" that tells nothing.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if r, ok := errors.AsType[*eventsourcing.Refusal](err); ok {
		return NewProblem(statusOf(r.Kind), r.Code, r.Reason)
	}
	if c, ok := errors.AsType[*eventsourcing.ClaimTakenError](err); ok {
		return NewProblem(http.StatusConflict, c.Code(), "another one has this "+c.Claim.Name)
	}
	switch {
	case errors.Is(err, projection.ErrBadCursor):
		return NewProblem(http.StatusBadRequest, CodeBadCursor, "the cursor is of another list, or of none")
	case errors.Is(err, projection.ErrNotYet):
		p := NewProblem(http.StatusPreconditionFailed, CodeNotYet, "the read model has not come to that version yet; ask again")
		p.retryAfter = 1
		return p
	case errors.Is(err, eventsourcing.ErrConflict), errors.Is(err, eventsourcing.ErrGuardMoved):
		p := NewProblem(http.StatusConflict, CodeBusy, "too many changes at once; try again")
		p.retryAfter = 1
		return p
	case errors.Is(err, eventsourcing.ErrTooLarge):
		return NewProblem(http.StatusRequestEntityTooLarge, CodeTooLarge, "the change is larger than can be stored")
	case errors.Is(err, eventsourcing.ErrUnavailable), errors.Is(err, projection.ErrThrottled), awsAway(err),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p := NewProblem(http.StatusServiceUnavailable, CodeUnavailable, "not possible right now; try again later")
		p.retryAfter = 1
		return p
	default:
		return NewProblem(http.StatusInternalServerError, CodeInternal, "something went wrong on our side")
	}
}

// awsAway says whether a call of AWS got no answer, or one that blames the server's side or the load on it.
func awsAway(err error) bool {
	if _, ok := errors.AsType[*smithy.OperationError](err); !ok {
		return false
	}
	if _, answered := errors.AsType[smithy.APIError](err); !answered {
		return true
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && response.HTTPStatusCode() >= http.StatusInternalServerError || awsconfig.Throttled(err)
}

func statusOf(k eventsourcing.Kind) int {
	switch k {
	case eventsourcing.Invalid:
		return http.StatusUnprocessableEntity
	case eventsourcing.NotFound:
		return http.StatusNotFound
	case eventsourcing.Denied:
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// maxFields bounds the answer to a request that is wrong all over.
const maxFields = 50

// problemOfHuma turns what huma itself answers (validation, content negotiation) into a Problem. It echoes no values.
func problemOfHuma(m *huma.ErrorModel) *Problem {
	var code string
	detail := m.Detail
	switch m.Status {
	case http.StatusBadRequest:
		code, detail = CodeMalformed, "the request cannot be read"
	case http.StatusUnprocessableEntity:
		code, detail = CodeInvalid, "the request has invalid parts"
	case http.StatusUnsupportedMediaType:
		code, detail = CodeUnsupportedMediaType, "send application/json"
	case http.StatusRequestEntityTooLarge:
		code = CodeTooLarge
	case http.StatusRequestTimeout:
		code = CodeTimeout
	default:
		return NewProblem(http.StatusInternalServerError, CodeInternal, "something went wrong on our side")
	}
	p := NewProblem(m.Status, code, detail)
	if m.Status != http.StatusBadRequest && m.Status != http.StatusUnprocessableEntity {
		return p
	}
	for _, e := range m.Errors[:min(len(m.Errors), maxFields)] {
		p.Errors = append(p.Errors, fieldOf(e))
	}
	slices.SortStableFunc(p.Errors, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Location, b.Location), cmp.Compare(a.rank(), b.rank()))
	})
	p.Errors = slices.CompactFunc(p.Errors, func(a, b Field) bool { return a.Location == b.Location }) // the first says why
	return p
}

// rank puts what huma says of a text's pattern or length last: the domain, if it minds too, says it better.
func (f Field) rank() int {
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
		return Field{Location: namable(e.Location), Message: e.Message}
	}
	return Field{Location: e.Location, Message: e.Message}
}

// namable cuts a location off before what is no identifier: a stranger's member may be called by an e-mail address.
func namable(location string) string {
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
