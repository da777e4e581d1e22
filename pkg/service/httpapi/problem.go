package httpapi

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// Problem is every error answer (RFC 9457). Code is stable and meant for programs, Detail for people. It never holds
// anything internal.
type Problem struct {
	Type   string  `json:"type" format:"uri-reference" doc:"where the code is explained, a relative reference" example:"/problems/invalid"`
	Title  string  `json:"title" doc:"the HTTP status in words" example:"Unprocessable Entity"`
	Status int     `json:"status" minimum:"400" maximum:"599" doc:"the HTTP status" example:"422"`
	Code   string  `json:"code" pattern:"^[a-z_]+$" doc:"what went wrong, for programs" example:"invalid"`
	Detail string  `json:"detail,omitempty" doc:"what went wrong, for people" example:"the request has invalid parts"`
	Errors []Field `json:"errors,omitempty" nullable:"false" maxItems:"50" doc:"every part of the request that is wrong, each once"`

	header http.Header
}

// Field says what is wrong with one part of the request.
type Field struct {
	Location string `json:"location" doc:"where" example:"body.email"`
	Message  string `json:"message" doc:"what is wrong with it" example:"is missing"`
}

// NewProblem returns a problem of that status and code.
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "/problems/" + code, Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// With adds a header to the answer.
func (p *Problem) With(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// RetryAfter says when the client may try again, in whole seconds.
func (p *Problem) RetryAfter(wait time.Duration) *Problem {
	return p.With("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ServeHTTP answers with the problem, outside of huma.
func (p *Problem) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = huma.DefaultJSONFormat.Marshal(w, p) // the client may have gone
}

// Answer answers with the problem from a middleware of huma's.
func (p *Problem) Answer(c huma.Context) {
	r, w := humachi.Unwrap(c)
	p.ServeHTTP(w, r)
}
