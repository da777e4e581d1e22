// Package app wires the console from its configuration.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/iam/processes"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/iam/whereabouts"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/login"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/services/console/internal/journey"
	"github.com/leftfold/leftfold/services/console/internal/operate"
	"github.com/leftfold/leftfold/services/console/internal/overview"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/people"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
	"github.com/leftfold/leftfold/services/console/internal/rest"
	"github.com/leftfold/leftfold/services/console/internal/streams"
	"github.com/leftfold/leftfold/services/console/internal/whatif"
)

// Addresses are where the rest of the system is. They are asked for at each request: a process that has all of it knows them late.
type Addresses interface {
	// API returns the URL of the REST API.
	API() string
	// Admins returns the URLs of the admin addresses.
	Admins() []string
}

// fixed are the addresses of the configuration.
type fixed struct{ cfg Config }

func (f fixed) API() string      { return f.cfg.APIURL }
func (f fixed) Admins() []string { return f.cfg.Admins.URLs }

// New wires the console of the system that the configuration names.
func New(ctx context.Context, cfg Config, p service.Platform) (service.App, error) {
	if len(cfg.Admins.URLs) == 0 {
		return service.App{}, errors.New("ADMIN_URLS is unset: name the admin addresses of the services, with commas")
	}
	return NewAt(ctx, cfg, p, fixed{cfg})
}

// NewAt wires the console of the system at those addresses, with more areas than the service has.
func NewAt(
	_ context.Context, cfg Config, p service.Platform, at Addresses, more ...func(*page.Frame) (page.Area, error),
) (service.App, error) {
	names := cfg.names()
	db := dynamodb.NewFromConfig(p.AWS)
	tables := dynamostore.Config{
		Tables: dynamostore.Tables{Events: names.EventLog, Claims: names.SetValidations, Snapshots: names.Snapshots},
		Now:    p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
	}
	log := dynamostore.NewStore(db, tables)
	services := &services{at: at, admins: cfg.Admins}
	watcher := pipeline.NewWatcher(services, p.Now, consumers(names))
	done := make(chan struct{})
	find := func(
		ctx context.Context, stream eventsourcing.StreamID, version eventsourcing.Version, on func(whereabouts.Stop),
	) (bool, error) {
		remembered, err := services.remembered(ctx, url.Values{"stream": {stream.String()}, "version": {fmt.Sprint(version)}})
		if err != nil {
			return false, err
		}
		return whereabouts.Finder{
			Names: names, Log: log, DB: db, Claims: dynamostore.NewClaims(db, tables),
			Leases: shards.NewDynamoDBLeases(db, names.Leases), SetAside: setaside.NewList(db, names.SetAside, nil), // it keeps nothing
			Remembered: remembered,
		}.Find(ctx, stream, version, on)
	}
	api := rest.NewClient(at.API, p.Peers)
	desk, err := operations.NewDesk(operations.Config{Log: log, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter}, Logger: p.Logger})
	if err != nil {
		return service.App{}, err
	}
	kinds, err := processes.All(log, timers.Table{DB: db, Name: names.Timers}, dynamostore.NewSnapshots(db, tables.Tables))
	if err != nil {
		return service.App{}, err
	}
	frame, err := page.New(page.Config{Logger: p.Logger, Admit: admitAll})
	if err != nil {
		return service.App{}, err
	}
	var areas []page.Area
	var errs []error
	add := func(a page.Area, err error) { areas, errs = append(areas, a), append(errs, err) }
	add(overview.New(frame, watcher, done))
	add(journey.New(frame, journey.Config{Log: log, Find: find, Locate: services.locate, API: api}))
	add(streams.New(frame, log, api))
	add(whatif.New(frame, log, api))
	add(people.Users(frame, api))
	add(people.Roles(frame, api))
	add(operate.New(frame, operate.Config{
		Names: names, Services: services.now, Desk: desk, Processes: kinds, Log: log, Leases: shards.NewDynamoDBLeases(db, names.Leases),
		Now: p.Now,
	}))
	for _, area := range more {
		add(area(frame))
	}
	if err := errors.Join(errs...); err != nil {
		return service.App{}, err
	}
	return service.App{
		Parts: []service.Part{
			{Name: "watcher", Run: func(ctx context.Context) error {
				defer close(done)
				return watcher.Run(ctx)
			}},
			{Name: "orders of operators", Run: desk.Run},
		},
		Checks: []health.Check{awsconfig.TableCheck(db, names.EventLog)},
		API:    cfg.API,
		Info:   problems.Info(),
		Pages: func(r chi.Router, guard *auth.Guard) error {
			if cfg.Auth.Mode != "none" {
				if len(cfg.Login.Scopes) == 0 {
					cfg.Login.Scopes = page.Scopes()
				}
				signIn, err := login.New(cfg.Login, guard, login.Options{
					URL: func() string { return cmp.Or(cfg.Login.URL, at.API()) }, Prefix: page.Prefix, Show: frame.Notice, Carry: rest.WithToken,
					Logger: p.Logger, Metrics: p.Metrics, Now: p.Now,
				})
				if err != nil {
					return err
				}
				frame.Admit, frame.Open = signIn.Require, signIn.Routes
			}
			return frame.Register(r, areas...)
		},
	}, nil
}

// admitAll lets every reader do everything: no tokens are required.
func admitAll(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(auth.With(r.Context(), auth.Everything())))
	})
}

func consumers(n topology.Names) (all []pipeline.Consumer) {
	for _, p := range n.Projections() {
		all = append(all, pipeline.Consumer{Name: p.Name, Service: p.Service, Queue: p.Queue, Does: "writes the rows of " + p.Name})
	}
	p := n.Processes()
	return append(all, pipeline.Consumer{
		Name: p.Name, Service: p.Service, Queue: p.Queue, Does: "hears for the processes, fires their timers",
	})
}

// services asks the admin addresses.
type services struct {
	at     Addresses
	admins adminclient.Config
}

// now returns a client of the addresses as they are now: replicas come and go behind a name.
func (s *services) now(ctx context.Context) (*adminclient.Client, error) {
	cfg := s.admins
	cfg.URLs = s.at.Admins()
	return adminclient.New(ctx, cfg, nil)
}

// All implements pipeline.Asker.
func (s *services) All(ctx context.Context, path string) []adminclient.Answer {
	client, err := s.now(ctx)
	if err != nil {
		return []adminclient.Answer{{Address: "ADMIN_URLS", Err: err}}
	}
	return client.All(ctx, path)
}

// remembered is what every service that answers remembers.
func (s *services) remembered(ctx context.Context, query url.Values) (all []service.Journey, err error) {
	client, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	all, err = whereabouts.Remembered(ctx, client, query, func(string, error) {})
	if errors.Is(err, adminclient.ErrNothingThere) {
		err = nil // the page says what is not seen
	}
	return all, err
}

func (s *services) locate(
	ctx context.Context, id string,
) (stream eventsourcing.StreamID, version eventsourcing.Version, found bool, err error) {
	journeys, err := s.remembered(ctx, url.Values{"event": {id}})
	if err != nil {
		return stream, 0, false, err
	}
	return whereabouts.Event(journeys)
}
