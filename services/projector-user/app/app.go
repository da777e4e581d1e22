// Package app wires projector-user from its configuration.
package app

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-user/internal/users"
)

// Shapes are the folds of the read model, the newest last.
func Shapes() []generation.Shape { return users.Shapes() }

func newConfig(cfg Config, p service.Platform) readservice.Config {
	owners := dynamostore.NewStore(dynamodb.NewFromConfig(p.AWS), dynamostore.Config{
		Tables: dynamostore.Tables{Claims: cfg.SetValidations}, Now: p.Now,
	})
	return readservice.Config{
		Name: "users", EventLog: cfg.EventLog, Table: cfg.Users, Queue: cfg.UserQueue,
		Shapes: Shapes(), Generations: cfg.Generations, Visibility: cfg.Visibility, Cache: cfg.CacheConfig, Audit: cfg.AuditConfig,
		API: cfg.API,
		Routes: func(api huma.API, r readservice.Reader, past history.Log) {
			users.Register(api, r, past, owners, p.Logger)
		},
	}
}
