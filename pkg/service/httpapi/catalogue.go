package httpapi

import (
	"fmt"
	"net/http"
)

// Chapter is a part of the catalogue of problems.
type Chapter struct {
	Title   string
	Entries []Entry
}

// Entry explains a code. Its texts are Markdown, of which they use `code` alone.
type Entry struct {
	Code   string `json:"code"`
	Status int    `json:"status"`
	// Meaning says what is the matter, Remedy what a client does about it.
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy"`
	// Passes says that it may pass by itself: the answer has Retry-After.
	Passes bool `json:"passes"`
}

// Catalogue is every problem that any service answers with. Each service has all of it, so that a problem's type
// resolves at whichever of them answered. docs/problems.md is made of it.
func Catalogue() []Chapter {
	return []Chapter{
		{"The request cannot be taken", cannotBeTaken()},
		{"The rules forbid it", forbidden()},
		{"Not now", notNow()},
	}
}

const (
	shownWithin = "; shown within `invalid` where it stands in a request"
	whileRead   = "; a read may trail the write by a moment"
)

func cannotBeTaken() []Entry {
	return []Entry{
		{
			Code: CodeMalformed, Status: http.StatusBadRequest, Remedy: "mend the request",
			Meaning: "the body is missing, broken off, or is not JSON in UTF-8, repeats a member or is nested too deeply; or the query is not well encoded; or `If-Match` or `Idempotency-Key` is not as it should be",
		},
		{Code: CodeBadCursor, Status: http.StatusBadRequest, Meaning: "the cursor was made for another list, or for none", Remedy: "take the cursor from the `Link` of the page before, and keep its filter"},
		{Code: CodeUnauthenticated, Status: http.StatusUnauthorized, Meaning: "there is no bearer token, or one that is not to be believed, such as one that has expired; `WWW-Authenticate` says which", Remedy: "get a token from the issuer and send it as `Authorization: Bearer`"},
		{Code: CodeForbidden, Status: http.StatusForbidden, Meaning: "the token does not have the scopes that the operation needs; `WWW-Authenticate` names them", Remedy: "get a token with those scopes"},
		{Code: CodeNotFound, Status: http.StatusNotFound, Meaning: "there is nothing at this address", Remedy: "mend the address"},
		{Code: CodeMethodNotAllowed, Status: http.StatusMethodNotAllowed, Meaning: "the address does not know that method; `Allow` has those it does", Remedy: "mend the method"},
		{Code: CodeTimeout, Status: http.StatusRequestTimeout, Meaning: "the body took too long to arrive", Remedy: "send it again"},
		{Code: CodeTooLarge, Status: http.StatusRequestEntityTooLarge, Meaning: "the body, or the change it asks for, is larger than can be taken", Remedy: "send less"},
		{Code: CodeUnsupportedMediaType, Status: http.StatusUnsupportedMediaType, Meaning: "the body is not declared as JSON", Remedy: "send `Content-Type: application/json`"},
		{
			Code: CodeInvalid, Status: http.StatusUnprocessableEntity, Remedy: "mend those parts",
			Meaning: "parts of the request break a rule; `errors` has them all. A query parameter that the operation does not know, or that is repeated, is one",
		},
		{Code: "idempotency_key_reused", Status: http.StatusUnprocessableEntity, Meaning: "another request was carried out with this `Idempotency-Key` in the last 24 hours", Remedy: "take a new key for each new request"},
		{Code: "invalid_id", Status: http.StatusUnprocessableEntity, Meaning: "an id is not a UUID" + shownWithin, Remedy: "send a UUID of 36 characters"},
		{Code: "invalid_email", Status: http.StatusUnprocessableEntity, Meaning: "not an e-mail address" + shownWithin, Remedy: "send `local@domain` of at most 255 characters"},
		{Code: "invalid_name", Status: http.StatusUnprocessableEntity, Meaning: "not a user's name" + shownWithin, Remedy: "send 1 to 50 letters, spaces, `'`, `-` and `.`"},
		{Code: "invalid_role_name", Status: http.StatusUnprocessableEntity, Meaning: "not a role's name" + shownWithin, Remedy: "send 1 to 30 letters, `-` and `_`"},
		{Code: CodeHeaderTooLarge, Status: http.StatusRequestHeaderFieldsTooLarge, Meaning: "the address and the headers are larger than can be taken", Remedy: "send less"},
	}
}

