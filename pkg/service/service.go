// Package service starts, runs and stops a process: configuration from the environment, logs, metrics and traces, an admin
// address, parts that run until a signal, and a stop within a deadline. Main is the whole of it; start reading there.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Config is the configuration of every process.
type Config struct {
	_           struct{} `group:"Process"`
	Admin       AdminConfig
	LogLevel    slog.Level    `envconfig:"LOG_LEVEL" default:"info" desc:"debug, info, warn or error"`
	LogFormat   string        `envconfig:"LOG_FORMAT" default:"json" desc:"json or text"`
	StopTimeout time.Duration `envconfig:"STOP_TIMEOUT" default:"20s" desc:"longest wait for work in flight after a signal to stop"`
	// StopWithStdin is read by Exit.
	StopWithStdin bool `envconfig:"STOP_WITH_STDIN" default:"false" desc:"true: the end of standard input stops the process, so that it does not outlive a program that starts it"`
	Tracing       telemetry.TracingConfig
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.LogFormat != "json" && c.LogFormat != "text" {
		errs = append(errs, fmt.Errorf("LOG_FORMAT=%s: want json or text", c.LogFormat))
	}
	if c.StopTimeout <= 0 {
		errs = append(errs, fmt.Errorf("STOP_TIMEOUT=%s: want more than 0", c.StopTimeout))
	}
	return errors.Join(errs...)
}

// metricPrefix begins the name of every metric of ours; packages name theirs without it.
const metricPrefix = "leftfold_"

// Platform is what a process provides to its services.
type Platform struct {
	AWS aws.Config
	// Peers carries requests to other services. Nil: the network does.
	Peers   http.RoundTripper
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	// Tracing makes Traces for each service. Nil: there are none.
	Tracing *telemetry.Tracing
	// Traces makes tracers. Nil: there are none.
	Traces trace.TracerProvider
	// Journey remembers what became of the last events. Nil: nothing does.
	Journey *journey.Recorder
	// Loops watches the loops of the process. Nil: nobody does.
	Loops *progress.Loops
	// Instance names this process among its replicas.
	Instance string
	// Drain is how long a part may finish work in flight after a stop: three quarters of STOP_TIMEOUT. The last quarter is
	// for the release of leases and messages.
	Drain time.Duration
	// Jitter draws a duration from zero up to its argument; every pause before a retry is drawn with it. Defaults to
	// uniform draws.
	Jitter func(time.Duration) time.Duration
}

// For returns the platform as one service of the process sees it: its name in every log line, metric and span, its
// release among the metrics, its AWS calls counted and ended when no answer comes, the SDK's warnings among its logs.
func (p Platform) For(service string) Platform {
	p.Logger = p.Logger.With(slog.String(telemetry.KeyService, service))
	p.Metrics = prometheus.WrapRegistererWithPrefix(metricPrefix,
		prometheus.WrapRegistererWith(prometheus.Labels{telemetry.KeyService: service}, p.Metrics))
	p.Metrics.MustRegister(buildInfo())
	p.Traces = p.Tracing.For(service)
	p.AWS = awsconfig.Instrument(awscall.Configure(p.AWS), p.Metrics, p.Traces)
	p.AWS.Logger = awsconfig.Logger(p.Logger)
	return p
}

