package systemtest

import (
	"fmt"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Sum sums a counter over all lives of the service. Labels are pairs of a name and a value that must match.
func (s *Service) Sum(name string, labels ...string) (sum float64, err error) {
	err = s.each(name, labels, func(m *dto.Metric) { sum += m.GetCounter().GetValue() })
	return sum, err
}

// Histogram holds the values of a histogram metric.
type Histogram struct {
	Count uint64
	Sum   float64 // of the values, in seconds

	bounds     []float64
	cumulative []uint64
}

// Histogram returns one, summed over all lives and matching labels.
func (s *Service) Histogram(name string, labels ...string) (out Histogram, err error) {
	err = s.each(name, labels, func(m *dto.Metric) {
		h := m.GetHistogram()
		out.Count += h.GetSampleCount()
		out.Sum += h.GetSampleSum()
		for i, b := range h.GetBucket() {
			if i == len(out.bounds) {
				out.bounds, out.cumulative = append(out.bounds, b.GetUpperBound()), append(out.cumulative, 0)
			}
			out.cumulative[i] += b.GetCumulativeCount()
		}
	})
	return out, err
}

// Since returns what was counted since an earlier reading of the same metric.
func (h Histogram) Since(before Histogram) Histogram {
	h.cumulative = slices.Clone(h.cumulative)
	for i, n := range before.cumulative {
		h.cumulative[i] -= n
	}
	h.Count -= before.Count
	h.Sum -= before.Sum
	return h
}

// Mean returns the mean of the values, 0 if there are none.
func (h Histogram) Mean() time.Duration {
	return time.Duration(h.Sum / float64(max(1, h.Count)) * float64(time.Second))
}

// Quantile is exact to within the width of the buckets; 0 if there are no values.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count)))
	for i, n := range h.cumulative {
		if n >= rank {
			return time.Duration(h.bounds[i] * float64(time.Second))
		}
	}
	if h.Count == 0 {
		return 0
	}
	return time.Duration(math.MaxInt64)
}

func (s *Service) each(name string, labels []string, visit func(*dto.Metric)) error {
	s.mu.Lock()
	registries := s.registries
	s.mu.Unlock()
	for _, r := range registries {
		families, err := r.Gather()
		if err != nil {
			return fmt.Errorf("gather metrics of %s: %w", s.Name, err)
		}
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, m := range f.GetMetric() {
				if matches(m, labels) {
					visit(m)
				}
			}
		}
	}
	return nil
}

func matches(m *dto.Metric, labels []string) bool {
	have := map[string]string{}
	for _, l := range m.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if have[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// Calls returns the number of attempted AWS calls of all lives by API and operation, such as "SQS.ReceiveMessage".
func (s *Service) Calls() (map[string]float64, error) {
	calls := map[string]float64{}
	err := s.each("leftfold_aws_calls_total", nil, func(m *dto.Metric) {
		var api, operation string
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "api":
				api = l.GetValue()
			case "operation":
				operation = l.GetValue()
			}
		}
		calls[api+"."+operation] += m.GetCounter().GetValue()
	})
	return calls, err
}
