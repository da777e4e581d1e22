package readservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// AuditConfig is the configuration of the audits that a projector service makes by itself. Each replica makes its own.
type AuditConfig struct {
	_        struct{}      `group:"Audit of read models"`
	Interval time.Duration `envconfig:"AUDIT_INTERVAL" default:"24h" desc:"pause between two audits of a projector's read model; 0s: none"`
	Sample   float64       `envconfig:"AUDIT_SAMPLE" default:"0.1" desc:"part of the aggregates that an audit folds, drawn at random; versions are compared of all"`
}

// Validate is called by service.LoadConfig.
func (c *AuditConfig) Validate() error {
	var errs []error
	if c.Interval != 0 && c.Interval < time.Minute {
		errs = append(errs, fmt.Errorf("AUDIT_INTERVAL=%s: want at least 1m, or 0s", c.Interval))
	}
	if !(c.Sample > 0 && c.Sample <= 1) {
		errs = append(errs, fmt.Errorf("AUDIT_SAMPLE=%v: want more than 0, at most 1", c.Sample))
	}
	return errors.Join(errs...)
}

const (
	firstAudit     = time.Hour // at most, after a start: replicas that start together must not audit together
	auditsParallel = 2         // streams at once, so that an audit leaves the tables to the others
	lateAudits     = 3         // intervals without an audit
	maxFindings    = 20        // that are shown
)

// Audits compare a read model with the log from time to time, and on request. What they find is counted, logged and shown, and left as it
// is: a repair is an operator's decision, and a part of the request.
type Audits struct {
	name   string
	config AuditConfig
	run    func(context.Context, projectionaudit.Config) (projectionaudit.Result, error)
	jitter func(time.Duration) time.Duration
	now    func() time.Time
	log    *slog.Logger

	requested chan bool // whether to repair

	streams, rows prometheus.Counter
	differences   *prometheus.CounterVec // by kind

	mu        sync.Mutex
	last      audit
	completed time.Time // or when this process started
}

// NewAudits returns the Audits of the projection of that name; run carries out one.
func NewAudits(
	name string, c AuditConfig, run func(context.Context, projectionaudit.Config) (projectionaudit.Result, error), p service.Platform,
) *Audits {
	a := &Audits{
		name: name, config: c, run: run, jitter: p.Jitter, now: p.Now, log: p.Logger,
		last: audit{Projection: name, State: neverRan}, completed: p.Now(), requested: make(chan bool, 1),
	}
	register := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"projection": name}, p.Metrics))
	a.streams = register.NewCounter(prometheus.CounterOpts{
		Name: "projection_audit_streams_total", Help: "Aggregates whose version an audit compared with the log.",
	})
	a.rows = register.NewCounter(prometheus.CounterOpts{
		Name: "projection_audit_rows_total", Help: "Rows of the read model that an audit read.",
	})
	a.differences = register.NewCounterVec(prometheus.CounterOpts{
		Name: "projection_audit_differences_total", Help: "Differences between read model and log that an audit found.",
	}, []string{"kind"})
	for _, kind := range projectionaudit.Kinds() { // an alert sees only what grows from a first value
		a.differences.WithLabelValues(string(kind))
	}
	register.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "projection_audit_age_seconds", Help: "Time since the last complete audit, or since the start; 0 if there are none.",
	}, func() float64 { return a.age().Seconds() })
	register.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "projection_audit_late", Help: "1 if no audit was completed for three times AUDIT_INTERVAL.",
	}, func() float64 {
		if a.age() > lateAudits*c.Interval {
			return 1
		}
		return 0
	})
	return a
}

func (a *Audits) age() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config.Interval == 0 {
		return 0
	}
	return a.now().Sub(a.completed)
}

type audit struct {
	Projection  string     `json:"projection" doc:"the projection" example:"users"`
	State       string     `json:"state" enum:"never,running,done,failed" doc:"of this process's last audit"`
	Requested   bool       `json:"requested" doc:"whether an operator asked for it: then it folds every aggregate"`
	Repair      bool       `json:"repair" doc:"whether it repairs what it finds"`
	StartedAt   *time.Time `json:"startedAt,omitempty" doc:"when it began"`
	EndedAt     *time.Time `json:"endedAt,omitempty" doc:"when it ended"`
	Streams     int        `json:"streams" doc:"aggregates whose version was compared with the log"`
	Folded      int        `json:"folded" doc:"those of them whose rows were compared with the fold of their events"`
	Rows        int        `json:"rows" doc:"rows read"`
	Parked      int        `json:"parked" doc:"parked aggregates seen, which are no differences"`
	Differences int        `json:"differences" doc:"differences found; leftfold projections audit --repair repairs them"`
	Repaired    int        `json:"repaired" doc:"differences that it repaired"`
	Undecided   int        `json:"undecided" doc:"aggregates that changed at every attempt to compare them"`
	Findings    []string   `json:"findings" nullable:"false" doc:"the first 20; the log has all differences"`
}