// NewPlatform returns the platform of a process, without AWS, which callers add.
func NewPlatform(cfg Config, logs io.Writer) (Platform, *prometheus.Registry, error) {
	log, err := telemetry.NewLogger(logs, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return Platform{}, nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	registry := telemetry.NewRegistry()
	now := time.Now //nolint:forbidigo // the clock comes in here
	p := Platform{
		Logger: log, Metrics: registry, Loops: &progress.Loops{}, Now: now, Journey: journey.NewRecorder(remembered, now),
		Instance: host + "-" + uuid.NewString()[:8], Drain: cfg.StopTimeout * 3 / 4,
	}
	version, _ := Release()
	p.Tracing, err = telemetry.NewTracing(cfg.Tracing, telemetry.TracingOptions{
		Console: os.Stdout, Instance: p.Instance, Version: version, Logger: log,
	})
	return p, registry, err
}

// Run calls RunParts and then sends the remaining traces. Both end within grace after the stop.
func (p Platform) Run(ctx context.Context, grace time.Duration, parts ...Part) error {
	workCtx, cancelWork := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	stopping := sync.OnceFunc(func() { time.AfterFunc(grace, cancelWork) })
	defer context.AfterFunc(ctx, stopping)()
	err := RunParts(ctx, p.Logger, grace, parts...)
	stopping() // a part may have ended by itself
	p.Tracing.Shutdown(workCtx)
	return err
}

// App is a wired service.
type App struct {
	Parts []Part
	// First are the calls of AWS that the service's work is made of: it is ready once each has succeeded.
	First []health.Check
	// Checks are of its dependencies; /readyz shows them.
	Checks []health.Check
	// Routes adds the service's operations to an API, which is served with the configuration in the field API. Nil: there is none.
	Routes func(huma.API)
	API    API
	// Pages adds pages for people to the router of the API, outside of its document. The guard, which runs, verifies the tokens of those
	// who sign in. Nil: there are none.
	Pages func(chi.Router, *auth.Guard) error
	// Info describes the product in the OpenAPI document and on the problem pages.
	Info httpapi.Info
	// Admin adds operations to the admin address. Nil: there are none but every process's.
	Admin func(huma.API)
}

// Main runs one service as a process and never returns. newApp wires the service from its own configuration C. The process
// takes one argument at most: -help, -health, -ready, config or version.
func Main[C any](name, does string, newApp func(context.Context, C, Platform) (App, error)) {
	Exit(name, os.Args[1:], func(ctx context.Context, args []string) (err error) {
		var base Config
		var cfg C
		if slices.Equal(args, []string{"-health"}) {
			return Ask(ctx, "/healthz")
		}
		if slices.Equal(args, []string{"-ready"}) {
			return Ask(ctx, "/readyz")
		}
		if WantsHelp(args) {
			return WriteHelp(os.Stdout, name, does, &base, &cfg)
		}
		if slices.Equal(args, []string{"config"}) {
			return WriteConfig(os.Stdout, os.LookupEnv, &base, &cfg)
		}
		if slices.Equal(args, []string{"version"}) {
			return WriteVersion(os.Stdout, name)
		}
		if len(args) > 0 {
			return UnknownArguments(name, args)
		}
		defer func() { err = IgnoreStop(ctx, err) }()
		if err := LoadConfig(os.LookupEnv, &base, &cfg); err != nil {
			return err
		}
		platform, registry, err := NewPlatform(base, os.Stderr)
		if err != nil {
			return err
		}
		if platform.AWS, err = awsconfig.Load(ctx); err != nil {
			return err
		}
		platform = platform.For(name)
		app, err := newApp(ctx, cfg, platform)
		if err != nil {
			return err
		}
		endpoints, err := Endpoints(base, platform, registry, app) //nolint:contextcheck // each request brings its own
		if err != nil {
			return err
		}
		servers, _, err := Listen(ctx, platform.Logger, endpoints...)
		if err != nil {
			return err
		}
		version, revision := Release()
		platform.Logger.InfoContext(ctx, "started", slog.String("instance", platform.Instance),
			slog.String("version", version), slog.String("revision", revision))
		defer platform.Logger.InfoContext(ctx, "stopped")
		return platform.Run(ctx, base.StopTimeout, append(app.Parts, servers...)...)
	})
}

// Exit runs f until it returns or the process is asked to stop, which cancels its context; prints its error, if it has a text, and
// ends the process. A second signal ends it at once. The exit code is 1 after an error, unless it has a method ExitCode() int.
func Exit(name string, args []string, f func(ctx context.Context, args []string) error) {
	tuneCollector()
	var cfg Config
	_ = LoadConfig(os.LookupEnv, &cfg) // f reports mistakes
	err := f(untilAsked(cfg.StopWithStdin, os.Stdin), args)
	if err == nil {
		os.Exit(0)
	}
	if text := err.Error(); text != "" {
		for line := range strings.SplitSeq(text, "\n") { // several mistakes are joined by lines
			_, _ = fmt.Fprintf(os.Stderr, "%s: %s\n", name, line)
		}
	}
	if coded, ok := errors.AsType[interface {
		error
		ExitCode() int
	}](err); ok {
		os.Exit(coded.ExitCode())
	}
	os.Exit(1)
}

// IgnoreStop returns nil in place of an error that only says that ctx has ended: a process that is asked to stop while it starts has
// done so.
func IgnoreStop(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// untilAsked returns a context that ends when the process is asked to stop: by a signal or, if withStdin, by the end of stdin. That
// comes when the program that started the process closes the other end of the pipe, or is gone, even if it was killed.
func untilAsked(withStdin bool, stdin io.Reader) context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal has its usual effect
	if withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, stdin) // an input that cannot be read has ended, too
			stop()
		}()
	}
	return ctx
}
