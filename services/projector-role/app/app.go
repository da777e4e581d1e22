// Package app wires projector-role from its configuration.
package app

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-role/internal/roles"
)

func newConfig(cfg Config, p service.Platform) readservice.Config {
	return readservice.Config{
		Name: "roles", EventLog: cfg.EventLog, Table: cfg.Roles, Queue: cfg.RoleQueue,
		Sources: roles.Sources(), Visibility: cfg.Visibility, API: cfg.API,
		Routes: func(api huma.API, r projection.Reader) { roles.Register(api, r, p.Logger) },
	}
}
