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
	Sending
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
	Sending
	Body struct {
		RoleID restvalue.ID       `json:"roleId" doc:"a role that exists and is enabled" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
		Until  *restvalue.Instant `json:"until,omitempty" nullable:"true" doc:"when the user loses it again; never if left out or null" example:"2030-01-31T18:00:00Z"`
	}
}

func (in *addRole) aggregateID() string { return string(in.ID) }

// HeldRole is the input of a command on a role that a user holds. The type is exported as Sending is.
type HeldRole struct {
	Target

	RoleID restvalue.ID `path:"roleId" doc:"a role the user holds" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
}

type changeRoleUntil struct {
	HeldRole
	Body struct {
		Until *restvalue.Instant `json:"until" nullable:"true" doc:"when the user loses the role; null: never" example:"2030-06-30T18:00:00Z"`
	}
}

type expireRole struct {
	HeldRole
	Body struct {
		Until restvalue.Instant `json:"until" doc:"when the grant ends, as its event says" example:"2030-06-30T18:00:00Z"`
	}
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
		refusals: []error{user.ErrNotFound, user.ErrDisabled, user.ErrLastHolder},
	}, func(*Target) userCommand { return user.Disable{} })
	decide(c, h.User, operation{
		id: "enableUser", method: http.MethodPut, path: "/users/{id}/enable", summary: "Enable a user again",
		refusals: []error{user.ErrNotFound, user.ErrEnabled},
	}, func(*Target) userCommand { return user.Enable{} })
	registerGrants(c, h)
}

func registerGrants(c collection, h *commands.Handler) {
	on(c, operation{
		id: "addRole", method: http.MethodPost, path: "/users/{id}/roles", summary: "Give a user a role, for good or until a time",
		refusals: []error{
			user.ErrNotFound, user.ErrDisabled, user.ErrRoleHeld, user.ErrTooManyRoles, user.ErrRoleNotFound, user.ErrRoleDisabled,
			user.ErrRoleRetiring, user.ErrRoleRetired, user.ErrUntilPassed, user.ErrNoSeatLeft,
		},
		scopes: []string{"users:write", "roles:read"}, // its refusals reveal the role's state
	}, func(ctx context.Context, in *addRole, o commands.Options) (eventsourcing.Version, error) {
		return h.AddRole(ctx, in.aggregateID(), string(in.Body.RoleID), in.Body.Until.Time(), o)
	})
	decide(c, h.User, operation{
		id: "changeRoleUntil", method: http.MethodPut, path: "/users/{id}/roles/{roleId}",
		summary:  "Change when a user loses a role, or let it keep the role",
		refusals: []error{user.ErrNotFound, user.ErrDisabled, user.ErrRoleNotHeld, user.ErrUntilPassed, user.ErrLastHolder},
	}, func(in *changeRoleUntil) userCommand {
		return user.ChangeRoleUntil{RoleID: user.RoleID(in.RoleID), Until: in.Body.Until.Time(), Now: h.Now()}
	})
	decide(c, h.User, operation{
		id: "removeRole", method: http.MethodDelete, path: "/users/{id}/roles/{roleId}", summary: "Take a role from a user",
		refusals: []error{user.ErrNotFound, user.ErrRoleNotHeld, user.ErrLastHolder},
	}, func(in *HeldRole) userCommand { return user.RemoveRole{RoleID: user.RoleID(in.RoleID)} })
	decide(c, h.User, operation{
		id: "expireRole", method: http.MethodPut, path: "/users/{id}/roles/{roleId}/expire",
		summary:  "Take a role whose time is over from a user, as processor does",
		refusals: []error{user.ErrNotFound, user.ErrRoleNotHeld, user.ErrGrantChanged, user.ErrGrantNotEnded},
		scopes:   []string{"grants:expire"},
	}, func(in *expireRole) userCommand {
		return user.ExpireRole{RoleID: user.RoleID(in.RoleID), Until: in.Body.Until.Time(), Now: h.Now()}
	})
}
