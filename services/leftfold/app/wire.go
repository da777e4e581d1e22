//go:build wireinject

package app

import (
	"context"
	"io"

	"github.com/google/wire"
)

// New provisions an AWS in memory, wires every service on it and takes all addresses.
func New(ctx context.Context, cfg Config, logs io.Writer) (*Standalone, error) {
	wire.Build(newServer, newStandalone)
	return nil, nil
}
