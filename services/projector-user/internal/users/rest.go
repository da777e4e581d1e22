package users

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/httpserver"
	"github.com/leftfold/leftfold/pkg/profile"
	"github.com/leftfold/leftfold/pkg/projection"
)

// User is a user as the API shows it.
type User struct {
	ID string `json:"id"`
	profile.User
	Version eventsourcing.Version `json:"version" doc:"events of the user that this answer shows"`
	Roles   []HeldRole            `json:"roles"`
}

// HeldRole is a role that a user holds.
type HeldRole struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Disabled bool   `json:"disabled,omitempty"`
}

type listUsers struct {
	httpserver.Paging
	Contains string `query:"contains" maxLength:"300" doc:"attribute:text; the attribute is email, firstName or lastName" example:"lastName:Neill"`
	filter   projection.Filter
}

// Resolve implements huma.Resolver.
func (in *listUsers) Resolve(huma.Context) []error {
	if in.Contains == "" {
		return nil
	}
	parse := httpserver.ParseContains("email", "email", "firstName", "lastName")
	return httpserver.Faults(httpserver.Parse("query.contains", &in.filter, in.Contains, parse))
}

type oneUser struct {
	ETag string `header:"ETag"`
	Body User
}

// Register adds the reads of users to the API.
func Register(api huma.API, reader projection.Reader, log *slog.Logger) {
	httpserver.Register(api, log, huma.Operation{
		OperationID: "listUsers", Method: http.MethodGet, Path: "/users", Summary: "List users", Tags: []string{"users"},
	}, func(ctx context.Context, in *listUsers) (*httpserver.Page[User], error) {
		after, err := in.After()
		if err != nil {
			return nil, err
		}
		var rows []storedUser
		next, err := reader.List(ctx, in.filter, in.Limit, after, &rows)
		if err != nil {
			return nil, err
		}
		users, err := withRoles(ctx, reader, rows)
		if err != nil {
			return nil, err
		}
		return httpserver.NewPage(users, "/users", &in.Paging, next, "contains", in.Contains), nil
	})
	httpserver.Register(api, log, huma.Operation{
		OperationID: "getUser", Method: http.MethodGet, Path: "/users/{id}", Summary: "One user and its roles", Tags: []string{"users"},
	}, func(ctx context.Context, in *httpserver.Reading) (*oneUser, error) {
		var row storedUser
		found, err := reader.Await(ctx, in.ID, userRowName, in.Least, in.Wait, &row)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, user.ErrNotFound
		}
		users, err := withRoles(ctx, reader, []storedUser{row})
		if err != nil {
			return nil, err
		}
		return &oneUser{ETag: httpserver.ETag(users[0].Version), Body: users[0]}, nil
	})
}

// storedUser is a user's row as it is read.
type storedUser struct {
	projection.Key
	projection.Fence
	userRow
}

// withRoles gives each role the name it has now, or, while its own row has not arrived, the one it was granted by.
func withRoles(ctx context.Context, reader projection.Reader, rows []storedUser) ([]User, error) {
	var keys []projection.Key
	for _, row := range rows {
		for _, g := range row.Roles {
			keys = append(keys, projection.Key{ID: g.ID, Row: roleRowName})
		}
	}
	var stored []struct {
		projection.Key
		profile.Role
	}
	if len(keys) > 0 {
		if err := reader.BatchGet(ctx, keys, &stored); err != nil {
			return nil, err
		}
	}
	now := map[string]profile.Role{}
	for _, r := range stored {
		now[r.ID] = r.Role
	}
	users := make([]User, 0, len(rows))
	for _, row := range rows {
		u := User{ID: row.ID, User: row.User, Version: row.Version, Roles: []HeldRole{}}
		for _, g := range row.Roles {
			role := HeldRole{ID: g.ID, Name: g.Name}
			if r, ok := now[g.ID]; ok {
				role.Name, role.Disabled = r.Name, r.Disabled
			}
			u.Roles = append(u.Roles, role)
		}
		users = append(users, u)
	}
	return users, nil
}
