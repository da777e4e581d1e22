package timers

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type metrics struct {
	due, stuck, parked *prometheus.GaugeVec   // by category
	failures           *prometheus.CounterVec // by category
	unreadable         prometheus.Counter
	lateness           prometheus.Histogram
}

// newMetrics registers the metrics, if reg is not nil.
func newMetrics(reg prometheus.Registerer) metrics {
	register := promauto.With(reg)
	gauge := func(name, help string) *prometheus.GaugeVec {
		return register.NewGaugeVec(prometheus.GaugeOpts{Name: "timers_" + name, Help: help}, []string{"category"})
	}
	return metrics{
		due:    gauge("due", "Timers that are due and not fired, as the poller that works saw them last."),
		stuck:  gauge("stuck", "Timers that are overdue for longer than they may be, as the poller that works saw them last."),
		parked: gauge("parked", "Streams that are parked, as the poller that works counted them last, once a minute."),
		failures: register.NewCounterVec(prometheus.CounterOpts{
			Name: "timers_failures_total", Help: "Attempts to fire timers of a stream that failed and are made again.",
		}, []string{"category"}),
		unreadable: register.NewCounter(prometheus.CounterOpts{
			Name: "timers_unreadable_total", Help: "Reads of timers that cannot be decoded; they stay where they are.",
		}),
		lateness: register.NewHistogram(prometheus.HistogramOpts{
			Name: "timers_lateness_seconds", Help: "Time from when a timer was due until an attempt to fire it.",
			Buckets: prometheus.ExponentialBuckets(0.125, 2, 16), // to an hour
		}),
	}
}

// findings are what a round found due.
type findings struct {
	now        time.Time
	stuckAfter time.Duration
	streams    map[eventsourcing.StreamID]bool
	due, stuck map[string]int // by category
}

func newFindings(now time.Time, stuckAfter time.Duration) findings {
	return findings{now, stuckAfter, map[eventsourcing.StreamID]bool{}, map[string]int{}, map[string]int{}}
}

func (f findings) add(t Timer) {
	f.streams[t.Stream] = true
	f.due[t.Stream.Category]++
	if f.now.Sub(t.Due) > f.stuckAfter {
		f.stuck[t.Stream.Category]++
	}
}

// found sets the gauges to what a round found.
func (m metrics) found(f findings) {
	m.due.Reset()
	m.stuck.Reset()
	for category, n := range f.due {
		m.due.WithLabelValues(category).Set(float64(n))
		m.stuck.WithLabelValues(category).Set(float64(f.stuck[category]))
	}
}

// foundParked sets the gauge to the streams that are parked, by category.
func (m metrics) foundParked(n map[string]int) {
	m.parked.Reset()
	for category, streams := range n {
		m.parked.WithLabelValues(category).Set(float64(streams))
	}
}

// none resets the gauges: another poller's count.
func (m metrics) none() {
	m.due.Reset()
	m.stuck.Reset()
	m.parked.Reset()
}
