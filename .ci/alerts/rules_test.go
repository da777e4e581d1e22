package alerts_test

import (
	"context"
	"math"
	"os"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var promQL = parser.NewParser(parser.Options{})

// alert is a rule of alerts.yml.
type alert struct {
	Name string `yaml:"alert"`
	Expr string
	For  time.Duration
}

func alerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile("../../deploy/compose/prometheus/alerts.yml")
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []alert } }
	require.NoError(t, yaml.Unmarshal(text, &file))
	var all []alert
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// history is the samples of some series, one each minute, by the series' labels.
type history map[string]series

type series struct {
	labels labels.Labels
	values []float64
}

// minutes is how long a history is.
const minutes = 60

// read reads series in the notation of promtool's tests, such as up{job="leftfold"} 1x60.
// https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series
func read(t *testing.T, lines ...string) history {
	t.Helper()
	out := history{}
	for _, line := range lines {
		of, values, err := promQL.ParseSeriesDesc(line)
		require.NoError(t, err, line)
		s := series{labels: of}
		for _, v := range values {
			if v.Omitted {
				v.Value = math.NaN()
			}
			s.values = append(s.values, v.Value)
		}
		require.Len(t, s.values, minutes+1, line)
		out[of.String()] = s
	}
	return out
}

// Querier implements storage.Queryable.
func (h history) Querier(int64, int64) (storage.Querier, error) { return &querier{history: h}, nil }

type querier struct {
	storage.MockQuerier

	history history
}

func (q *querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range q.history {
		if matches(s.labels, matchers) {
			found = append(found, storage.NewListSeries(s.labels, s.samples()))
		}
	}
	return &set{found: found, at: -1}
}

// set is a storage.SeriesSet.
type set struct {
	found []storage.Series
	at    int
}

func (s *set) Next() bool                      { s.at++; return s.at < len(s.found) }
func (s *set) At() storage.Series              { return s.found[s.at] }
func (*set) Err() error                        { return nil }
func (*set) Warnings() annotations.Annotations { return nil }

// sample is a chunks.Sample of a number.
type sample struct {
	chunks.Sample

	at    int64
	value float64
}

func (s sample) T() int64               { return s.at }
func (sample) ST() int64                { return 0 }
func (s sample) F() float64             { return s.value }
func (sample) Type() chunkenc.ValueType { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample    { return s }

func matches(of labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(of.Get(m.Name)) {
			return false
		}
	}
	return true
}

func (s series) samples() (out []chunks.Sample) {
	for minute, v := range s.values {
		if !math.IsNaN(v) {
			out = append(out, sample{at: int64(minute) * time.Minute.Milliseconds(), value: v})
		}
	}
	return out
}

// fires reports whether an alert is raised at any minute.
func (h history) fires(t *testing.T, a alert) bool {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Hour, Parser: promQL})
	begin := time.UnixMilli(0)
	query, err := engine.NewRangeQuery(t.Context(), h, nil, a.Expr, begin, begin.Add(minutes*time.Minute), time.Minute)
	require.NoError(t, err, a.Name)
	defer query.Close()
	result := query.Exec(t.Context())
	require.NoError(t, result.Err, a.Name)
	matrix, err := result.Matrix()
	require.NoError(t, err, a.Name)
	for _, s := range matrix {
		var since, last int64 = 0, -1
		for _, p := range s.Floats {
			if last < 0 || p.T-last > time.Minute.Milliseconds() {
				since = p.T
			}
			if last = p.T; last-since >= a.For.Milliseconds() {
				return true
			}
		}
	}
	return false
}
