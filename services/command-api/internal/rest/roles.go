package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

type createRole struct {
	Headers
	Body struct {
		ID   string `json:"id,omitempty" pattern:"^$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"a UUID of 36 characters" doc:"an id of your choice; made for you if left out" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
		Name string `json:"name" minLength:"1" maxLength:"30" pattern:"^\\s*[\\p{L}_-]*\\p{L}[\\p{L}_-]*\\s*$" patternDescription:"letters, - and _, at least one of them a letter" doc:"letters of any script, - and _; unique ignoring case" example:"auditor"`
	}
	id   string
	name role.Name
}

func (in *createRole) Resolve(c huma.Context) []error {
	return append(in.Headers.Resolve(c), httpapi.Faults(
		httpapi.Parse("body.id", &in.id, in.Body.ID, newID),
		httpapi.Parse("body.name", &in.name, in.Body.Name, role.ParseName))...)
}

type renameRole struct {
	Target
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"30" pattern:"^\\s*[\\p{L}_-]*\\p{L}[\\p{L}_-]*\\s*$" patternDescription:"letters, - and _, at least one of them a letter" doc:"letters of any script, - and _; unique ignoring case" example:"chief-auditor"`
	}
	name role.Name
}

func (in *renameRole) Resolve(c huma.Context) []error {
	return append(in.Target.Resolve(c), httpapi.Faults(httpapi.Parse("body.name", &in.name, in.Body.Name, role.ParseName))...)
}

func registerRoles(a *adder, h *commands.Handler) {
	const roles = "roles"
	add(a, roles, http.MethodPost, "/roles", "createRole", "Create a role",
		refusals{role.ErrExists, role.ErrNameTaken},
		func(ctx context.Context, in *createRole) (string, eventsourcing.Version, error) {
			v, err := h.Role(ctx, "create", in.id, role.Create{ID: role.ID(in.id), Name: in.name}, in.demand)
			return in.id, v, err
		})
	add(a, roles, http.MethodPut, "/roles/{id}", "renameRole", "Rename a role",
		refusals{role.ErrNotFound, role.ErrDisabled, role.ErrNameTaken},
		func(ctx context.Context, in *renameRole) (string, eventsourcing.Version, error) {
			v, err := h.Role(ctx, "rename", in.ID, role.Rename{Name: in.name}, in.demand)
			return in.ID, v, err
		})
	add(a, roles, http.MethodPut, "/roles/{id}/disable", "disableRole", "Disable a role",
		refusals{role.ErrNotFound, role.ErrDisabled},
		func(ctx context.Context, in *Target) (string, eventsourcing.Version, error) {
			v, err := h.Role(ctx, "disable", in.ID, role.Disable{}, in.demand)
			return in.ID, v, err
		})
	add(a, roles, http.MethodPut, "/roles/{id}/enable", "enableRole", "Enable a role again",
		refusals{role.ErrNotFound, role.ErrEnabled},
		func(ctx context.Context, in *Target) (string, eventsourcing.Version, error) {
			v, err := h.Role(ctx, "enable", in.ID, role.Enable{}, in.demand)
			return in.ID, v, err
		})
}
