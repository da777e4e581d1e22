// Package calls sends the commands of processes to the REST API, and reads what they need of it.
package calls

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Config says where the REST API is. Both may be one address.
type Config struct {
	_          struct{} `group:"Processes"`
	CommandAPI string   `envconfig:"COMMAND_API_URL" default:"http://127.0.0.1:8080" desc:"where the processor sends commands: the REST API, or command-api alone"`
	Roles      string   `envconfig:"ROLES_URL" default:"http://127.0.0.1:8080" desc:"where the processor reads the members of roles: the REST API, or projector-role alone"`
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	for variable, text := range map[string]string{"COMMAND_API_URL": c.CommandAPI, "ROLES_URL": c.Roles} {
		if _, err := httpapi.ParseURL(text); err != nil {
			errs = append(errs, fmt.Errorf("%s=%s: %w", variable, text, err))
		}
	}
	return errors.Join(errs...)
}

// Scopes are those of the operations that are called.
func Scopes() []string {
	return []string{"users:read", "users:write", "roles:read", "grants:expire", "roles:retire"}
}

// Client calls the REST API. It is safe for concurrent use.
type Client struct {
	commands, roles string // without a slash at the end
	http            *http.Client
	limit           *rate.Limiter // of revocations
	log             *slog.Logger
	denied          *prometheus.CounterVec
}

// NewClient returns a Client whose requests transport sends, with a token if one is needed. It takes roles from at most that many users a
// second; 0: any number.
func NewClient(c Config, transport http.RoundTripper, revocations float64, log *slog.Logger, metrics prometheus.Registerer) *Client {
	limit := rate.Limit(revocations)
	if revocations == 0 {
		limit = rate.Inf
	}
	client := &Client{
		commands: strings.TrimSuffix(c.CommandAPI, "/"), roles: strings.TrimSuffix(c.Roles, "/"),
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // no operation redirects; a command must not become a GET
		}},
		limit: rate.NewLimiter(limit, parallel), log: log,
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "process_calls_denied_total", Help: "Requests of processes that were answered 401 or 403, or for which the issuer gave no token.",
		}, []string{"command"}),
	}
	metrics.MustRegister(client.denied)
	return client
}

// timeout bounds one request: longer than the API takes for a command, and shorter than a loop may stand still.
const timeout = 15 * time.Second

// maxAnswer bounds an answer, in bytes. A page of members is below 30 KB.
const maxAnswer = 1 << 20

// request is one call of an operation.
type request struct {
	of          process.Request
	method, url string
	key         string // Idempotency-Key; "": none, for a read
	body        any    // nil: none
}

// do sends a request and returns the code of the refusal, if it is refused for good, or else the answer's header, with the body decoded
// into out unless that is nil. An error means that there is no answer yet: the request has to be sent again.
func (c *Client) do(ctx context.Context, r request, out any) (refused string, header http.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	body := io.Reader(http.NoBody)
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return "", nil, fmt.Errorf("encode the body of %s: %w", r.of.Command.Name, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return "", nil, err
	}
	req.Header.Set(httpapi.CorrelationHeader, r.of.CorrelationID)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	res, err := c.http.Do(req)
	if errors.Is(err, auth.ErrNoToken) {
		c.isDenied(ctx, r, err)
	}
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = res.Body.Close() }() // read as far as needed
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", nil, fmt.Errorf("read the answer to %s %s: %w", r.method, r.url, err)
	}
	if res.StatusCode/100 == 2 {
		if out != nil {
			if err := json.Unmarshal(text, out); err != nil {
				return "", nil, fmt.Errorf("decode the answer to %s %s: %w", r.method, r.url, err)
			}
		}
		return "", res.Header, nil
	}
	var problem httpapi.Problem
	_ = json.Unmarshal(text, &problem) // a proxy may answer anything
	err = fmt.Errorf("%s %s: %s %s", r.method, r.url, res.Status, problem.Code)
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		c.isDenied(ctx, r, err)
		return "", nil, err
	case passing(res) || problem.Code == "":
		return "", nil, err
	}
	return problem.Code, res.Header, nil
}

// passing reports whether an answer says nothing of the command: another sending may be answered otherwise.
func passing(res *http.Response) bool {
	switch code := res.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, res.Header.Get("Retry-After") != "":
		return true
	default:
		return code/100 != 4
	}
}

func (c *Client) isDenied(ctx context.Context, r request, err error) {
	c.denied.WithLabelValues(r.of.Command.Name).Inc()
	c.log.ErrorContext(ctx, "command of a process denied, retrying", slog.String("command", r.of.Command.Name),
		slog.String("stream", r.of.Process.String()), slog.Any(telemetry.KeyError, err))
}
