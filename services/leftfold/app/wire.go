//go:build wireinject

package app

import (
	"context"
	"io"

	"github.com/google/wire"
)

// New provisions an embedded AWS, wires every service on it and takes all addresses.
func New(ctx context.Context, cfg Config, logs io.Writer) (*System, error) {
	wire.Build(newServer, newSystem)
	return nil, nil
}
