package fifoqueue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type counters struct {
	all                                                          *prometheus.Registry
	received, deleted, rejected, failures, stale, deleteFailures prometheus.Counter
}

// newCounters returns a Consumer's counters; all has its gauges, too.
func newCounters(queue string, f *inFlight, now func() time.Time) *counters {
	all := prometheus.NewRegistry()
	register := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"queue": queue}, all))
	counter := func(name, help string) prometheus.Counter {
		return register.NewCounter(prometheus.CounterOpts{Name: "fifoqueue_" + name, Help: help})
	}
	gauge := func(name, help string, value func() float64) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: "fifoqueue_" + name, Help: help}, value)
	}
	gauge("oldest_age_seconds", "Age of the oldest message in flight.", func() float64 {
		if oldest := f.oldest(); !oldest.IsZero() {
			return now().Sub(oldest).Seconds()
		}
		return 0
	})
	gauge("in_flight", "Messages received and neither deleted nor released.", func() float64 { return float64(f.count()) })
	return &counters{
		all:            all,
		received:       counter("received_total", "Messages received, repetitions included."),
		deleted:        counter("deleted_total", "Messages deleted."),
		rejected:       counter("rejected_total", "Messages moved to the dead-letter queue."),
		failures:       counter("failures_total", "Handler calls that failed; their messages will be received again."),
		stale:          counter("stale_receipts_total", "Deletions and extensions refused because the message had been received again."),
		deleteFailures: counter("delete_failures_total", "Messages that were finished but could not be deleted."),
	}
}
