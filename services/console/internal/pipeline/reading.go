// Package pipeline watches the services while somebody looks: what they count, how fast, and what is wrong. It asks their admin
// addresses and keeps a minute of answers in memory.
package pipeline

import (
	"io"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// reading is what all services counted at one time.
type reading struct {
	at     time.Time
	series []series
}

// series is one series of one process. A histogram has buckets, by their upper bounds in seconds.
type series struct {
	name    string
	labels  map[string]string
	value   float64
	buckets map[float64]float64
}

// labels select the series that have all of these values.
type labels map[string]string

func (l labels) has(s series) bool {
	for name, value := range l {
		if s.labels[name] != value {
			return false
		}
	}
	return true
}

// add adds the metrics of one process in Prometheus's text format.
func (r *reading) add(text io.Reader) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return err
	}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			s := series{name: name, labels: map[string]string{}}
			for _, l := range m.GetLabel() {
				s.labels[l.GetName()] = l.GetValue()
			}
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				s.value = m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				s.value = m.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				s.value, s.buckets = float64(m.GetHistogram().GetSampleCount()), map[float64]float64{}
				for _, b := range m.GetHistogram().GetBucket() {
					s.buckets[b.GetUpperBound()] = float64(b.GetCumulativeCount())
				}
			case dto.MetricType_SUMMARY, dto.MetricType_UNTYPED, dto.MetricType_GAUGE_HISTOGRAM:
				continue
			}
			r.series = append(r.series, s)
		}
	}
	return nil
}

// sum adds up the series of that name; of histograms, their counts.
func (r reading) sum(name string, of labels) (sum float64) {
	for _, s := range r.series {
		if s.name == name && of.has(s) {
			sum += s.value
		}
	}
	return sum
}

// most returns the largest of the series of that name. ok is false if there is none.
func (r reading) most(name string, of labels) (most float64, ok bool) {
	for _, s := range r.series {
		if s.name == name && of.has(s) && (!ok || s.value > most) {
			most, ok = s.value, true
		}
	}
	return most, ok
}

// count returns how many series have that name.
func (r reading) count(name string, of labels) (n int) {
	for _, s := range r.series {
		if s.name == name && of.has(s) {
			n++
		}
	}
	return n
}

// histogram adds up the histograms of that name, by the upper bounds of their buckets.
func (r reading) histogram(name string, of labels) map[float64]float64 {
	sum := map[float64]float64{}
	for _, s := range r.series {
		if s.name == name && of.has(s) {
			for bound, count := range s.buckets {
				sum[bound] += count
			}
		}
	}
	return sum
}

// quantile estimates a quantile of what two cumulative histograms differ by, linearly within a bucket, as Prometheus does. ok is false
// if they do not differ.
func quantile(q float64, later, earlier map[float64]float64) (value time.Duration, ok bool) {
	bounds := make([]float64, 0, len(later))
	for bound := range later {
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	count := func(i int) float64 { return later[bounds[i]] - earlier[bounds[i]] }
	if len(bounds) == 0 || count(len(bounds)-1) <= 0 {
		return 0, false
	}
	rank := q * count(len(bounds)-1)
	low, below := 0.0, 0.0
	for i, high := range bounds {
		at := count(i)
		if at >= rank {
			if math.IsInf(high, 1) {
				return seconds(low), true // it is more than that
			}
			return seconds(low + (high-low)*(rank-below)/(at-below)), true
		}
		low, below = high, at
	}
	return seconds(low), true
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