type auditOutput struct{ Body audit }

// Run audits from time to time, and on request, until ctx ends.
func (a *Audits) Run(ctx context.Context) error {
	first := min(firstAudit, a.config.Interval)
	due := time.NewTimer(retry.Backoff{First: first, Max: first, Jitter: a.jitter}.Delay(1))
	defer due.Stop()
	if a.config.Interval == 0 {
		due.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case repair := <-a.requested:
			a.once(ctx, 1, repair)
		case <-due.C:
			if a.begin(audit{}) { // one that is requested comes next
				a.once(ctx, a.config.Sample, false)
			}
			due.Reset(a.config.Interval)
		}
	}
}

// begin shows an audit as under way, unless another one is.
func (a *Audits) begin(as audit) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last.State == running {
		return false
	}
	began := a.now().UTC()
	as.Projection, as.State, as.StartedAt = a.name, running, &began
	a.last = as
	return true
}

// start requests an audit of every aggregate, unless one is under way, and returns the one that is.
func (a *Audits) start(repair bool) audit {
	if a.begin(audit{Requested: true, Repair: repair}) {
		a.requested <- repair
	}
	return a.state()
}

// once carries out the audit that was begun.
func (a *Audits) once(ctx context.Context, sample float64, repair bool) {
	var before projectionaudit.Result
	result, err := a.run(ctx, projectionaudit.Config{
		Sample: sample, Repair: repair, Parallel: auditsParallel, Backoff: retry.Backoff{Jitter: a.jitter}, Rand: a.rand(), Now: a.now,
		OnFinding: func(f projectionaudit.Finding) { a.found(ctx, f) },
		OnPage: func(r projectionaudit.Result) {
			a.streams.Add(float64(r.Streams - before.Streams))
			a.rows.Add(float64(r.Rows - before.Rows))
			before = r
			a.set(func(last *audit) { last.count(r) })
		},
	})
	ended, state := a.now().UTC(), done
	if err != nil {
		state = failed
		if ctx.Err() == nil {
			a.log.ErrorContext(ctx, "audit failed", slog.String("projection", a.name), slog.Any(telemetry.KeyError, err))
		}
	}
	a.set(func(last *audit) {
		last.count(result)
		last.State, last.EndedAt = state, &ended
		if err == nil {
			a.completed = ended
		}
	})
}

// rand draws with the process's source of random numbers; nil: with the default.
func (a *Audits) rand() func() float64 {
	if a.jitter == nil {
		return nil
	}
	const steps = 1 << 53
	return func() float64 { return min(float64(a.jitter(steps)), steps-1) / steps }
}

func (a *Audits) found(ctx context.Context, f projectionaudit.Finding) {
	a.set(func(last *audit) {
		if len(last.Findings) < maxFindings {
			last.Findings = append(last.Findings, f.String())
		}
	})
	if f.Kind == projectionaudit.Parked {
		return
	}
	a.differences.WithLabelValues(string(f.Kind)).Inc()
	a.log.ErrorContext(ctx, "read model differs from the log", slog.String("projection", a.name), slog.String("stream", f.Stream),
		slog.Uint64("version", uint64(f.Version)), slog.String("reason", f.String()))
}

func (a *audit) count(r projectionaudit.Result) {
	a.Streams, a.Folded, a.Rows, a.Parked = r.Streams, r.Folded, r.Rows, r.Parked
	a.Differences, a.Repaired, a.Undecided = r.Differences, r.Repaired, r.Undecided
}

func (a *Audits) set(change func(*audit)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.last)
}

func (a *Audits) state() audit {
	a.mu.Lock()
	defer a.mu.Unlock()
	state := a.last
	state.Findings = append([]string{}, state.Findings...)
	return state
}

type auditInput struct {
	Repair bool `query:"repair" doc:"whether to repair what differs" example:"false"`
}

// Register adds beginning an audit and showing the last one to an API. Like RegisterParked it is for operators.
func (a *Audits) Register(api huma.API) {
	httpapi.Register(api, a.log, huma.Operation{
		OperationID: "audit-" + a.name, Method: http.MethodPost, Path: "/projections/" + a.name + "/audit", Tags: []string{"audit"},
		Summary:       "Compare projection " + a.name + " with the log",
		Description:   "One audit at a time is under way: if one is, the answer shows that one.",
		DefaultStatus: http.StatusAccepted,
	}, func(_ context.Context, in *auditInput) (*auditOutput, error) {
		return &auditOutput{a.start(in.Repair)}, nil
	})
	httpapi.Register(api, a.log, huma.Operation{
		OperationID: "showAudit-" + a.name, Method: http.MethodGet, Path: "/projections/" + a.name + "/audit", Tags: []string{"audit"},
		Summary: "Show what the last audit of projection " + a.name + " in this process has found",
	}, func(context.Context, *struct{}) (*auditOutput, error) { return &auditOutput{a.state()}, nil })
}
