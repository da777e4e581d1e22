package app

import (
	"context"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	broker "github.com/leftfold/leftfold/services/broker/app"
	commandapi "github.com/leftfold/leftfold/services/command-api/app"
	console "github.com/leftfold/leftfold/services/console/app"
	processor "github.com/leftfold/leftfold/services/processor/app"
	projectoraudit "github.com/leftfold/leftfold/services/projector-audit/app"
	projectorrole "github.com/leftfold/leftfold/services/projector-role/app"
	projectoruser "github.com/leftfold/leftfold/services/projector-user/app"
	streamer "github.com/leftfold/leftfold/services/streamer/app"
)

// Services is the configuration of every service.
type Services struct {
	CommandAPI     commandapi.Config
	Streamer       streamer.Config
	Broker         broker.Config
	Processor      processor.Config
	ProjectorUser  projectoruser.Config
	ProjectorRole  projectorrole.Config
	ProjectorAudit projectoraudit.Config
	Console        console.Config
}

// All returns every service that events pass, in their order. The console, which looks at them, is none of these.
func (c Services) All() []Service {
	return []Service{
		newService(topology.CommandAPI, commandapi.New, c.CommandAPI),
		newService("streamer", streamer.New, c.Streamer),
		newService("broker", broker.New, c.Broker),
		newService(topology.Processor, processor.New, c.Processor),
		newService("projector-user", projectoruser.New, c.ProjectorUser),
		newService("projector-role", projectorrole.New, c.ProjectorRole),
		newService("projector-audit", projectoraudit.New, c.ProjectorAudit),
	}
}

// Shapes are the folds of each projection, by its name.
func Shapes() map[string][]generation.Shape {
	return map[string][]generation.Shape{
		"users":       projectoruser.Shapes(),
		"roles":       projectorrole.Shapes(),
		"audit-trail": projectoraudit.Shapes(),
	}
}

// Service is a service that can be made.
type Service struct {
	Name string
	New  func(context.Context, service.Platform) (service.App, error)
}

func newService[C any](name string, newApp func(context.Context, C, service.Platform) (service.App, error), cfg C) Service {
	return Service{name, func(ctx context.Context, p service.Platform) (service.App, error) { return newApp(ctx, cfg, p) }}
}
