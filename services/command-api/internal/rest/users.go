package rest

import (
	"context"
	"net/http"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

type registerUser struct {
	Headers
	Body struct {
		ID    restvalue.NewID `json:"id,omitempty" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
		Email restvalue.Email `json:"email" example:"dan@example.com"`
	}
}

func (in *registerUser) aggregateID() string { return string(in.Body.ID) }

type updateUser struct {
	Target
	Body struct {
		FirstName restvalue.UserName `json:"firstName" example:"Dan"`
		LastName  restvalue.UserName `json:"lastName" doc:"as firstName" example:"O'Neill"`
	}
}

type changeEmail struct {
	Target
	Body struct {
		Email restvalue.Email `json:"email" example:"dan@example.org"`
	}
}

type addRole struct {
	restvalue.Target
	Headers
	Body struct {
		RoleID restvalue.ID `json:"roleId" doc:"a role that exists and is enabled" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	}
}

func (in *addRole) aggregateID() string { return string(in.ID) }

type removeRole struct {
	Target
	RoleID restvalue.ID `path:"roleId" doc:"a role the user holds" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
}

type userCommand = eventsourcing.Command[user.State, user.Event]

func registerUsers(c collection, h *commands.Handler) {
	decide(c, h.User, operation{
		id: "registerUser", method: http.MethodPost, path: "/users", summary: "Register a user",
		refusals: []error{user.ErrExists, user.ErrEmailTaken},
	}, func(in *registerUser) userCommand {
		return user.Register{ID: user.ID(in.Body.ID), Email: user.Email(in.Body.Email)}
	})
	decide(c, h.User, operation{
		id: "updateUser", method: http.MethodPut, path: "/users/{id}", summary: "Give a user its names",
		refusals: []error{user.ErrNotFound, user.ErrDisabled},
	}, func(in *updateUser) userCommand {
		return user.Update{FirstName: user.Name(in.Body.FirstName), LastName: user.Name(in.Body.LastName)}
	})
	decide(c, h.User, operation{
		id: "changeEmail", method: http.MethodPut, path: "/users/{id}/email", summary: "Change a user's e-mail address",
		refusals: []error{user.ErrNotFound, user.ErrDisabled, user.ErrEmailTaken},
	}, func(in *changeEmail) userCommand { return user.ChangeEmail{Email: user.Email(in.Body.Email)} })
	decide(c, h.User, operation{
		id: "disableUser", method: http.MethodPut, path: "/users/{id}/disable", summary: "Disable a user",
		refusals: []error{user.ErrNotFound, user.ErrDisabled},
	}, func(*Target) userCommand { return user.Disable{} })
	decide(c, h.User, operation{
		id: "enableUser", method: http.MethodPut, path: "/users/{id}/enable", summary: "Enable a user again",
		refusals: []error{user.ErrNotFound, user.ErrEnabled},
	}, func(*Target) userCommand { return user.Enable{} })
	on(c, operation{
		id: "addRole", method: http.MethodPost, path: "/users/{id}/roles", summary: "Give a user a role",
		refusals: []error{
			user.ErrNotFound, user.ErrDisabled, user.ErrRoleHeld, user.ErrTooManyRoles, user.ErrRoleNotFound, user.ErrRoleDisabled,
		},
		scopes: []string{"roles:read"}, // its refusals reveal the role's state
	}, func(ctx context.Context, in *addRole, o commands.Options) (eventsourcing.Version, error) {
		return h.AddRole(ctx, in.aggregateID(), string(in.Body.RoleID), o)
	})
	decide(c, h.User, operation{
		id: "removeRole", method: http.MethodDelete, path: "/users/{id}/roles/{roleId}", summary: "Take a role from a user",
		refusals: []error{user.ErrNotFound, user.ErrRoleNotHeld},
	}, func(in *removeRole) userCommand { return user.RemoveRole{RoleID: user.RoleID(in.RoleID)} })
}
