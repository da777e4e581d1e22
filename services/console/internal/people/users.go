package people

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/view"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

// userView is a user as the API shows it.
type userView struct {
	ID string `json:"id"`
	view.User
	Version eventsourcing.Version `json:"version"`
	Roles   []held                `json:"roles"`
}

// held is a role that a user holds.
type held struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Disabled bool       `json:"disabled"`
	Until    *time.Time `json:"until"`
}

// Ends is the end as its field has it.
func (h held) Ends() string { return instant(h.Until) }

// Name is the user's, or its address while it has none.
func (u userView) Name() string {
	if name := strings.TrimSpace(u.FirstName + " " + u.LastName); name != "" {
		return name
	}
	return u.Email
}

// Stream has the user's events.
func (u userView) Stream() string { return streamOf("user", u.ID) }

// users are the pages of users.
type users struct{ pages }

func (u users) routes(r chi.Router) {
	r.Get("/users", u.list)
	r.Get("/users/new", func(w http.ResponseWriter, r *http.Request) {
		u.register(w, r, http.StatusOK, newForm(usersAt, "new", 0, "email", ""))
	})
	r.Post("/users/new", u.create)
	r.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) { u.show(w, r, http.StatusOK, nil) })
	r.Post("/users/{id}/{form}", u.change)
	r.Post("/users/{id}/{form}/{role}", u.change)
}

// userList is a page of users.
type userList struct {
	search

	Users []userView
}

// search is what a list's reader asks for.
type search struct {
	paging

	// Text is to be found in By.
	Text, By string
	Wrong    string
	May      bool
}

// Options are what the text can be found in.
func (s search) Options() []option {
	options := []option{
		{Value: "email", Text: "in the e-mail"},
		{Value: "address", Text: "as the whole e-mail"},
		{Value: "firstName", Text: "in the first name"},
		{Value: "lastName", Text: "in the last name"},
	}
	for i := range options {
		options[i].Chosen = options[i].Value == s.By
	}
	return options
}

// Others are the fields in which it was not.
func (s search) Others() []option {
	return slices.DeleteFunc(s.Options(), func(o option) bool { return o.Text == s.Where() })
}

// Where says in which field the text was looked for.
func (s search) Where() string {
	for _, o := range s.Options() {
		if o.Chosen {
			return o.Text
		}
	}
	return s.Options()[0].Text
}

// searched is what the reader asks for.
func searched(r *http.Request, writes string) search {
	query := r.URL.Query()
	return search{Text: strings.TrimSpace(query.Get("q")), By: query.Get("by"), May: auth.May(r.Context(), writes)}
}

// found fills in what the API has answered of the list at that address.
func (s *search) found(r *http.Request, at string, answer rest.Answer) {
	query := url.Values{}
	if s.Text != "" {
		query.Set("q", s.Text)
		query.Set("by", s.By)
	}
	s.paging = pagesOf(r, at, query, answer)
	if answer.OK() {
		return
	}
	problem := answer.Problem()
	s.Wrong = said(problem)
	if len(problem.Errors) > 0 {
		s.Wrong = sentence(problem.Errors[0].Message)
	}
}

func (u users) list(w http.ResponseWriter, r *http.Request) {
	list, ask := userList{search: searched(r, "users:write")}, asked(r)
	if id, err := value.ParseID(list.Text); err == nil {
		http.Redirect(w, r, usersAt+"/"+id, http.StatusSeeOther)
		return
	}
	switch {
	case list.Text == "":
	case list.By == "address":
		ask.Set("email", list.Text)
	case list.By == "firstName" || list.By == "lastName":
		ask.Set("contains", list.By+":"+list.Text)
	default:
		ask.Set("contains", "email:"+list.Text)
	}
	answer, err := u.read(r.Context(), "/users", ask, &list.Users)
	if err != nil {
		u.away(w, r, err)
		return
	}
	list.found(r, usersAt, answer)
	u.Show(w, r, answer.Status, "users", "", "Users", list)
}

// registering is the page of a user that is to be.
type registering struct{ Form form }

func (u users) register(w http.ResponseWriter, r *http.Request, status int, f form) {
	u.Show(w, r, status, "newuser", "", "New user", registering{f})
}

