package projection

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	applied, duplicates, healed, parked, redriven, rebuilt, holes *prometheus.CounterVec // by category

	cache    *prometheus.CounterVec // by result
	badRows  prometheus.Counter
	latency  prometheus.Histogram
	examined prometheus.Histogram
}

// Results of the cache of rows.
const (
	cacheHit   = "hit"
	cacheStale = "stale"
	cacheMiss  = "miss"
)

// newMetrics registers the metrics, if reg is not nil.
func newMetrics(reg prometheus.Registerer, projection string, categories []string) metrics {
	register := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"projection": projection}, reg))
	counter := func(name, help string) *prometheus.CounterVec {
		c := register.NewCounterVec(prometheus.CounterOpts{Name: "projection_" + name + "_total", Help: help}, []string{"category"})
		// Each counter starts at zero: Prometheus sees no increase if the first value is one, and alerts must see that one.
		for _, category := range categories {
			c.WithLabelValues(category)
		}
		return c
	}
	cache := register.NewCounterVec(prometheus.CounterOpts{
		Name: "projection_row_cache_total",
		Help: "Rows by what the cache did for the events of a stream: hit (no read), stale (a refused write, then a read), miss (a read).",
	}, []string{"result"})
	for _, result := range []string{cacheHit, cacheStale, cacheMiss} {
		cache.WithLabelValues(result)
	}
	return metrics{
		cache:      cache,
		applied:    counter("applied", "Events written to the projection, including healed ones."),
		duplicates: counter("duplicates", "Events acknowledged because they were applied before."),
		healed:     counter("healed", "Missing events read from the log."),
		parked:     counter("parked", "Times that an aggregate was parked because an event could not be applied."),
		redriven:   counter("redriven", "Times that a parked aggregate was caught up."),
		rebuilt:    counter("rebuilt", "Times that the rows of an aggregate were written anew from the log."),
		holes:      counter("log_hole", "Times that the log was seen to lack an event of an aggregate."),
		badRows: register.NewCounter(prometheus.CounterOpts{
			Name: "projection_bad_rows_total", Help: "Reads of rows that cannot be decoded. Lists leave them out.",
		}),
		examined: register.NewHistogram(prometheus.HistogramOpts{
			Name: "projection_page_examined_rows", Help: "Rows that a page of a list examined to find its own.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 6), // 1 to 1,024: Reader.MaxExamined
		}),
		latency: register.NewHistogram(prometheus.HistogramOpts{
			Name:    "project_seconds",
			Help:    "Time from the recording of an event until it is visible in the projection.",
			Buckets: prometheus.ExponentialBucketsRange(0.001, 60, 40), // each a third wider: p99 to ±16 %
		}),
	}
}
