package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Options are what a Guard needs in addition to its Config.
type Options struct {
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Jitter draws a pause from zero up to its argument. Defaults to a uniform draw.
	Jitter func(time.Duration) time.Duration
	// Loops watches Run. Optional.
	Loops *progress.Loops
	// HTTP reaches the issuer; Run closes its idle connections when it returns. Defaults to a client that follows no redirect away from https.
	HTTP *http.Client
}

// Guard admits requests by their tokens. Safe for concurrent use.
type Guard struct {
	config   Config
	tokens   *verifier // nil: no tokens are required
	keys     *keySet
	log      *slog.Logger
	outcomes *prometheus.CounterVec
}

// NewGuard returns a Guard. It verifies tokens by keys that Run fetches: until they have arrived, a request that needs a token
// is answered 503.
func NewGuard(c Config, o Options) (*Guard, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.Algorithms = slices.Compact(slices.Sorted(slices.Values(c.Algorithms)))
	g := &Guard{config: c, log: o.Logger}
	if c.Mode == "none" {
		return g, nil
	}
	g.outcomes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "auth_total",
		Help: "Requests for operations that need a token, by what came of the token: ok, forbidden or why it is not accepted.",
	}, []string{"outcome"})
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "auth_key_fetches_total", Help: "Readings of the issuer's keys by their result: ok, failed.",
	}, []string{"result"})
	o.Metrics.MustRegister(g.outcomes, fetches)
	client := o.HTTP
	if client == nil {
		client = g.config.client()
	}
	g.keys = &keySet{
		config: g.config, client: client, now: o.Now, log: o.Logger, fetches: fetches, loops: o.Loops,
		backoff:   retry.Backoff{First: time.Second, Max: 30 * time.Second, Jitter: o.Jitter},
		requested: make(chan struct{}, 1), stopped: make(chan struct{}), tried: make(chan struct{}),
	}
	g.tokens = newVerifier(g.config, o.Now, g.keys.find)
	return g, nil
}

// Run keeps the issuer's keys fresh until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	if g.keys == nil {
		<-ctx.Done()
		return nil
	}
	g.keys.run(ctx)
	return nil
}

func (c Config) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: fetchTimeout,
			DisableKeepAlives: true, // fetches are rare: by the next one a connection may be dead, and one of HTTP/2 would stay so
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || !c.mayCall(r.URL) {
				return errors.New("redirected too often, or away from https")
			}
			return nil
		},
	}
}

// Checks pass while tokens can be verified.
func (g *Guard) Checks() []health.Check {
	if g.tokens == nil {
		return nil
	}
	return []health.Check{{Name: "issuer of tokens", Probe: g.keys.ready}}
}

// Protect makes every operation that is added to the API afterwards require what its Security says. That is checked before
// the request's body is read.
func (g *Guard) Protect(api huma.API) {
	components := api.OpenAPI().Components
	if components.SecuritySchemes == nil {
		components.SecuritySchemes = map[string]*huma.SecurityScheme{}
	}
	components.SecuritySchemes[scheme] = g.scheme()
	if g.tokens == nil {
		api.UseMiddleware(admitAll)
		return
	}
	api.UseMiddleware(g.admit)
}

// admitAll passes every request on as one that may do everything.
func admitAll(c huma.Context, next func(huma.Context)) {
	next(huma.WithContext(c, With(c.Context(), Everything())))
}

func (g *Guard) scheme() *huma.SecurityScheme {
	if g.tokens == nil {
		return &huma.SecurityScheme{Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "a token, which is not required here"}
	}
	description := "an access token of " + g.config.Issuer + ", as Authorization: Bearer"
	if g.config.Environment == Local {
		description += "; a development issuer gives one: curl " + strings.TrimSuffix(g.config.Issuer, "/") + "/token -d client_id=me " +
			"-d 'scope=users:read users:write roles:read roles:write events:read events:data'"
	}
	return &huma.SecurityScheme{Type: "openIdConnect", OpenIDConnectURL: g.config.discoveryURL(), Description: description}
}

// admit passes a request on with its principal.
func (g *Guard) admit(c huma.Context, next func(huma.Context)) {
	security := c.Operation().Security
	if open(security) {
		next(c)
		return
	}
	r, _ := humachi.Unwrap(c)
	principal, err := g.tokens.principal(c.Context(), r.Header.Values("Authorization"))
	lacking, ok := missing(security, principal)
	if err == nil && !ok {
		err = forbidden
	}
	if err != nil {
		g.refuse(c, refusalOf(err), lacking)
		return
	}
	g.outcomes.WithLabelValues("ok").Inc()
	next(huma.WithContext(c, With(c.Context(), principal)))
}

// refuse answers as https://www.rfc-editor.org/rfc/rfc6750#section-3 says.
func (g *Guard) refuse(c huma.Context, why refusal, lacking []string) {
	g.outcomes.WithLabelValues(string(why)).Inc()
	g.log.DebugContext(c.Context(), "request refused",
		slog.String("operation", c.Operation().OperationID), slog.String("outcome", string(why)))
	unauthenticated := func(detail, parameters string) {
		httpapi.NewProblem(http.StatusUnauthorized, httpapi.CodeUnauthenticated, detail).With("WWW-Authenticate", challenge+parameters).Answer(c)
	}
	switch why {
	case noKeys:
		httpapi.NewProblem(http.StatusServiceUnavailable, httpapi.CodeUnavailable, "tokens cannot be verified right now; try again later").
			RetryAfter(5 * time.Second).Answer(c)
	case noToken:
		unauthenticated("send a token as Authorization: Bearer", "")
	case forbidden:
		lacks(lacking...).Answer(c)
	case expired:
		unauthenticated("the token has expired", `, error="invalid_token", error_description="the token has expired"`)
	default:
		unauthenticated("the token is not accepted here", `, error="invalid_token"`)
	}
}
