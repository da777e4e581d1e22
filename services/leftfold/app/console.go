package app

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	console "github.com/leftfold/leftfold/services/console/app"
	"github.com/leftfold/leftfold/services/console/faults"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
	"github.com/leftfold/leftfold/services/leftfold/internal/trouble"
)

// addresses are those of this process, which has them once it listens.
type addresses struct{ api, admin atomic.Value }

func (a *addresses) set(api, admin string) {
	a.api.Store(api)
	a.admin.Store("http://" + admin)
}

// API implements console.Addresses.
func (a *addresses) API() string {
	api, _ := a.api.Load().(string)
	return api
}

// Admins implements console.Addresses.
func (a *addresses) Admins() []string {
	if admin, ok := a.admin.Load().(string); ok {
		return []string{admin}
	}
	return nil
}

// newConsole is the console of this process, in which its system can be broken unless that is nil.
func newConsole(cfg Config, at *addresses, broken *trouble.System) Service {
	return Service{topology.Console, func(ctx context.Context, p service.Platform) (service.App, error) {
		c := cfg.Console
		c.API = cfg.CommandAPI.API // the same address
		if broken == nil {
			return console.NewAt(ctx, c, p, at)
		}
		app, err := console.NewAt(ctx, c, p, at, faults.Area(broken))
		app.Parts = append(app.Parts, service.Part{Name: "stories in trouble", Run: broken.Run})
		return app, err
	}}
}

// killed are the services that can be killed: they have no API, which others would miss.
func killed() []string { return []string{"streamer", "broker"} }

// newTrouble is the system of this process as it can be broken.
func newTrouble(
	cfg Config, s *localaws.Server, at *addresses, own *ownAPI, kill map[string]func(), now func() time.Time,
) *trouble.System {
	var callers []string
	for _, each := range cfg.All() {
		callers = append(callers, each.Name)
	}
	return trouble.New(trouble.Config{
		AWS: s, Names: cfg.Names, Callers: callers, Kill: kill, Now: now,
		Story: func(ctx context.Context, out io.Writer) error {
			db := dynamodb.NewFromConfig(s.Config())
			models, err := oracle.Models(ctx, db, cfg.Names)
			if err != nil {
				return err
			}
			return demo.Play(ctx, demo.Config{Users: storyUsers, Rate: storyRate}, demo.Stage{
				API: at.API(), Network: own.network(), Admins: at.Admins(), Now: now, Out: out, Models: models,
				EventLog: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: cfg.Names.EventLog}}),
			})
		},
	})
}

// A story takes longer than the faults that begin with it.
const (
	storyUsers = 200
	storyRate  = 25 // commands a second
)
