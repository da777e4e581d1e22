package service

import (
	"context"
	"net/http"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// API is the configuration, beside Config, of every service with a REST API.
type API struct {
	Addr string `envconfig:"API_ADDR" default:"127.0.0.1:8080" desc:"address of the REST API"`
	HTTP httpapi.Config
	Auth auth.Config
}

// Handler serves the app's Routes behind the guard, which has to run beside it.
func (a App) Handler(p Platform) (http.Handler, *auth.Guard, error) {
	guard, err := auth.NewGuard(a.API.Auth, auth.Options{Now: p.Now, Logger: p.Log, Metrics: p.Metrics, Jitter: p.Jitter})
	if err != nil {
		return nil, nil, err
	}
	router := httpapi.NewRouter(p.Log, a.API.HTTP.Front()...)
	api := httpapi.NewAPI(router)
	a.API.HTTP.LimitRate(api, p.Now, guard.Protect, subject)
	a.Routes(api)
	traced := telemetry.Requests(router, p.Traces, p.Tracing.Propagator(), p.Metrics, p.Now)
	return traced, guard, httpapi.Publish(router, api, a.Info)
}

// subject returns who sent the request, or "" if no token was required.
func subject(ctx context.Context) string {
	if p := auth.Of(ctx); p.Subject != auth.Anonymous {
		return p.Subject
	}
	return ""
}
