package rest

import (
	"net/http"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

type createRole struct {
	Headers
	Body struct {
		ID   restvalue.NewID    `json:"id,omitempty" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
		Name restvalue.RoleName `json:"name" example:"auditor"`
	}
}

func (in *createRole) aggregateID() string { return string(in.Body.ID) }

type renameRole struct {
	Target
	Body struct {
		Name restvalue.RoleName `json:"name" example:"chief-auditor"`
	}
}

type roleCommand = eventsourcing.Command[role.State, role.Event]

func registerRoles(c collection, h *commands.Handler) {
	decide(c, h.Role, operation{
		id: "createRole", method: http.MethodPost, path: "/roles", summary: "Create a role",
		refusals: []error{role.ErrExists, role.ErrNameTaken},
	}, func(in *createRole) roleCommand {
		return role.Create{ID: role.ID(in.Body.ID), Name: role.Name(in.Body.Name)}
	})
	decide(c, h.Role, operation{
		id: "renameRole", method: http.MethodPut, path: "/roles/{id}", summary: "Rename a role",
		refusals: []error{role.ErrNotFound, role.ErrDisabled, role.ErrNameTaken},
	}, func(in *renameRole) roleCommand { return role.Rename{Name: role.Name(in.Body.Name)} })
	decide(c, h.Role, operation{
		id: "disableRole", method: http.MethodPut, path: "/roles/{id}/disable", summary: "Disable a role",
		refusals: []error{role.ErrNotFound, role.ErrDisabled},
	}, func(*Target) roleCommand { return role.Disable{} })
	decide(c, h.Role, operation{
		id: "enableRole", method: http.MethodPut, path: "/roles/{id}/enable", summary: "Enable a role again",
		refusals: []error{role.ErrNotFound, role.ErrEnabled},
	}, func(*Target) roleCommand { return role.Enable{} })
}
