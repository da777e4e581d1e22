//go:build wireinject

package app

import (
	"context"

	"github.com/google/wire"

	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service"
)

// New wires the service. The queues must exist.
func New(ctx context.Context, cfg Config, p service.Platform) (service.App, error) {
	wire.Build(newConfig, readservice.New)
	return service.App{}, nil
}
