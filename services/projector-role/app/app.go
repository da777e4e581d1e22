// Package app wires projector-role from its configuration.
package app

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-role/internal/roles"
)

// Shapes are the folds of the read model, the newest last.
func Shapes() []generation.Shape { return roles.Shapes() }

func newConfig(cfg Config, p service.Platform) readservice.Config {
	return readservice.Config{
		Name: "roles", EventLog: cfg.EventLog, Table: cfg.Roles, Queue: cfg.RoleQueue,
		Shapes: Shapes(), Generations: cfg.Generations, Visibility: cfg.Visibility, Cache: cfg.CacheConfig, Audit: cfg.AuditConfig,
		API:    cfg.API,
		Routes: func(api huma.API, r readservice.Reader, past history.Log) { roles.Register(api, r, past, p.Logger) },
	}
}
