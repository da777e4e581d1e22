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

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

// Shown is everything that the API shows, in a form that compares.
type Shown struct {
	Users   map[string]User
	Roles   map[string]Role
	Members map[string][]Member // by role, ordered by user
}

func newShown() Shown {
	return Shown{Users: map[string]User{}, Roles: map[string]Role{}, Members: map[string][]Member{}}
}

// User is a user as the API shows it.
type User struct {
	Member
	Version eventsourcing.Version `json:"version"`
	Roles   []Role                `json:"roles"`
}

// Role is a role as the API shows it, in a list or in a user.
type Role struct {
	ID string `json:"id"`
	view.Role
	Version eventsourcing.Version `json:"version"` // 0 in a user
}

// Member is a member of a role as the API shows it.
type Member struct {
	ID string `json:"id"`
	view.User
}

// Expect returns what the API must show once the read models have settled.
func (f *Fold) Expect() Shown {
	s := newShown()
	for id, state := range f.Roles {
		s.Roles[id] = Role{
			ID: id, Role: view.Role{Name: string(state.Name), Disabled: state.Disabled},
			Version: f.Heads[eventsourcing.StreamID{Category: role.Category, ID: id}],
		}
		s.Members[id] = []Member{}
	}
	for id, state := range f.Users {
		member := Member{ID: id, User: view.User{
			Email: string(state.Email), FirstName: string(state.FirstName), LastName: string(state.LastName), Disabled: state.Disabled,
		}}
		shown := User{Member: member, Version: f.Heads[eventsourcing.StreamID{Category: user.Category, ID: id}], Roles: []Role{}}
		for _, roleID := range state.Roles {
			held := s.Roles[string(roleID)]
			held.Version = 0
			shown.Roles = append(shown.Roles, held)
			s.Members[string(roleID)] = append(s.Members[string(roleID)], member)
		}
		s.Users[id] = shown
	}
	for _, members := range s.Members {
		slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	}
	return s
}

// Show reads everything through the API at base, such as "http://127.0.0.1:8080", page by page.
func Show(ctx context.Context, client *http.Client, base string) (Shown, error) {
	s := newShown()
	users, err := pages[User](ctx, client, base, "/users?limit=100")
	if err != nil {
		return s, err
	}
	for _, u := range users {
		s.Users[u.ID] = u
	}
	roles, err := pages[Role](ctx, client, base, "/roles?limit=100")
	if err != nil {
		return s, err
	}
	for _, r := range roles {
		s.Roles[r.ID] = r
		if s.Members[r.ID], err = pages[Member](ctx, client, base, "/roles/"+r.ID+"/users?limit=100"); err != nil {
			return s, err
		}
	}
	if len(users) != len(s.Users) || len(roles) != len(s.Roles) {
		return s, fmt.Errorf("a list shows something twice: %d users of %d, %d roles of %d",
			len(users), len(s.Users), len(roles), len(s.Roles))
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

// Differences returns one line for each difference.
func Differences(want, got Shown) []string {
	return slices.Concat(
		diff("user", want.Users, got.Users),
		diff("role", want.Roles, got.Roles),
		diff("members of role", want.Members, got.Members),
	)
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
			out = append(out, fmt.Sprintf("%s %s: the log has %+v, the API shows %+v", what, id, w, g))
		}
	}
	return out
}
