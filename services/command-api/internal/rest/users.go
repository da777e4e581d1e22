package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/httpserver"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

type registerUser struct {
	Headers
	Body struct {
		ID    string `json:"id,omitempty" doc:"a UUID of your choice; made for you if left out"`
		Email string `json:"email" doc:"unique ignoring case" example:"dan@example.com"`
	}
	id    string
	email user.Email
}

func (in *registerUser) Resolve(c huma.Context) []error {
	return append(in.Headers.Resolve(c), httpserver.Faults(
		httpserver.Parse("body.id", &in.id, in.Body.ID, newID),
		httpserver.Parse("body.email", &in.email, in.Body.Email, user.ParseEmail))...)
}

type updateUser struct {
	Target
	Body struct {
		FirstName string `json:"firstName" doc:"letters of any script, space, ' - . — 1 to 50" example:"Dan"`
		LastName  string `json:"lastName" doc:"as firstName" example:"O'Neill"`
	}
	firstName, lastName user.Name
}

func (in *updateUser) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpserver.Faults(
		httpserver.Parse("body.firstName", &in.firstName, in.Body.FirstName, user.ParseName),
		httpserver.Parse("body.lastName", &in.lastName, in.Body.LastName, user.ParseName))...)
}

type changeEmail struct {
	Target
	Body struct {
		Email string `json:"email" doc:"unique ignoring case" example:"dan@example.org"`
	}
	email user.Email
}

func (in *changeEmail) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpserver.Faults(httpserver.Parse("body.email", &in.email, in.Body.Email, user.ParseEmail))...)
}

type addRole struct {
	Target
	Body struct {
		RoleID string `json:"roleId" doc:"a role that exists and is enabled"`
	}
	roleID string
}

func (in *addRole) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpserver.Faults(httpserver.Parse("body.roleId", &in.roleID, in.Body.RoleID, value.ParseID))...)
}

type removeRole struct {
	Target
	RoleID string `path:"roleId" doc:"a role the user holds"`
}

func (in *removeRole) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpserver.Faults(httpserver.Parse("path.roleId", &in.RoleID, in.RoleID, value.ParseID))...)
}

func registerUsers(a *adder, h *commands.Handler) {
	const users = "users"
	add(a, users, http.MethodPost, "/users", "registerUser", "Register a user",
		func(ctx context.Context, in *registerUser) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "register", in.id, user.Register{ID: user.ID(in.id), Email: in.email}, in.demand)
			return in.id, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}", "updateUser", "Give a user its names",
		func(ctx context.Context, in *updateUser) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "update", in.ID, user.Update{FirstName: in.firstName, LastName: in.lastName}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}/email", "changeEmail", "Change a user's e-mail address",
		func(ctx context.Context, in *changeEmail) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "changeEmail", in.ID, user.ChangeEmail{Email: in.email}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}/disable", "disableUser", "Disable a user",
		func(ctx context.Context, in *Target) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "disable", in.ID, user.Disable{}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}/enable", "enableUser", "Enable a user again",
		func(ctx context.Context, in *Target) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "enable", in.ID, user.Enable{}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPost, "/users/{id}/roles", "addRole", "Give a user a role",
		func(ctx context.Context, in *addRole) (string, eventsourcing.Version, error) {
			v, err := h.AddRole(ctx, in.ID, in.roleID, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodDelete, "/users/{id}/roles/{roleId}", "removeRole", "Take a role from a user",
		func(ctx context.Context, in *removeRole) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "removeRole", in.ID, user.RemoveRole{RoleID: user.RoleID(in.RoleID)}, in.demand)
			return in.ID, v, err
		})
}
