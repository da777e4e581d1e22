package httpapi

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Info is what the OpenAPI document and the /problems pages say of the product.
type Info struct {
	Title, Description string
	License            *huma.License
	// Note is what the front page says, too, of the process that serves it. Defaults to nothing.
	Note string
	// Walk is what to type first, in a shell; {address} stands for the host and port that the page was asked of. Defaults to none.
	Walk string
	// Links are what the front page leads to besides the API's own pages. Default to none.
	Links []Link
	// ExampleIDs are the ids that examples show, by the first segment of the path, such as "users".
	ExampleIDs map[string]string
	// Unique are members of bodies whose values have to be new: /docs changes their examples. Default to none.
	Unique []string
	// Refusals are those of all the product's services. Each service explains all, because a reverse proxy sends
	// /problems to only one of them.
	Refusals []*eventsourcing.Refusal
}

// Link leads to a page.
type Link struct{ Address, Name, Means string }

// Entry explains a code at /problems. Its texts are Markdown limited to `code` spans.
type Entry struct {
	Code   string `json:"code"`
	Status int    `json:"status"`
	// Meaning says what is wrong, Remedy what a client can do about it.
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy"`
	// Transient says that it may pass by itself: the answer has Retry-After.
	Transient bool `json:"passes"`
}

// Problems returns every problem that a service of the product may answer with, by status and code.
func (i Info) Problems() []Entry {
	all := ownProblems()
	for _, r := range i.Refusals {
		all = append(all, Entry{
			Code: r.Code, Status: statusOf(r.Kind), Meaning: r.Reason, Remedy: r.Remedy, Transient: r.Kind == eventsourcing.NotReady,
		})
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code)) })
	return all
}

// Codes of the problems that this package declares. Refusals bring their own.
const (
	CodeMalformed            = "malformed"
	CodeBadCursor            = "bad_cursor"
	CodeUnauthenticated      = "unauthenticated"
	CodeForbidden            = "forbidden"
	CodeNotFound             = "not_found"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeTimeout              = "timeout"
	CodeBusy                 = "busy"
	CodeNotYet               = "not_yet"
	CodePreconditionFailed   = "precondition_failed"
	CodeTooLarge             = "too_large"
	CodeUnsupportedMediaType = "unsupported_media_type"
	CodeInvalid              = "invalid"
	CodeTooManyRequests      = "too_many_requests"
	CodeHeaderTooLarge       = "header_too_large"
	CodeInternal             = "internal"
	CodeLogHole              = "log_hole"
	CodeResultUnreadable     = "result_unreadable"
	CodeRowUnreadable        = "row_unreadable"
	CodeUnavailable          = "unavailable"
	CodeUnknownEvent         = "unknown_event"
)

