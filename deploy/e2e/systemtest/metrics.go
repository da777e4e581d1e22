package systemtest

import (
	"fmt"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Sum adds a counter up over all lives of the service. Labels are pairs of a name and a value that must match.
func (s *Service) Sum(name string, labels ...string) (sum float64, err error) {
	err = s.each(name, labels, func(m *dto.Metric) { sum += m.GetCounter().GetValue() })
	return sum, err
}

// Quantile reads a histogram, of all lives and matching labels, to within the width of its buckets.
func (s *Service) Quantile(q float64, name string, labels ...string) (time.Duration, error) {
	var bounds []float64
	var counts []uint64
	var total uint64
	err := s.each(name, labels, func(m *dto.Metric) {
		total += m.GetHistogram().GetSampleCount()
		for i, b := range m.GetHistogram().GetBucket() {
			if i == len(bounds) {
				bounds, counts = append(bounds, b.GetUpperBound()), append(counts, 0)
			}
			counts[i] += b.GetCumulativeCount()
		}
	})
	if err != nil || total == 0 {
		return 0, fmt.Errorf("metric %s has no samples: %w", name, err)
	}
	rank := uint64(math.Ceil(q * float64(total)))
	for i, n := range counts {
		if n >= rank {
			return time.Duration(bounds[i] * float64(time.Second)), nil
		}
	}
	return time.Duration(math.MaxInt64), nil
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
