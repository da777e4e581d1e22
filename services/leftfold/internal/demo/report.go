package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/leftfold/leftfold/pkg/iam/oracle"
)

// report writes for a terminal, or plainly for a pipe.
type report struct {
	out      io.Writer
	terminal bool
}

func (r *report) line(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, format+"\n", args...) // there is no other place to report an error
}

const barWidth = 40

// progress plays the story and draws how far it is: in place on a terminal, ten lines in a pipe.
func (r *report) progress(ctx context.Context, s *story, now func() time.Time) error {
	ended := make(chan error, 1)
	go func() { ended <- s.play(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	started, total, said := now(), s.commands(), int64(0)
	draw := func() {
		done := s.done.Load()
		rate := float64(done) / max(now().Sub(started).Seconds(), 0.001)
		if r.terminal {
			full := int(done * barWidth / total)
			_, _ = fmt.Fprintf(r.out, "\r  %s%s %3d%%  %s of %s commands, %s/s \x1b[K",
				strings.Repeat("█", full), strings.Repeat("░", barWidth-full), done*100/total,
				thousands(done), thousands(total), thousands(int64(rate)))
		} else if tenth := done * 10 / total; tenth > said {
			said = tenth
			r.line("  %3d%%  %s of %s commands", tenth*10, thousands(done), thousands(total))
		}
	}
	for {
		select {
		case <-tick.C:
			draw()
		case err := <-ended:
			draw()
			if r.terminal {
				r.line("")
			}
			r.line("")
			return err
		}
	}
}

// hops shows each hop's count of events and how long after its recording an event had passed it.
func (r *report) hops(registry prometheus.Gatherer) error {
	families, err := registry.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	r.line("  %-34s %9s %10s %10s", "hop", "events", "p50", "p99")
	for _, hop := range []struct{ title, metric, label, value string }{
		{"command decided and in the log", "leftfold_command_seconds", "", ""},
		{"published: DynamoDB → Kinesis", "leftfold_publish_seconds", "", ""},
		{"routed: Kinesis → SQS", "leftfold_route_seconds", "", ""},
		{"projected: users read model", "leftfold_project_seconds", "projection", "users"},
		{"projected: roles read model", "leftfold_project_seconds", "projection", "roles"},
	} {
		h := histogram(families, hop.metric, hop.label, hop.value)
		r.line("  %-34s %9s %10s %10s", hop.title, thousands(int64(h.count)), h.quantile(0.5), h.quantile(0.99)) //nolint:gosec // far below 2^63
	}
	r.line("  (the first row is the time of all commands, refusals too; the others are since the event was recorded)")
	return nil
}

func (r *report) verdict(fold *oracle.Fold, s *story, differences []string) error {
	var errs []error
	for _, f := range append(fold.Faults, differences...) {
		errs = append(errs, errors.New(f))
	}
	if n := s.winners.Load(); n != 1 {
		errs = append(errs, fmt.Errorf("the race for one address has %d winners", n))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the promises do not hold: %w", err)
	}
	r.line("  Both read models equal the fold of the log: %s users, %s roles, %s events.",
		thousands(int64(len(fold.Users))), thousands(int64(len(fold.Roles))), thousands(int64(fold.Events)))
	return nil
}

// cumulative is a histogram's buckets, merged over its other labels.
type cumulative struct {
	count  uint64
	bounds []float64
	counts []uint64
}

func histogram(families []*dto.MetricFamily, name, label, value string) cumulative {
	var c cumulative
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && !labelled(m, label, value) {
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

func labelled(m *dto.Metric, label, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == label {
			return l.GetValue() == value
		}
	}
	return false
}

// quantile interpolates in the bucket that holds it.
func (c cumulative) quantile(q float64) string {
	if c.count == 0 {
		return "-"
	}
	rank := q * float64(c.count)
	for i, n := range c.counts {
		if float64(n) < rank {
			continue
		}
		low, below := 0.0, uint64(0)
		if i > 0 {
			low, below = c.bounds[i-1], c.counts[i-1]
		}
		at := low + (c.bounds[i]-low)*(rank-float64(below))/math.Max(1, float64(n-below))
		return fmt.Sprintf("%.1f ms", at*1000)
	}
	return fmt.Sprintf("> %.0f ms", c.bounds[len(c.bounds)-1]*1000)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
