// Package people has the pages of users and roles: who there is, and what an administrator changes. A change is a form, which is sent
// to the REST API as its reader, with the version that the reader saw and a key of its own: so nothing is changed unseen, or twice.
package people

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

//go:embed templates/*.html
var templates embed.FS

// The addresses of the lists. Pages of one user or role are below.
const (
	usersAt = page.Prefix + "/users"
	rolesAt = page.Prefix + "/roles"
)

// pages are what those of users and those of roles have in common.
type pages struct {
	*page.Templates

	api rest.API
}

// Users returns the area of users.
func Users(f *page.Frame, api rest.API) (page.Area, error) {
	t, err := f.Templates(templates, nil)
	return page.Area{Name: "Users", Path: "/users", Scope: "users:read", Routes: users{pages{t, api}}.routes}, err
}

// Roles returns the area of roles. Its pages show users, too.
func Roles(f *page.Frame, api rest.API) (page.Area, error) {
	t, err := f.Templates(templates, nil)
	return page.Area{Name: "Roles", Path: "/roles", Scope: "roles:read", Routes: roles{pages{t, api}}.routes}, err
}

// perPage is how many rows a list shows.
const perPage = "25"

// read decodes what the API answers to a GET. If it has a problem, out is left as it is.
func (p pages) read(ctx context.Context, path string, query url.Values, out any) (rest.Answer, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	answer, err := p.api.Send(ctx, rest.Get(path))
	if err == nil && answer.OK() {
		err = json.Unmarshal(answer.Body, out)
	}
	return answer, err
}

// away is the page for an API that gives no answer.
func (p pages) away(w http.ResponseWriter, r *http.Request, err error) {
	p.Fail(w, r, http.StatusServiceUnavailable, "The REST API does not answer", err.Error())
}

// one reads a user or role, and waits for the version that its reader has just written. It returns false if it has answered with another
// page.
func (p pages) one(w http.ResponseWriter, r *http.Request, kind, id string, out any) bool {
	query := url.Values{}
	version := r.URL.Query().Get("version")
	if version != "" {
		query.Set("min_version", version)
		query.Set("wait", "5s")
	}
	answer, err := p.read(r.Context(), "/"+kind+"s/"+url.PathEscape(id), query, out)
	if err != nil {
		p.away(w, r, err)
		return false
	}
	if answer.OK() {
		return true
	}
	switch problem := answer.Problem(); {
	case problem.Code == httpapi.CodeNotYet:
		p.Show(w, r, http.StatusOK, "waiting", "", "Not visible yet", waiting{Kind: kind, ID: id, Version: version})
	case answer.Status == http.StatusNotFound, answer.Status == http.StatusUnprocessableEntity: // no ID
		p.Fail(w, r, http.StatusNotFound, "There is no such "+kind, "If it is new, look again in a moment.")
	default:
		p.Fail(w, r, answer.Status, "This "+kind+" cannot be shown", said(problem))
	}
	return false
}

// waiting is the page of what is in the log, and not yet in the read model.
type waiting struct{ Kind, ID, Version string }

// Stream has the event that is waited for.
func (w waiting) Stream() string { return streamOf(w.Kind, w.ID) }

// streamOf is the stream of a user or role.
func streamOf(kind, id string) string { return "org/iam/" + kind + "/" + id }

// paging are the other pages of a list.
type paging struct {
	// Begin is the address of the first page; "": this is it.
	Begin string
	// Next is that of the next page; "": there is none.
	Next string
}

// pagesOf are the other pages of the list at that address, which the query selects and the answer is a page of.
func pagesOf(r *http.Request, at string, query url.Values, answer rest.Answer) (p paging) {
	if cursorOf(r) != "" {
		p.Begin = at + "?" + query.Encode()
	}
	_, text, _ := strings.Cut(httpapi.NextPage(answer.Header), "?")
	next, err := url.ParseQuery(text)
	if err == nil && next.Get("cursor") != "" {
		query.Set("cursor", next.Get("cursor"))
		p.Next = at + "?" + query.Encode()
	}
	return p
}

// cursorOf is where the page begins that the reader asks for; "": at the first row.
func cursorOf(r *http.Request) string { return r.URL.Query().Get("cursor") }

// asked is the query of a page of a list at the API.
func asked(r *http.Request) url.Values {
	query := url.Values{"limit": {perPage}}
	if cursor := cursorOf(r); cursor != "" {
		query.Set("cursor", cursor)
	}
	return query
}

// change is what a form asks of the API.
type change struct {
	method string
	// path is below that of the user or role.
	path string
	// done is what the page says then.
	done string
	// body is made of the form; false if that refuses it. Nil: there is none.
	body func(*form) (body map[string]any, ok bool)
}

// place is the page that shows what a change has done: an address for the id and version that the API answers.
type place func(id string, version eventsourcing.Version) string

// placeOf is the page of a user or role, which says what the form of that name has done.
func placeOf(at, form string) place {
	return func(id string, version eventsourcing.Version) string {
		return fmt.Sprintf("%s/%s?version=%d&done=%s", at, url.PathEscape(id), version, form)
	}
}

// send carries out a change with what is typed into its form, and shows the place. If it is refused, it returns false, and the form says
// why.
func (p pages) send(w http.ResponseWriter, r *http.Request, f *form, path string, c change, then place) (answered bool) {
	ask := rest.Request{Method: c.method, Path: path + c.path, Header: http.Header{"Idempotency-Key": {f.Key}}}
	if f.Version > 0 {
		ask.Header.Set("If-Match", httpapi.ETag(f.Version))
	}
	if c.body != nil {
		body, ok := c.body(f)
		if !ok {
			return false
		}
		ask.Body = body
	}
	answer, err := p.api.Send(r.Context(), ask)
	if err != nil {
		p.again(w, r, f, err.Error())
		return true
	}
	if !answer.OK() {
		problem := answer.Problem()
		if problem.Code == httpapi.CodeUnavailable || problem.Code == "" && answer.Status >= http.StatusInternalServerError {
			p.again(w, r, f, said(problem))
			return true
		}
		f.refuse(problem)
		return false
	}
	var receipt struct {
		ID      string                `json:"id"`
		Version eventsourcing.Version `json:"version"`
	}
	if err := json.Unmarshal(answer.Body, &receipt); err != nil {
		p.again(w, r, f, err.Error())
		return true
	}
	http.Redirect(w, r, then(receipt.ID, receipt.Version), http.StatusSeeOther)
	return true
}

// again shows what was typed, to be sent again: it may have been carried out or not. Under its key it is carried out once.
func (p pages) again(w http.ResponseWriter, r *http.Request, f *form, why string) {
	p.Show(w, r, http.StatusServiceUnavailable, "again", "", "Send it again", again{*f, why})
}

// again is the page of a form of which nobody knows what became of it.
type again struct {
	form

	Why string
}
