package people

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/view"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
)

// roleView is a role as the API shows it.
type roleView struct {
	ID string `json:"id"`
	view.Role
	Version eventsourcing.Version `json:"version"`
}

// The states of a role.
const (
	enabled  = "enabled"
	disabled = "disabled"
	retiring = "retiring"
	retired  = "retired"
)

// State says what can be done with the role.
func (r roleView) State() string {
	switch {
	case r.Retired:
		return retired
	case r.Retiring:
		return retiring
	case r.Disabled:
		return disabled
	default:
		return enabled
	}
}

// Stream has the role's events.
func (r roleView) Stream() string { return streamOf("role", r.ID) }

// member is a user that holds a role.
type member struct {
	userView

	Until *time.Time `json:"until"`
}

// retirement is how far a role's is.
type retirement struct {
	RoleID string `json:"roleId"`
	// State is running, done or cancelled.
	State  string `json:"state"`
	Total  int64  `json:"total"`
	Done   int64  `json:"done"`
	Failed []struct {
		UserID string `json:"userId"`
		Reason string `json:"reason"`
	} `json:"failed"`
}

// running is the State of a retirement that goes on.
const running = "running"

// Most is the largest value that Done can have, and not 0.
func (r retirement) Most() int64 { return max(1, r.Total, r.Done) }

// roles are the pages of roles.
type roles struct{ pages }

func (p roles) routes(r chi.Router) {
	r.Get("/roles", p.list)
	r.Get("/roles/new", func(w http.ResponseWriter, r *http.Request) {
		p.creating(w, r, http.StatusOK, newForm(rolesAt, "new", 0, "name", "", "maxMembers", ""))
	})
	r.Post("/roles/new", p.create)
	r.Get("/roles/{id}", func(w http.ResponseWriter, r *http.Request) { p.show(w, r, http.StatusOK, nil) })
	r.Get("/roles/{id}/retirement", p.retirement)
	r.Post("/roles/{id}/grant", p.grant)
	r.Post("/roles/{id}/{form}", p.change)
}

// roleList is a page of roles.
type roleList struct {
	search

	Roles []roleView
}

func (p roles) list(w http.ResponseWriter, r *http.Request) {
	list, ask := roleList{search: searched(r, "roles:write")}, asked(r)
	if list.Text != "" {
		ask.Set("contains", "name:"+list.Text)
	}
	answer, err := p.read(r.Context(), "/roles", ask, &list.Roles)
	if err != nil {
		p.away(w, r, err)
		return
	}
	list.found(r, rolesAt, answer)
	p.Show(w, r, answer.Status, "roles", "", "Roles", list)
}

// creating shows the page of a role that is to be.
func (p roles) creating(w http.ResponseWriter, r *http.Request, status int, f form) {
	p.Show(w, r, status, "newrole", "", "New role", registering{f})
}

func (p roles) create(w http.ResponseWriter, r *http.Request) {
	f, err := sentForm(r, rolesAt, "new")
	if err != nil {
		p.Fail(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())
		return
	}
	c := change{method: http.MethodPost, body: func(f *form) (map[string]any, bool) {
		body, ok := rules(f)
		body["name"] = f.text("name")
		return body, ok
	}}
	if !p.send(w, r, &f, "/roles", c, placeOf(rolesAt, "new")) {
		p.creating(w, r, http.StatusConflict, f)
	}
}

// rules are those in a form.
func rules(f *form) (body map[string]any, ok bool) {
	body = map[string]any{"essential": f.text("essential") != "", "maxMembers": 0}
	text := f.text("maxMembers")
	if text == "" {
		return body, true
	}
	most, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f.say("maxMembers", "Want a whole number, or nothing.")
		return body, false
	}
	body["maxMembers"] = most
	return body, true
}

// roleChanges are the forms of a role's page, by name.
func roleChanges() map[string]change {
	return map[string]change{
		"new": {done: "The role is created."},
		"name": {http.MethodPut, "", "The role is renamed.", func(f *form) (map[string]any, bool) {
			return map[string]any{"name": f.text("name")}, true
		}},
		"rules":   {http.MethodPut, "/rules", "The rules are changed.", rules},
		"disable": {http.MethodPut, "/disable", "The role is disabled.", nil},
		"enable":  {http.MethodPut, "/enable", "The role is enabled.", nil},
		"retire": {http.MethodPut, "/retire", "The role is being retired.", func(f *form) (map[string]any, bool) {
			if f.text("sure") == "" {
				f.say("", "It is for good: say that you are sure.")
				return nil, false
			}
			return nil, true
		}},
		"cancel": {http.MethodPut, "/retire/cancel", "The retirement is cancelled.", nil},
	}
}