func forbidden() []Entry {
	return []Entry{
		{Code: "precondition_failed", Status: http.StatusPreconditionFailed, Meaning: "the user or role is not at a version that `If-Match` names, or does not exist; nothing was written", Remedy: "read it again, and decide anew"},
		{Code: "user_not_found", Status: http.StatusNotFound, Meaning: "there is no such user" + whileRead, Remedy: "mend the id, or read with `min_version` and `wait`"},
		{Code: "role_not_found", Status: http.StatusNotFound, Meaning: "there is no such role" + whileRead, Remedy: "mend the id, or read with `min_version` and `wait`"},
		{Code: "user_exists", Status: http.StatusConflict, Meaning: "the id is a user's already", Remedy: "choose another id, or none"},
		{Code: "role_exists", Status: http.StatusConflict, Meaning: "the id is a role's already", Remedy: "choose another id, or none"},
		{Code: "email_taken", Status: http.StatusConflict, Meaning: "another user has this e-mail, in any case", Remedy: "choose another"},
		{Code: "name_taken", Status: http.StatusConflict, Meaning: "another role has this name, in any case", Remedy: "choose another"},
		{Code: "user_disabled", Status: http.StatusConflict, Meaning: "the user is disabled", Remedy: "enable it first"},
		{Code: "user_enabled", Status: http.StatusConflict, Meaning: "the user is enabled already", Remedy: "nothing"},
		{Code: "role_disabled", Status: http.StatusConflict, Meaning: "the role is disabled", Remedy: "enable it first"},
		{Code: "role_enabled", Status: http.StatusConflict, Meaning: "the role is enabled already", Remedy: "nothing"},
		{Code: "role_already_held", Status: http.StatusConflict, Meaning: "the user holds the role already", Remedy: "nothing"},
		{Code: "role_not_held", Status: http.StatusConflict, Meaning: "the user does not hold the role", Remedy: "nothing"},
		{Code: "too_many_roles", Status: http.StatusConflict, Meaning: "the user holds as many roles as a user may", Remedy: "remove one first"},
		{Code: "still_parked", Status: http.StatusConflict, Meaning: "an event still cannot be applied; the aggregate stays parked, at that event", Remedy: "see in the list which and why"},
	}
}

func notNow() []Entry {
	return []Entry{
		{Code: CodeBusy, Status: http.StatusConflict, Passes: true, Meaning: "too many others changed the same thing at the same time, or the same command is under way under its `Idempotency-Key`; this request wrote nothing", Remedy: "send it again after `Retry-After`"},
		{Code: CodeNotYet, Status: http.StatusPreconditionFailed, Passes: true, Meaning: "the read model has not come to `min_version` yet", Remedy: "ask again after `Retry-After`, or with a longer `wait`"},
		{Code: CodeTooManyRequests, Status: http.StatusTooManyRequests, Passes: true, Meaning: "the client sends more requests than it may, or too many with tokens that were refused", Remedy: "send it again after `Retry-After`, and then fewer"},
		{Code: CodeInternal, Status: http.StatusInternalServerError, Meaning: "something is wrong on our side; the log has it under the answer's `X-Correlation-Id`", Remedy: "report it with that id"},
		{
			Code: CodeUnavailable, Status: http.StatusServiceUnavailable, Passes: true, Remedy: "read, or send it again with the same `id`, after `Retry-After`",
			Meaning: "AWS or the issuer of tokens is away, or AWS or this process is overloaded; a command may have been written or not",
		},
	}
}

// explain returns the catalogue's entry of a code. It panics if there is none, which shows as soon as an operation that
// names the code is registered.
func explain(code string) Entry {
	for _, chapter := range Catalogue() {
		for _, e := range chapter.Entries {
			if e.Code == code {
				return e
			}
		}
	}
	panic(fmt.Sprintf("no such code in the catalogue of problems: %q", code))
}
