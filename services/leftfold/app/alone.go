package app

import (
	"context"
	"io"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
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
	return alone(ctx, cfg.Config, logs, func(service.Platform) (service.Endpoint, error) {
		server, err := newServer(ctx, cfg)
		return endpoint(cfg, server), err
	})
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

// newServer returns an embedded AWS with the product's tables, stream and queues.
func newServer(ctx context.Context, cfg AWSConfig) (*localaws.Server, error) {
	server := localaws.New(localaws.Options{Region: cfg.Region})
	return server, provision.Run(ctx, server.Config(), provision.Config{Names: cfg.Names})
}

func endpoint(cfg AWSConfig, server *localaws.Server) service.Endpoint {
	return service.Endpoint{
		Name: "aws", Variable: "AWS_ADDR", Addr: cfg.AWSAddr, Handler: server,
		HTTP:             httpapi.Config{WriteTimeout: 7 * time.Minute}, // a subscription to a shard of Kinesis lasts for 5
		UnencryptedHTTP2: true,                                          // the SDKs for Java and JavaScript speak it with Kinesis
		Parts: []service.Part{{Name: "long polls", Run: func(ctx context.Context) error {
			<-ctx.Done()
			server.Close() // ends the long polls of outside clients, which a stop would wait for
			return nil
		}}},
	}
}
