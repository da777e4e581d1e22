// Package app composes every service and the embedded AWS into one process.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
	"github.com/leftfold/leftfold/services/leftfold/internal/trouble"
)

// System is the whole system, ready to run.
type System struct {
	Config   Config
	Platform service.Platform
	Registry *prometheus.Registry
	AWS      *localaws.Server
	// The addresses taken, with the actual ports where ":0" was requested.
	APIAddr, AdminAddr, AWSAddr string

	parts    []service.Part
	embedded *embedded
}

// Run runs everything until ctx ends.
func (s *System) Run(ctx context.Context) error {
	return s.embedded.closed(s.Platform.Run(ctx, s.Config.StopTimeout, s.parts...))
}

// During runs everything until do has returned. The context of do ends if the system ends before.
func (s *System) During(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := s.Run(ctx)
		stop()
		ended <- err
	}()
	err := do(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// OnFreePorts returns c with free ports in place of its own, without TLS, and without a data directory.
func (c Config) OnFreePorts() Config {
	const free = "127.0.0.1:0"
	c.CommandAPI.Addr, c.Admin.Addr, c.AWSAddr, c.DataDir = free, free, free, ""
	c.CommandAPI.HTTP.TLSCertFile, c.CommandAPI.HTTP.TLSKeyFile = "", ""
	return c
}

// New provisions an embedded AWS, wires every service on it and takes all addresses.
func New(ctx context.Context, cfg Config, logs io.Writer) (*System, error) {
	platform, registry, err := service.NewPlatform(cfg.Config, logs)
	if err != nil {
		return nil, err
	}
	if !cfg.BeginsEmpty() {
		cfg.Seed = 0
	}
	server, err := newEmbedded(ctx, cfg.AWSConfig)
	if err != nil {
		return nil, err
	}
	platform.AWS = server.Config()
	s := &System{Config: cfg, Platform: platform, Registry: registry, AWS: server.Server, embedded: server}
	if err = s.releaseLeases(ctx); err == nil {
		err = s.wire(ctx)
	}
	if err != nil {
		return nil, server.closed(err)
	}
	return s, nil
}

// releaseLeases frees what readers hold that a kill has ended, so that those of this process need not wait until it is over. All of them
// have ended: they reached this AWS in the process that had the data directory before, which is gone, since this one has its lock, and
// none reaches it here before its address is taken.
func (s *System) releaseLeases(ctx context.Context) error {
	leases := shards.NewDynamoDBLeases(dynamodb.NewFromConfig(s.Platform.AWS), s.Config.Streamer.Leases)
	for _, reader := range s.Config.All() {
		if err := shards.Release(ctx, leases, reader.Name); err != nil { // most are no readers, and have no leases
			return fmt.Errorf("%s: %w", reader.Name, err)
		}
	}
	return nil
}

// wire wires every service and takes all addresses.
func (s *System) wire(ctx context.Context) error {
	cfg := s.Config
	own := &ownAPI{secure: cfg.CommandAPI.HTTP.TLSCertFile != ""}
	s.Platform.Peers = own
	at := &addresses{}
	whole, err := s.together(ctx, at, own)
	if err != nil {
		return err
	}
	whole.Info.Note = "Every service and an embedded AWS run in one process. " + cfg.Kept()
	if !strings.HasSuffix(cfg.Admin.Addr, ":0") {
		whole.Info.Links = []httpapi.Link{
			{Address: "http://" + cfg.Admin.Addr + "/", Name: "Health and metrics", Means: "the admin address"},
		}
	}
	//nolint:contextcheck // each request has its own context
	endpoints, err := service.Endpoints(cfg.Config, s.Platform.For("leftfold"), s.Registry, whole)
	if err != nil {
		return err
	}
	servers, addrs, err := service.Listen(ctx, s.Platform.Logger, append(endpoints, s.embedded.endpoint(cfg.AWSConfig))...)
	if err != nil {
		return err
	}
	if cfg.Seed > 0 {
		whole.Parts = append(whole.Parts, service.Part{Name: "seed", Run: func(ctx context.Context) error {
			err := demo.Seed(ctx, own.url(), own.network(), cfg.Seed)
			if err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		}})
	}
	s.APIAddr, s.AdminAddr, s.AWSAddr = addrs["api"], addrs["admin"], addrs["aws"]
	own.addr = s.APIAddr
	at.set(own.url(), s.AdminAddr)
	s.parts = append(whole.Parts, servers...)
	return nil
}

// together composes the apps of all services into one.
func (s *System) together(ctx context.Context, at *addresses, own *ownAPI) (whole service.App, err error) {
	cfg := s.Config
	whole.API, whole.Info = cfg.CommandAPI.API, problems.Info() // the same in all of them
	var routes, admin []func(huma.API)
	services := cfg.All()
	if cfg.Archive.Archive != "" {
		services = append(services, newService("archive", NewArchiveWriter, cfg.Archive))
	}
	kill := map[string]func(){}
	var broken *trouble.System
	if cfg.CommandAPI.Auth.Mode == "none" { // a story's requests have no token
		broken = newTrouble(cfg, s.AWS, at, own, kill, s.Platform.Now)
	}
	for _, each := range append(services, newConsole(cfg, at, broken)) {
		p := s.Platform
		p.AWS.Credentials = credentials.NewStaticCredentialsProvider(each.Name, "local", "") // so that faults can strike it alone
		var app service.App
		if slices.Contains(killed(), each.Name) {
			k := newKillable(each, cfg.StopTimeout)
			kill[each.Name] = k.Kill
			app, err = k.app(ctx, p)
		} else {
			app, err = each.New(ctx, p.For(each.Name))
		}
		if err != nil {
			return whole, fmt.Errorf("%s: %w", each.Name, err)
		}
		whole.Parts = append(whole.Parts, app.Parts...)
		whole.First = append(whole.First, app.First...)
		whole.Checks = append(whole.Checks, app.Checks...)
		routes, admin = append(routes, app.Routes), append(admin, app.Admin)
		if app.Pages != nil {
			whole.Pages = app.Pages // the console's
		}
	}
	whole.Routes, whole.Admin = all(routes), all(admin)
	return whole, nil
}

func all(parts []func(huma.API)) func(huma.API) {
	return func(api huma.API) {
		for _, add := range parts {
			if add != nil {
				add(api)
			}
		}
	}
}
