package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

type registerUser struct {
	Headers
	Body struct {
		ID    string `json:"id,omitempty" pattern:"^$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"a UUID of 36 characters" doc:"an id of your choice; made for you if left out" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
		Email string `json:"email" maxLength:"255" pattern:"^\\s*[^@\\s]+@[^@\\s]+\\.[^@\\s]+\\s*$" patternDescription:"an e-mail address: local@domain" doc:"unique ignoring case" example:"dan@example.com"`
	}
	id    string
	email user.Email
}

func (in *registerUser) Resolve(c huma.Context) []error {
	return append(in.Headers.Resolve(c), httpapi.Faults(
		httpapi.Parse("body.id", &in.id, in.Body.ID, newID),
		httpapi.Parse("body.email", &in.email, in.Body.Email, user.ParseEmail))...)
}

type updateUser struct {
	Target
	Body struct {
		FirstName string `json:"firstName" minLength:"1" maxLength:"50" pattern:"^[\\p{L}\\p{M}' .-]*\\p{L}[\\p{L}\\p{M}' .-]*$" patternDescription:"letters, spaces, ' - and ., at least one of them a letter" doc:"letters of any script, space, ' - and ." example:"Dan"`
		LastName  string `json:"lastName" minLength:"1" maxLength:"50" pattern:"^[\\p{L}\\p{M}' .-]*\\p{L}[\\p{L}\\p{M}' .-]*$" patternDescription:"letters, spaces, ' - and ., at least one of them a letter" doc:"as firstName" example:"O'Neill"`
	}
	firstName, lastName user.Name
}

func (in *updateUser) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpapi.Faults(
		httpapi.Parse("body.firstName", &in.firstName, in.Body.FirstName, user.ParseName),
		httpapi.Parse("body.lastName", &in.lastName, in.Body.LastName, user.ParseName))...)
}

type changeEmail struct {
	Target
	Body struct {
		Email string `json:"email" maxLength:"255" pattern:"^\\s*[^@\\s]+@[^@\\s]+\\.[^@\\s]+\\s*$" patternDescription:"an e-mail address: local@domain" doc:"unique ignoring case" example:"dan@example.org"`
	}
	email user.Email
}

func (in *changeEmail) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpapi.Faults(httpapi.Parse("body.email", &in.email, in.Body.Email, user.ParseEmail))...)
}

type addRole struct {
	Target
	Body struct {
		RoleID string `json:"roleId" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"a UUID of 36 characters" doc:"a role that exists and is enabled" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	}
	roleID string
}

func (in *addRole) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpapi.Faults(httpapi.Parse("body.roleId", &in.roleID, in.Body.RoleID, value.ParseID))...)
}

type removeRole struct {
	Target
	RoleID string `path:"roleId" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"a UUID of 36 characters" doc:"a role the user holds" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
}

func (in *removeRole) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpapi.Faults(httpapi.Parse("path.roleId", &in.RoleID, in.RoleID, value.ParseID))...)
}

func registerUsers(a *adder, h *commands.Handler) {
	const users = "users"
	add(a, users, http.MethodPost, "/users", "registerUser", "Register a user",
		refusals{user.ErrExists, user.ErrEmailTaken},
		func(ctx context.Context, in *registerUser) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "register", in.id, user.Register{ID: user.ID(in.id), Email: in.email}, in.demand)
			return in.id, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}", "updateUser", "Give a user its names",
		refusals{user.ErrNotFound, user.ErrDisabled},
		func(ctx context.Context, in *updateUser) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "update", in.ID, user.Update{FirstName: in.firstName, LastName: in.lastName}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}/email", "changeEmail", "Change a user's e-mail address",
		refusals{user.ErrNotFound, user.ErrDisabled, user.ErrEmailTaken},
		func(ctx context.Context, in *changeEmail) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "changeEmail", in.ID, user.ChangeEmail{Email: in.email}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}/disable", "disableUser", "Disable a user",
		refusals{user.ErrNotFound, user.ErrDisabled},
		func(ctx context.Context, in *Target) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "disable", in.ID, user.Disable{}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPut, "/users/{id}/enable", "enableUser", "Enable a user again",
		refusals{user.ErrNotFound, user.ErrEnabled},
		func(ctx context.Context, in *Target) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "enable", in.ID, user.Enable{}, in.demand)
			return in.ID, v, err
		})
	add(a, users, http.MethodPost, "/users/{id}/roles", "addRole", "Give a user a role",
		refusals{user.ErrNotFound, user.ErrDisabled, user.ErrRoleHeld, user.ErrTooManyRoles, user.ErrRoleNotFound, user.ErrRoleDisabled},
		func(ctx context.Context, in *addRole) (string, eventsourcing.Version, error) {
			v, err := h.AddRole(ctx, in.ID, in.roleID, in.demand)
			return in.ID, v, err
		}, "roles:read") // its refusals tell of the role
	add(a, users, http.MethodDelete, "/users/{id}/roles/{roleId}", "removeRole", "Take a role from a user",
		refusals{user.ErrNotFound, user.ErrRoleNotHeld},
		func(ctx context.Context, in *removeRole) (string, eventsourcing.Version, error) {
			v, err := h.User(ctx, "removeRole", in.ID, user.RemoveRole{RoleID: user.RoleID(in.RoleID)}, in.demand)
			return in.ID, v, err
		})
}
