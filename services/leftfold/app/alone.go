package app

import (
	"context"
	"io"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
)

// Alone is one server as a process of its own, ready to run.
type Alone struct {
	Addr string // taken, with the actual port if ":0" was requested

	run func(context.Context) error
}

// Run serves until ctx ends.
func (a *Alone) Run(ctx context.Context) error { return a.run(ctx) }

// NewAWS provisions an embedded AWS and takes its address.
func NewAWS(ctx context.Context, cfg AWSConfig, logs io.Writer) (*Alone, error) {
	server, err := newEmbedded(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a, err := alone(ctx, cfg.Config, logs, func(service.Platform) (service.Endpoint, error) { return server.endpoint(cfg), nil })
	if err != nil {
		return nil, server.closed(err)
	}
	run := a.run
	a.run = func(ctx context.Context) error { return server.closed(run(ctx)) }
	return a, nil
}

// NewIssuer returns the development issuer of tokens, which has its address.
func NewIssuer(ctx context.Context, cfg IssuerConfig, logs io.Writer) (*Alone, error) {
	return alone(ctx, cfg.Process, logs, func(p service.Platform) (service.Endpoint, error) {
		issuer, err := devissuer.New(cfg.Issuer, p.Now)
		return service.Endpoint{Name: "issuer", Variable: "ISSUER_ADDR", Addr: cfg.Issuer.Addr, Handler: issuer}, err
	})
}

func alone(
	ctx context.Context, cfg service.Config, logs io.Writer, newEndpoint func(service.Platform) (service.Endpoint, error),
) (*Alone, error) {
	platform, _, err := service.NewPlatform(cfg, logs)
	if err != nil {
		return nil, err
	}
	e, err := newEndpoint(platform)
	if err != nil {
		return nil, err
	}
	parts, addrs, err := service.Listen(ctx, platform.Logger, e)
	return &Alone{
		Addr: addrs[e.Name], run: func(ctx context.Context) error { return platform.Run(ctx, cfg.StopTimeout, parts...) },
	}, err
}
