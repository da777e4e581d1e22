package app

import (
	"context"
	"sync/atomic"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	console "github.com/leftfold/leftfold/services/console/app"
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

// newConsole is the console of this process.
func newConsole(cfg Config, at *addresses) Service {
	return Service{topology.Console, func(ctx context.Context, p service.Platform) (service.App, error) {
		c := cfg.Console
		c.API = cfg.CommandAPI.API // the same address
		return console.NewAt(ctx, c, p, at)
	}}
}
