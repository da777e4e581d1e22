package projection

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	applied, duplicates, healed, parked, redriven *prometheus.CounterVec // by category
	latency                                       prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, projection string, categories []string) metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "projection_" + name + "_total", Help: help},
			[]string{"category"})
	}
	m := metrics{
		applied:    counter("applied", "Events written to the projection, healed ones among them."),
		duplicates: counter("duplicates", "Events acknowledged because the fence had passed them."),
		healed:     counter("healed", "Missing events read from the log."),
		parked:     counter("parked", "Times that an aggregate was set aside because an event could not be applied."),
		redriven:   counter("redriven", "Times that an aggregate set aside was brought up to date."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "project_seconds",
			Help:    "Time from an event's recording to its being visible in the projection.",
			Buckets: prometheus.ExponentialBucketsRange(0.001, 60, 40), // each a third wider: p99 to ±16 %
		}),
	}
	// Each begins at zero: Prometheus sees no increase in a counter that is first seen at one, and one is enough to be woken by.
	for _, category := range categories {
		for _, c := range []*prometheus.CounterVec{m.applied, m.duplicates, m.healed, m.parked, m.redriven} {
			c.WithLabelValues(category)
		}
	}
	if reg == nil {
		return m
	}
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"projection": projection}, reg)
	for _, c := range []prometheus.Collector{m.applied, m.duplicates, m.healed, m.parked, m.redriven, m.latency} {
		reg.MustRegister(c)
	}
	return m
}
