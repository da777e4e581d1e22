package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// Shown is what the API shows, in a form that compares.
type Shown struct {
	Users   map[string]UserView
	Roles   map[string]RoleView
	Members map[string][]PersonView // by role, ordered by user
}

// UserView is a user as the API shows it.
type UserView struct {
	ID        string     `json:"id"`
	Email     string     `json:"email"`
	FirstName string     `json:"firstName"`
	LastName  string     `json:"lastName"`
	Disabled  bool       `json:"disabled"`
	Version   uint64     `json:"version"`
	Roles     []RoleView `json:"roles"`
}

// RoleView is a role as the API shows it, in a list or in a user.
type RoleView struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Disabled bool   `json:"disabled"`
	Version  uint64 `json:"version"` // 0 in a user
}

// PersonView is a member of a role as the API shows it.
type PersonView struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Disabled  bool   `json:"disabled"`
}

// Expect is what the API must show once the read models have settled.
func (f *Fold) Expect() Shown {
	s := Shown{Users: map[string]UserView{}, Roles: map[string]RoleView{}, Members: map[string][]PersonView{}}
	for stream, head := range f.Heads {
		if state, ok := f.Roles[stream.ID]; ok && strings.HasSuffix(stream.Category, "/role") {
			s.Roles[stream.ID] = RoleView{
				ID: stream.ID, Name: string(state.Name()), Disabled: state.Disabled(), Version: uint64(head),
			}
			s.Members[stream.ID] = []PersonView{}
		}
	}
	for stream, head := range f.Heads {
		state, ok := f.Users[stream.ID]
		if !ok || !strings.HasSuffix(stream.Category, "/user") {
			continue
		}
		person := PersonView{
			ID: stream.ID, Email: string(state.Email()), FirstName: string(state.FirstName()),
			LastName: string(state.LastName()), Disabled: state.Disabled(),
		}
		view := UserView{
			ID: person.ID, Email: person.Email, FirstName: person.FirstName, LastName: person.LastName,
			Disabled: person.Disabled, Version: uint64(head), Roles: []RoleView{},
		}
		for _, id := range state.Roles() {
			role := s.Roles[string(id)]
			role.Version = 0
			view.Roles = append(view.Roles, role)
			s.Members[string(id)] = append(s.Members[string(id)], person)
		}
		s.Users[stream.ID] = view
	}
	for _, members := range s.Members {
		slices.SortFunc(members, func(a, b PersonView) int { return strings.Compare(a.ID, b.ID) })
	}
	return s
}

// Show reads everything through the API at base, such as "http://127.0.0.1:8080", page by page.
func Show(ctx context.Context, client *http.Client, base string) (Shown, error) {
	s := Shown{Users: map[string]UserView{}, Roles: map[string]RoleView{}, Members: map[string][]PersonView{}}
	users, err := pages[UserView](ctx, client, base, "/users?limit=100")
	if err != nil {
		return s, err
	}
	for _, u := range users {
		s.Users[u.ID] = u
	}
	roles, err := pages[RoleView](ctx, client, base, "/roles?limit=100")
	if err != nil {
		return s, err
	}
	for _, r := range roles {
		s.Roles[r.ID] = r
		if s.Members[r.ID], err = pages[PersonView](ctx, client, base, "/roles/"+r.ID+"/users?limit=100"); err != nil {
			return s, err
		}
	}
	if len(users) != len(s.Users) || len(roles) != len(s.Roles) {
		return s, fmt.Errorf("a list shows something twice: %d users of %d, %d roles of %d", len(users), len(s.Users), len(roles), len(s.Roles))
	}
	return s, nil
}

func pages[T any](ctx context.Context, client *http.Client, base, path string) ([]T, error) {
	all := []T{}
	for path != "" {
		var page []T
		next, err := get(ctx, client, base+path, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		path = next
	}
	return all, nil
}

func get(ctx context.Context, client *http.Client, url string, out any) (next string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return "", fmt.Errorf("decode %s: %w", url, err)
	}
	next, _, _ = strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
	return next, nil
}

// Differences lists what is not as it must be, one line each; none is the proof.
func Differences(want, got Shown) []string {
	var out []string
	out = append(out, diff("user", want.Users, got.Users)...)
	out = append(out, diff("role", want.Roles, got.Roles)...)
	return append(out, diff("members of role", want.Members, got.Members)...)
}

func diff[V any](what string, want, got map[string]V) []string {
	var out []string
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		w, wanted := want[id]
		g, shown := got[id]
		switch {
		case !shown:
			out = append(out, fmt.Sprintf("%s %s is not shown", what, id))
		case !wanted:
			out = append(out, fmt.Sprintf("%s %s is shown but not in the log", what, id))
		case !reflect.DeepEqual(w, g):
			out = append(out, fmt.Sprintf("%s %s: the log says %+v, the API %+v", what, id, w, g))
		}
	}
	return out
}
