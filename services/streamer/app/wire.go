//go:build wireinject

package app

import (
	"context"

	"github.com/google/wire"

	"github.com/leftfold/leftfold/pkg/service"
)

// New wires the service.
func New(ctx context.Context, cfg Config, p service.Platform) (service.App, error) {
	wire.Build(newDynamoDB, newKinesis, newPublisher, newReader, newApp)
	return service.App{}, nil
}
