package service

import (
	"context"
	"net/http"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// API is what every service that serves a REST API reads beside Config.
type API struct {
	Addr string `envconfig:"API_ADDR" default:"127.0.0.1:8080" desc:"address of the REST API"`
	HTTP httpapi.Config
	Auth auth.Config
}

// Handler serves the app's Routes. It lives as long as ctx.
func (a App) Handler(ctx context.Context, p Platform) (http.Handler, error) {
	handler, _, err := a.serve(ctx, p)
	return handler, err
}

// serve also returns what the API depends on beside the app's own Checks.
func (a App) serve(ctx context.Context, p Platform) (http.Handler, []health.Check, error) {
	guard, err := auth.New(ctx, a.API.Auth, auth.Options{Now: p.Now, Log: p.Log, Metrics: p.Metrics, Jitter: p.Jitter})
	if err != nil {
		return nil, nil, err
	}
	router := httpapi.NewRouter(p.Log, a.API.HTTP.Front()...)
	api := httpapi.NewAPI(router)
	limit := a.API.HTTP.NewRateLimit(p.Now, subject)
	limit.Before(api)
	guard.Protect(api)
	limit.After(api) //nolint:contextcheck // each request brings its own
	a.Routes(api)
	traced := telemetry.Requests(router, p.Traces, p.Tracing.Propagator(), p.Metrics, p.Now)
	return traced, guard.Checks(), httpapi.Publish(router, api, a.Info)
}

// subject is who sent the request, or "" if nobody was asked.
func subject(ctx context.Context) string {
	if p := auth.Of(ctx); p.Subject != auth.Anonymous {
		return p.Subject
	}
	return ""
}
