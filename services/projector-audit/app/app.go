// Package app wires projector-audit from its configuration.
package app

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-audit/internal/trail"
)

// Shapes are the folds of the read model, the newest last.
func Shapes() []generation.Shape { return trail.Shapes() }

func newConfig(cfg Config, p service.Platform) readservice.Config {
	return readservice.Config{
		Name: "audit-trail", EventLog: cfg.EventLog, Table: cfg.Trail, Queue: cfg.TrailQueue,
		Shapes: Shapes(), Generations: cfg.Generations, Visibility: cfg.Visibility, Cache: cfg.CacheConfig, Audit: cfg.AuditConfig,
		API:    cfg.API,
		Routes: func(api huma.API, r readservice.Reader, _ history.Log) { trail.Register(api, r, p.Now, p.Logger) },
	}
}
