package demo

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

// hop is a step of an event's way, timed by a histogram, and by the part of it with this label's value unless it is "".
type hop struct{ title, metric, projection string }

func hops() []hop {
	return []hop{
		{"command decided and in the log", "leftfold_command_seconds", ""},
		{"published: DynamoDB → Kinesis", "leftfold_publish_seconds", ""},
		{"routed: Kinesis → SQS", "leftfold_route_seconds", ""},
		{"projected: users read model", "leftfold_project_seconds", "users"},
		{"projected: roles read model", "leftfold_project_seconds", "roles"},
		{"projected: audit trail", "leftfold_project_seconds", "audit-trail"},
	}
}

// hops returns the histogram of each hop as it is now, or nil if no admin address shows them.
func (s Stage) hops(ctx context.Context) []cumulative {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all := map[string][]*dto.Metric{}
	for _, admin := range s.Admins {
		families, err := metrics(ctx, admin)
		if err != nil {
			continue // a system in containers does not publish it, and one process has all that several have
		}
		for name, family := range families {
			all[name] = append(all[name], family.GetMetric()...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	var out []cumulative
	for _, h := range hops() {
		out = append(out, histogram(all[h.metric], h.projection))
	}
	return out
}

func metrics(ctx context.Context, admin string) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end below
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(answer.Body)
}

// table shows each hop's count of events and how long after its recording an event had passed it.
func (s Stage) table(before, after []cumulative) {
	if before == nil || after == nil {
		s.line("  (no times of hops: no metrics at %s)\n", strings.Join(s.Admins, ", "))
		return
	}
	s.line("  %-34s %9s %10s %10s", "hop", "events", "p50", "p99")
	for i, h := range hops() {
		passed := after[i].since(before[i])
		s.line("  %-34s %9s %10s %10s", h.title, amount.Digits(passed.count), passed.quantile(0.5), passed.quantile(0.99))
	}
	s.line("  (the first row is the time of all commands, refusals too;\n  the others are since the event was recorded)\n")
}

// cumulative is a histogram's buckets, merged over its other labels.
type cumulative struct {
	count  uint64
	bounds []float64
	counts []uint64
}

// histogram returns that of a projection, or of all if it is "".
func histogram(metrics []*dto.Metric, projection string) cumulative {
	var c cumulative
	for _, m := range metrics {
		if projection != "" && !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
			return l.GetName() == "projection" && l.GetValue() == projection
		}) {
			continue
		}
		c.count += m.GetHistogram().GetSampleCount()
		for i, b := range m.GetHistogram().GetBucket() {
			if math.IsInf(b.GetUpperBound(), 1) { // all, which the count has already
				continue
			}
			if i == len(c.bounds) {
				c.bounds, c.counts = append(c.bounds, b.GetUpperBound()), append(c.counts, 0)
			}
			c.counts[i] += b.GetCumulativeCount()
		}
	}
	return c
}

// since returns what was counted after an earlier reading, or since a restart that came after it.
func (c cumulative) since(before cumulative) cumulative {
	for i := range before.counts {
		if i >= len(c.counts) || c.counts[i] < before.counts[i] {
			return c
		}
	}
	if c.count < before.count {
		return c
	}
	c.counts = slices.Clone(c.counts)
	c.count -= before.count
	for i := range before.counts {
		c.counts[i] -= before.counts[i]
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
