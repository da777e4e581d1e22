package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
)

// Config is the size and the speed of the story.
type Config struct {
	_     struct{} `group:"Demo"`
	Users int      `envconfig:"DEMO_USERS" default:"1000" desc:"users in the demo's story, 1 to 1,000,000"`
	Rate  float64  `envconfig:"DEMO_RATE" default:"0" desc:"commands a second in the demo; 0: as fast as it goes"`
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.Users < 1 || c.Users > 1_000_000 {
		errs = append(errs, fmt.Errorf("DEMO_USERS=%d: want 1 to 1,000,000", c.Users))
	}
	if c.Rate < 0 {
		errs = append(errs, fmt.Errorf("DEMO_RATE=%g: want 0 or more", c.Rate))
	}
	return errors.Join(errs...)
}

// Stage is the running system that the story is played on.
type Stage struct {
	Base     string // of the API, such as http://127.0.0.1:8080
	EventLog oracle.EventLog
	Models   []projection.Reader
	Registry prometheus.Gatherer
	Now      func() time.Time
	Out      io.Writer
	// Terminal says that Out is one: then progress is drawn in place.
	Terminal bool
}

// Play plays the story and reports. The error says which promise did not hold.
func Play(ctx context.Context, c Config, stage Stage) error {
	pace := rate.NewLimiter(rate.Inf, 1)
	if c.Rate > 0 {
		pace.SetLimit(rate.Limit(c.Rate))
	}
	s := &story{
		base: stage.Base, users: c.Users, pace: pace,
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients + racers}},
	}
	defer s.client.CloseIdleConnections()
	started := stage.Now()
	stage.line("A story of %s users and %d roles, played by %d clients.\n", thousands(c.Users), len(roleNames()), clients)
	if err := stage.progress(ctx, s); err != nil {
		return err
	}
	took := stage.Now().Sub(started)

	fold, err := oracle.FoldLog(ctx, stage.EventLog)
	if err != nil {
		return err
	}
	if err := fold.Settle(ctx, time.Minute, stage.Models...); err != nil {
		return err
	}
	settled := stage.Now().Sub(started)
	shown, err := oracle.Show(ctx, s.client, stage.Base)
	if err != nil {
		return err
	}
	stage.line("  commands   %s accepted, %s refused as they should be, in %s: %s a second",
		thousands(s.accepted.Load()), thousands(s.refused.Load()), took.Round(time.Millisecond),
		thousands(int64(float64(s.commands())/took.Seconds())))
	stage.line("  race       %d clients wanted one address; %d got it", racers, s.winners.Load())
	stage.line("  visible    the last event stood in both read models %s after the last command\n", (settled - took).Round(time.Millisecond))
	if err := stage.hops(); err != nil {
		return err
	}
	breaches := slices.Concat(fold.Faults, oracle.Differences(fold.Expect(), shown))
	if n := s.winners.Load(); n != 1 {
		breaches = append(breaches, fmt.Sprintf("the race for one address has %d winners", n))
	}
	if len(breaches) > 0 {
		return fmt.Errorf("the promises do not hold: %s", strings.Join(breaches, "\n"))
	}
	stage.line("  Both read models equal the fold of the log: %s users, %s roles, %s events.",
		thousands(len(fold.Users)), thousands(len(fold.Roles)), thousands(fold.Events))
	return nil
}

func (s Stage) line(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, format+"\n", args...) // there is no other place to report an error
}

const barWidth = 40

// progress plays the story and draws how far it is: in place on a terminal, ten lines in a pipe.
func (s Stage) progress(ctx context.Context, story *story) error {
	ended := make(chan error, 1)
	go func() { ended <- story.play(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	started, total, said := s.Now(), story.commands(), int64(0)
	draw := func() {
		done := story.done.Load()
		if s.Terminal {
			full := int(done * barWidth / total)
			_, _ = fmt.Fprintf(s.Out, "\r  %s%s %3d%%  %s of %s commands, %s/s \x1b[K",
				strings.Repeat("█", full), strings.Repeat("░", barWidth-full), done*100/total, thousands(done), thousands(total),
				thousands(int64(float64(done)/max(s.Now().Sub(started).Seconds(), 0.001))))
		} else if tenth := done * 10 / total; tenth > said {
			said = tenth
			s.line("  %3d%%  %s of %s commands", tenth*10, thousands(done), thousands(total))
		}
	}
	for {
		select {
		case <-tick.C:
			draw()
		case err := <-ended:
			draw()
			if s.Terminal {
				s.line("")
			}
			s.line("")
			return err
		}
	}
}

// hops shows each hop's count of events and how long after its recording an event had passed it.
func (s Stage) hops() error {
	families, err := s.Registry.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	s.line("  %-34s %9s %10s %10s", "hop", "events", "p50", "p99")
	for _, hop := range []struct{ title, metric, projection string }{
		{"command decided and in the log", "leftfold_command_seconds", ""},
		{"published: DynamoDB → Kinesis", "leftfold_publish_seconds", ""},
		{"routed: Kinesis → SQS", "leftfold_route_seconds", ""},
		{"projected: users read model", "leftfold_project_seconds", "users"},
		{"projected: roles read model", "leftfold_project_seconds", "roles"},
	} {
		h := histogram(families, hop.metric, hop.projection)
		s.line("  %-34s %9s %10s %10s", hop.title, thousands(h.count), h.quantile(0.5), h.quantile(0.99))
	}
	s.line("  (the first row is the time of all commands, refusals too; the others are since the event was recorded)\n")
	return nil
}

// cumulative is a histogram's buckets, merged over its other labels.
type cumulative struct {
	count  uint64
	bounds []float64
	counts []uint64
}

// histogram returns the one of that name, and of that projection unless it is "".
func histogram(families []*dto.MetricFamily, name, projection string) cumulative {
	var c cumulative
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if projection != "" && !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
				return l.GetName() == "projection" && l.GetValue() == projection
			}) {
				continue
			}
			c.count += m.GetHistogram().GetSampleCount()
			for i, b := range m.GetHistogram().GetBucket() {
				if i == len(c.bounds) {
					c.bounds, c.counts = append(c.bounds, b.GetUpperBound()), append(c.counts, 0)
				}
				c.counts[i] += b.GetCumulativeCount()
			}
		}
	}
	return c
}

// quantile interpolates in the bucket that holds it.
func (c cumulative) quantile(q float64) string {
	if c.count == 0 {
		return "-"
	}
	rank, low, below := q*float64(c.count), 0.0, uint64(0)
	for i, n := range c.counts {
		if float64(n) >= rank {
			at := low + (c.bounds[i]-low)*(rank-float64(below))/max(1, float64(n-below))
			return fmt.Sprintf("%.1f ms", at*1000)
		}
		low, below = c.bounds[i], n
	}
	return fmt.Sprintf("> %.0f ms", low*1000)
}

// thousands writes 1234567 as 1,234,567.
func thousands[N int | int64 | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
