//go:build wireinject

package app

import (
	"context"

	"github.com/google/wire"

	"github.com/leftfold/leftfold/pkg/process"
)

// New wires the service.
func New(ctx context.Context, cfg Config, p process.Platform) (process.App, error) {
	wire.Build(newDynamoDB, newKinesis, newPublisher, newReader, newApp)
	return process.App{}, nil
}
