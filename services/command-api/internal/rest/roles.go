package rest

import (
	"net/http"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

type createRole struct {
	Sending
	Body struct {
		ID   restvalue.NewID    `json:"id,omitempty" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
		Name restvalue.RoleName `json:"name" example:"auditor"`

		Essential  bool                 `json:"essential,omitempty" doc:"one enabled user that holds it without an end must remain, once there is one" example:"false"`
		MaxMembers restvalue.MaxMembers `json:"maxMembers,omitempty" doc:"the most users that may hold it; any number if left out or 0" example:"25"`
	}
}

func (in *createRole) aggregateID() string { return string(in.Body.ID) }

type renameRole struct {
	Target
	Body struct {
		Name restvalue.RoleName `json:"name" example:"chief-auditor"`
	}
}

type setRules struct {
	Target
	Body struct {
		Essential  bool                 `json:"essential" doc:"one enabled user that holds the role without an end must remain; there must be one now" example:"false"`
		MaxMembers restvalue.MaxMembers `json:"maxMembers" doc:"the most users that may hold it, not less than do now; 0: any number" example:"25"`
	}
}

type roleCommand = eventsourcing.Command[role.State, role.Event]

func registerRoles(c collection, h *commands.Handler) {
	decide(c, h.Role, operation{
		id: "createRole", method: http.MethodPost, path: "/roles", summary: "Create a role",
		refusals: []error{role.ErrExists, role.ErrNameTaken},
	}, func(in *createRole) roleCommand {
		return role.Create{
			ID: role.ID(in.Body.ID), Name: role.Name(in.Body.Name),
			Rules: role.Rules{Essential: in.Body.Essential, MaxMembers: int64(in.Body.MaxMembers)},
		}
	})
	decide(c, h.Role, operation{
		id: "renameRole", method: http.MethodPut, path: "/roles/{id}", summary: "Rename a role",
		refusals: inUse(role.ErrDisabled, role.ErrNameTaken),
	}, func(in *renameRole) roleCommand { return role.Rename{Name: role.Name(in.Body.Name)} })
	decide(c, h.Role, operation{
		id: "disableRole", method: http.MethodPut, path: "/roles/{id}/disable", summary: "Disable a role",
		refusals: inUse(role.ErrDisabled, role.ErrEssential),
	}, func(*Target) roleCommand { return role.Disable{} })
	decide(c, h.Role, operation{
		id: "enableRole", method: http.MethodPut, path: "/roles/{id}/enable", summary: "Enable a role again",
		refusals: inUse(role.ErrEnabled),
	}, func(*Target) roleCommand { return role.Enable{} })
	decide(c, h.Role, operation{
		id: "setRules", method: http.MethodPut, path: "/roles/{id}/rules", summary: "Give a role rules in place of those it has",
		refusals: inUse(role.ErrDisabled, role.ErrNoHolder, role.ErrTooManyMembers, role.ErrScopeNotReady),
	}, func(in *setRules) roleCommand {
		return role.SetRules{Rules: role.Rules{Essential: in.Body.Essential, MaxMembers: int64(in.Body.MaxMembers)}}
	})
	registerRetirement(c, h)
}

func registerRetirement(c collection, h *commands.Handler) {
	decide(c, h.Role, operation{
		id: "retireRole", method: http.MethodPut, path: "/roles/{id}/retire", summary: "Have a role taken from everybody and ended for good",
		refusals: inUse(role.ErrEssential, role.ErrScopeNotReady),
	}, func(*Target) roleCommand { return role.Retire{} })
	decide(c, h.Role, operation{
		id: "cancelRetirement", method: http.MethodPut, path: "/roles/{id}/retire/cancel",
		summary:  "End a role's retirement midway, which leaves it disabled",
		refusals: []error{role.ErrNotFound, role.ErrRetired, role.ErrNotRetiring},
	}, func(*Target) roleCommand { return role.CancelRetirement{} })
	decide(c, h.Role, operation{
		id: "completeRetirement", method: http.MethodPut, path: "/roles/{id}/retire/complete",
		summary:  "End a role for good that nobody holds any more, as processor does",
		refusals: []error{role.ErrNotFound, role.ErrRetired, role.ErrNotRetiring, role.ErrMembersLeft, role.ErrScopeNotReady},
		scopes:   []string{"roles:retire"},
	}, func(*Target) roleCommand { return role.CompleteRetirement{} })
}

// inUse are the refusals of a command for which the role must exist and not retire, and others.
func inUse(others ...error) []error {
	return append([]error{role.ErrNotFound, role.ErrRetiring, role.ErrRetired}, others...)
}
