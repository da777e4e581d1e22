//go:build wireinject

package app

import (
	"context"

	"github.com/google/wire"

	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/pkg/projector"
)

// New wires the service. The queues must exist.
func New(ctx context.Context, cfg Config, p process.Platform) (process.App, error) {
	wire.Build(newConfig, projector.New)
	return process.App{}, nil
}