func (p roles) change(w http.ResponseWriter, r *http.Request) {
	id, name := chi.URLParam(r, "id"), chi.URLParam(r, "form")
	c, ok := roleChanges()[name]
	if !ok || c.method == "" {
		p.Fail(w, r, http.StatusNotFound, "There is no such page", "")
		return
	}
	f, err := sentForm(r, rolesAt+"/"+id, name)
	if err != nil {
		p.Fail(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())
		return
	}
	if !p.send(w, r, &f, "/roles/"+url.PathEscape(id), c, placeOf(rolesAt, name)) {
		p.show(w, r, http.StatusConflict, &f)
	}
}

// grant gives the role to the user that has an address. What came of it shows the user's page: the grant is an event of the user.
func (p roles) grant(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	f, err := sentForm(r, rolesAt+"/"+id, "grant")
	if err != nil {
		p.Fail(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())
		return
	}
	f.Version = 0 // the reader has not seen the user's
	var found []userView
	answer, err := p.read(r.Context(), "/users", url.Values{"email": {f.text("email")}}, &found)
	switch {
	case err != nil:
		p.again(w, r, &f, err.Error())
		return
	case !answer.OK():
		f.refuse(answer.Problem())
	case f.text("email") == "" || len(found) == 0:
		f.say("email", "No user has this e-mail, or it is not visible yet.")
	default:
		c := change{method: http.MethodPost, path: "/roles", body: func(f *form) (map[string]any, bool) {
			until, ok := f.until()
			return map[string]any{"roleId": id, "until": until}, ok
		}}
		if p.send(w, r, &f, "/users/"+url.PathEscape(found[0].ID), c, placeOf(usersAt, "grant")) {
			return
		}
	}
	p.show(w, r, http.StatusConflict, &f)
}

// rolePage is a role and what can be done with it.
type rolePage struct {
	roleView
	forms
	paging // of its members

	Done string
	// May: the reader may change it, MayGrant: give it to users, MayLook: see where its events are.
	May, MayGrant, MayLook bool
	Members                []member
	MembersNote            string
	Retirement             *retirement
}

// Limit is the most members as its field has it.
func (r rolePage) Limit() string {
	if r.MaxMembers == 0 {
		return ""
	}
	return strconv.FormatInt(r.MaxMembers, 10)
}

// Must is the value of the box that says that the role is essential.
func (r rolePage) Must() string {
	if r.Essential {
		return "yes"
	}
	return ""
}

func (p roles) show(w http.ResponseWriter, r *http.Request, status int, refused *form) {
	id := chi.URLParam(r, "id")
	ctx := r.Context()
	shown := rolePage{
		May: auth.May(ctx, "roles:write"), MayGrant: auth.May(ctx, "users:write"), MayLook: auth.May(ctx, page.ScopeRead),
	}
	if !p.one(w, r, "role", id, &shown.roleView) {
		return
	}
	shown.forms = newForms(rolesAt+"/"+id, shown.Version, refused)
	if refused == nil {
		shown.Done = roleChanges()[r.URL.Query().Get("done")].done
	}
	p.members(r, &shown)
	if shown.Retiring || shown.Retired {
		shown.Retirement = p.progress(r.Context(), id)
	}
	if refused != nil {
		_, _ = p.Render("role", "content", shown) // Show reports an error
		shown.lose()
	}
	p.Show(w, r, status, "role", "", shown.Name, shown)
}

// members fills in a page of those that hold the role.
func (p roles) members(r *http.Request, shown *rolePage) {
	answer, err := p.read(r.Context(), "/roles/"+url.PathEscape(shown.ID)+"/users", asked(r), &shown.Members)
	switch {
	case err != nil:
		shown.MembersNote = "They cannot be read: " + err.Error()
	case !answer.OK():
		shown.MembersNote = "They cannot be read: " + said(answer.Problem())
	}
	shown.paging = pagesOf(r, rolesAt+"/"+shown.ID, url.Values{}, answer)
}

// progress is how far a retirement is; nil if none is known.
func (p roles) progress(ctx context.Context, id string) *retirement {
	var known retirement
	answer, err := p.read(ctx, "/roles/"+url.PathEscape(id)+"/retirement", nil, &known)
	if err != nil || !answer.OK() {
		return nil
	}
	return &known
}

// retirement is the part of a role's page that says how far its retirement is. At its end a script loads the whole page again.
func (p roles) retirement(w http.ResponseWriter, r *http.Request) {
	id := chi.URLParam(r, "id")
	if r.Header.Get("Hx-Request") == "" {
		http.Redirect(w, r, rolesAt+"/"+url.PathEscape(id), http.StatusSeeOther)
		return
	}
	known := p.progress(r.Context(), id)
	if known == nil { // it is asked for again
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if known.State != running {
		w.Header().Set("Hx-Refresh", "true")
	}
	p.Show(w, r, http.StatusOK, "role", "retirement", "Retirement", known)
}
