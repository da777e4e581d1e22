package service

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// API is the configuration of every service with a REST API, in addition to Config.
type API struct {
	_    struct{} `group:"REST API"`
	Addr string   `envconfig:"API_ADDR" default:"127.0.0.1:8080" desc:"address of the REST API"`
	HTTP httpapi.Config
	Auth auth.Config
}

// Handler serves the app's Routes behind the guard, which has to run beside it, and its Pages.
func (a App) Handler(p Platform) (http.Handler, *auth.Guard, error) {
	guard, err := auth.NewGuard(a.API.Auth, auth.Options{Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Jitter: p.Jitter, Loops: p.Loops})
	if err != nil {
		return nil, nil, err
	}
	router := httpapi.NewRouter(p.Logger, a.API.HTTP.Front()...)
	api := httpapi.NewAPI(router)
	a.API.HTTP.LimitRate(api, p.Now, guard.Protect, subject)
	if a.Routes != nil {
		if err := httpapi.Add(api, a.Routes); err != nil {
			return nil, nil, err
		}
	}
	if a.Pages != nil {
		if err := a.Pages(router, guard); err != nil {
			return nil, nil, err
		}
	}
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

// Endpoint is an address and what it serves.
type Endpoint struct {
	Name     string
	Variable string // that sets Addr
	Addr     string
	Handler  http.Handler
	HTTP     httpapi.Config
	// Last is that of Part.
	Last bool
	// UnencryptedHTTP2 serves clients that speak HTTP/2 without TLS and without asking first.
	UnencryptedHTTP2 bool
	// Parts run beside the Handler.
	Parts []Part
}

// Endpoints returns the admin endpoint and, if the app has routes or pages, the API's.
func Endpoints(cfg Config, p Platform, registry *prometheus.Registry, app App) ([]Endpoint, error) {
	first := app.First
	var apis []Endpoint
	if app.Routes != nil || app.Pages != nil {
		api, guard, err := app.Handler(p)
		if err != nil {
			return nil, err
		}
		first = slices.Concat(first, guard.Checks())
		apis = append(apis, Endpoint{
			Name: "api", Variable: "API_ADDR", Addr: app.API.Addr, Handler: api, HTTP: app.API.HTTP,
			Parts: []Part{{Name: "issuer's keys", Run: guard.Run}},
		})
	}
	admin := httpapi.NewRouter(p.Logger, cfg.Admin.protect)
	ready := health.NewReadiness(first, app.Checks)
	admin.Method(http.MethodGet, "/healthz", health.Live(p.Loops))
	admin.Method(http.MethodGet, "/readyz", ready)
	admin.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, EnableOpenMetrics: true, // which has exemplars
	}))
	admin.Get(strings.TrimSuffix(ProfilePath, "/"), Profile) // the router takes a slash at the end off
	admin.Get(ProfilePath+"{profile}", Profile)
	adminAPI := httpapi.NewAPI(admin)
	err := httpapi.Add(adminAPI, func(api huma.API) {
		registerJourney(api, p)
		if app.Admin != nil {
			app.Admin(api)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := httpapi.Publish(admin, adminAPI, adminInfo(app.Info)); err != nil {
		return nil, err
	}
	p.Metrics.MustRegister(loopAges{p.Loops})
	return append([]Endpoint{{
		Name: "admin", Variable: "ADMIN_ADDR", Addr: cfg.Admin.Addr, Handler: admin, Last: true,
		Parts: []Part{{Name: "readiness", Run: ready.Run}},
	}}, apis...), nil
}

// adminInfo is what the admin address says of itself.
func adminInfo(of httpapi.Info) httpapi.Info {
	of.Title += " admin"
	of.Description = "What operators ask of a service: whether it lives and is ready, what it counts, and what it has set aside. " +
		"It is for operators alone, and never on a public address."
	of.Walk = ""
	of.Links = []httpapi.Link{
		{Address: "/healthz", Name: "Liveness", Means: "whether this process works"},
		{Address: "/readyz", Name: "Readiness", Means: "whether it can be sent requests"},
		{Address: "/metrics", Name: "Metrics", Means: "for Prometheus"},
		{Address: ProfilePath, Name: "Profiles", Means: "where the process spends its time and memory, for go tool pprof"},
	}
	return of
}

// Listen takes every address at once, or none: its error names all that cannot be taken. It returns the parts that serve
// them and the addresses taken, by name, with the actual ports where ":0" was requested.
func Listen(ctx context.Context, log *slog.Logger, endpoints ...Endpoint) (parts []Part, addrs map[string]string, err error) {
	addrs = map[string]string{}
	var servers []*httpapi.Server
	var errs []error
	for _, e := range endpoints {
		server, err := httpapi.Listen(ctx, e.Addr, e.Handler, e.HTTP, log)
		if err != nil {
			errs = append(errs, CannotListen(ctx, e, err))
			continue
		}
		if e.UnencryptedHTTP2 {
			server.AllowUnencryptedHTTP2()
		}
		servers = append(servers, server)
		addrs[e.Name] = server.Addr()
		parts = append(append(parts, Part{Name: e.Name, Run: server.Run, Last: e.Last}), e.Parts...)
	}
	if len(errs) == 0 {
		return parts, addrs, nil
	}
	for _, s := range servers {
		errs = append(errs, s.Close())
	}
	return nil, nil, errors.Join(errs...)
}