func ownProblems() []Entry {
	return []Entry{
		{
			Code: CodeMalformed, Status: http.StatusBadRequest, Remedy: "correct the request",
			Meaning: "the body is missing, broken off, or is not JSON in UTF-8, repeats a member or is nested too deeply; or the " +
				"query is not well encoded; or `If-Match`, `If-None-Match` or `Idempotency-Key` is not as it should be, or a POST has " +
				"`If-None-Match`",
		},
		{
			Code: CodeBadCursor, Status: http.StatusBadRequest, Remedy: "take the cursor from the `Link` of the page before, and keep its filter",
			Meaning: "the cursor was made for another list, or for none",
		},
		{
			Code: CodeUnauthenticated, Status: http.StatusUnauthorized, Remedy: "get a token from the issuer and send it as `Authorization: Bearer`",
			Meaning: "there is no bearer token, or one that is not valid here, such as one that has expired; `WWW-Authenticate` says which",
		},
		{
			Code: CodeForbidden, Status: http.StatusForbidden,
			Remedy: "get a token with those scopes; call the admin address by an IP address, `localhost` or one of `ADMIN_HOSTS`",
			Meaning: "the token does not have the scopes that the operation needs, which `WWW-Authenticate` names; " +
				"or, at the admin address, the Host or Origin is not allowed",
		},
		{Code: CodeNotFound, Status: http.StatusNotFound, Meaning: "there is nothing at this address", Remedy: "correct the address"},
		{
			Code: CodeMethodNotAllowed, Status: http.StatusMethodNotAllowed, Remedy: "correct the method",
			Meaning: "the address does not support that method; `Allow` has those it does",
		},
		{Code: CodeTimeout, Status: http.StatusRequestTimeout, Meaning: "the body took too long to arrive", Remedy: "send it again"},
		{
			Code: CodeBusy, Status: http.StatusConflict, Transient: true, Remedy: "send it again after `Retry-After`",
			Meaning: "too many others changed the same thing at the same time, or the same command is under way under its " +
				"`Idempotency-Key`; this request wrote nothing",
		},
		{
			Code: CodeNotYet, Status: http.StatusPreconditionFailed, Transient: true,
			Meaning: "the read model has not come to `min_version` yet", Remedy: "ask again after `Retry-After`, or with a longer `wait`",
		},
		{
			Code: CodePreconditionFailed, Status: http.StatusPreconditionFailed, Remedy: "read it again, and decide anew",
			Meaning: "what the request changes is not at a version that `If-Match` names, or does not exist, or is at one that `If-None-Match` " +
				"names; nothing was written",
		},
		{
			Code: CodeTooLarge, Status: http.StatusRequestEntityTooLarge, Remedy: "send less",
			Meaning: "the body, or the change it asks for, is larger than can be taken",
		},
		{
			Code: CodeUnsupportedMediaType, Status: http.StatusUnsupportedMediaType,
			Meaning: "the body is not declared as JSON, or has a content encoding, which `Accept-Encoding` then excludes",
			Remedy:  "send `Content-Type: application/json`, and the body as it is",
		},
		{
			Code: CodeInvalid, Status: http.StatusUnprocessableEntity, Remedy: "correct those parts",
			Meaning: "parts of the request break a rule; `errors` has them all. A query parameter that the operation does not " +
				"know, or that is repeated, is one",
		},
		{
			Code: CodeTooManyRequests, Status: http.StatusTooManyRequests, Transient: true,
			Meaning: "the client sends more requests than it may, or too many with tokens that were refused",
			Remedy:  "send it again after `Retry-After`, and then fewer",
		},
		{
			Code: CodeHeaderTooLarge, Status: http.StatusRequestHeaderFieldsTooLarge, Remedy: "send less",
			Meaning: "the address and the headers are larger than can be taken",
		},
		{
			Code: CodeInternal, Status: http.StatusInternalServerError, Remedy: "report it with that id",
			Meaning: "something is wrong on our side; the log has it under the answer's `X-Correlation-Id`",
		},
		{
			Code: CodeLogHole, Status: http.StatusInternalServerError, Remedy: "report it: only an operator can restore the event",
			Meaning: "the log lacks an event of what the request is about, or has something unreadable in its place; nothing was written",
		},
		{
			Code: CodeResultUnreadable, Status: http.StatusInternalServerError, Remedy: "read what the command was to change",
			Meaning: "a request with this Idempotency-Key was carried out, but its answer was damaged; it is not carried out again",
		},
		{
			Code: CodeRowUnreadable, Status: http.StatusInternalServerError, Remedy: "report it: an operator can rebuild the row from the log",
			Meaning: "the read model's row of what the request is about was damaged; nothing is lost, and all others can be read",
		},
		{
			Code: CodeUnavailable, Status: http.StatusServiceUnavailable, Transient: true,
			Meaning: "AWS or the issuer of tokens is away, or AWS or this process is overloaded; a command may have been written or not",
			Remedy:  "read, or send it again with the same `id`, after `Retry-After`",
		},
		{
			Code: CodeUnknownEvent, Status: http.StatusServiceUnavailable, Transient: true,
			Meaning: "an upgrade is under way: a newer build has changed what the request is about, and the one that answers does not know " +
				"how; nothing was written",
			Remedy: "send it again after `Retry-After`: a replica of the newer build will answer",
		},
	}
}