func (u users) create(w http.ResponseWriter, r *http.Request) {
	f, err := sentForm(r, usersAt, "new")
	if err != nil {
		u.Fail(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())
		return
	}
	c := change{method: http.MethodPost, body: func(f *form) (map[string]any, bool) {
		return map[string]any{"email": f.text("email")}, true
	}}
	if !u.send(w, r, &f, "/users", c, placeOf(usersAt, "new")) {
		u.register(w, r, http.StatusConflict, f)
	}
}

// userChanges are the forms of a user's page, by name. role is the one that a form is about.
func userChanges(role string) map[string]change {
	held := "/roles/" + url.PathEscape(role)
	return map[string]change{
		"new": {done: "The user is registered."},
		"names": {http.MethodPut, "", "The names are saved.", func(f *form) (map[string]any, bool) {
			return map[string]any{"firstName": f.text("firstName"), "lastName": f.text("lastName")}, true
		}},
		"email": {http.MethodPut, "/email", "The e-mail is changed.", func(f *form) (map[string]any, bool) {
			return map[string]any{"email": f.text("email")}, true
		}},
		"disable": {http.MethodPut, "/disable", "The user is disabled.", nil},
		"enable":  {http.MethodPut, "/enable", "The user is enabled.", nil},
		"grant": {http.MethodPost, "/roles", "The role is granted.", func(f *form) (map[string]any, bool) {
			until, ok := f.until()
			return map[string]any{"roleId": f.text("roleId"), "until": until}, ok
		}},
		"until": {http.MethodPut, held, "The end of the grant is changed.", func(f *form) (map[string]any, bool) {
			until, ok := f.until()
			return map[string]any{"until": until}, ok
		}},
		"remove": {http.MethodDelete, held, "The role is taken away.", nil},
	}
}

func (u users) change(w http.ResponseWriter, r *http.Request) {
	id, name, role := chi.URLParam(r, "id"), chi.URLParam(r, "form"), chi.URLParam(r, "role")
	c, ok := userChanges(role)[name]
	if !ok || c.method == "" || (role != "") != (name == "until" || name == "remove") {
		u.Fail(w, r, http.StatusNotFound, "There is no such page", "")
		return
	}
	full := name
	if role != "" {
		full += "/" + role
	}
	f, err := sentForm(r, usersAt+"/"+id, full)
	if err != nil {
		u.Fail(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())
		return
	}
	if !u.send(w, r, &f, "/users/"+url.PathEscape(id), c, placeOf(usersAt, name)) {
		u.show(w, r, http.StatusConflict, &f)
	}
}

// userPage is a user and what can be done with it.
type userPage struct {
	userView
	forms

	Done string
	// May: the reader may change it. MayLook: see where its events are.
	May, MayLook bool
	// Grantable are roles that it can be given.
	Grantable []option
	// Others: there are more roles than those.
	Others bool
	// RolesNote says why no role can be chosen.
	RolesNote string
}

func (u users) show(w http.ResponseWriter, r *http.Request, status int, refused *form) {
	id := chi.URLParam(r, "id")
	shown := userPage{May: auth.May(r.Context(), "users:write"), MayLook: auth.May(r.Context(), page.ScopeRead)}
	if !u.one(w, r, "user", id, &shown.userView) {
		return
	}
	shown.forms = newForms(usersAt+"/"+id, shown.Version, refused)
	if refused == nil {
		shown.Done = userChanges("")[r.URL.Query().Get("done")].done
	}
	if shown.May && !shown.Disabled {
		u.grantable(r, &shown)
	}
	if refused != nil {
		_, _ = u.Render("user", "content", shown) // Show reports an error
		shown.lose()
	}
	u.Show(w, r, status, "user", "", shown.Name(), shown)
}

// grantable fills in the roles that the user can be given.
func (u users) grantable(r *http.Request, shown *userPage) {
	holds := map[string]bool{}
	for _, h := range shown.Roles {
		holds[h.ID] = true
	}
	var all []roleView
	answer, err := u.read(r.Context(), "/roles", url.Values{"limit": {"100"}}, &all)
	switch {
	case err != nil:
		shown.RolesNote = "Roles cannot be read: " + err.Error()
	case !answer.OK():
		shown.RolesNote = "Roles cannot be read: " + said(answer.Problem())
	case len(all) == 0:
		shown.RolesNote = "There are no roles yet."
	}
	shown.Others = pagesOf(r, "", url.Values{}, answer).Next != ""
	for _, each := range all {
		if !holds[each.ID] && each.State() == enabled {
			shown.Grantable = append(shown.Grantable, option{Value: each.ID, Text: each.Name})
		}
	}
}
