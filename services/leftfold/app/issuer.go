package app

import (
	"context"
	"io"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
)

// IssuerConfig is the configuration of the development issuer.
type IssuerConfig struct {
	Process service.Config
	Issuer  devissuer.Config
}

// Issuer is the development issuer of tokens, ready to run.
type Issuer struct {
	Addr string

	config   IssuerConfig
	platform service.Platform
	parts    []service.Part
}

// NewIssuer returns an issuer that has its address.
func NewIssuer(ctx context.Context, cfg IssuerConfig, logs io.Writer) (*Issuer, error) {
	platform, _, err := service.NewPlatform(cfg.Process, logs)
	if err != nil {
		return nil, err
	}
	issuer, err := devissuer.New(cfg.Issuer, platform.Now)
	if err != nil {
		return nil, err
	}
	parts, addrs, err := service.Listen(ctx, platform.Log,
		service.Endpoint{Name: "issuer", Variable: "ISSUER_ADDR", Addr: cfg.Issuer.Addr, Handler: issuer})
	if err != nil {
		return nil, err
	}
	return &Issuer{Addr: addrs["issuer"], config: cfg, platform: platform, parts: parts}, nil
}

// Run serves until ctx ends.
func (i *Issuer) Run(ctx context.Context) error {
	return i.platform.Run(ctx, i.config.Process.StopTimeout, i.parts...)
}
