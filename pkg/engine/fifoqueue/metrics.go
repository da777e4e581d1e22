package fifoqueue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// counters are a Consumer's counters. Collect reads the ages from the consumer.
type counters struct {
	all                                                          *prometheus.Registry
	received, deleted, rejected, failures, stale, deleteFailures prometheus.Counter

	oldestAge, pollAge *prometheus.Desc
}

func newCounters(queue string, f *inFlight) *counters {
	labels, all := prometheus.Labels{"queue": queue}, prometheus.NewRegistry()
	register := promauto.With(prometheus.WrapRegistererWith(labels, all))
	counter := func(name, help string) prometheus.Counter {
		return register.NewCounter(prometheus.CounterOpts{Name: "fifoqueue_" + name, Help: help})
	}
	age := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("fifoqueue_"+name, help, nil, labels)
	}
	register.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fifoqueue_in_flight", Help: "Messages received and neither deleted nor released.",
	}, func() float64 { return float64(f.count()) })
	return &counters{
		all:            all,
		received:       counter("received_total", "Messages received, repetitions included."),
		deleted:        counter("deleted_total", "Messages deleted."),
		rejected:       counter("rejected_total", "Messages moved to the dead-letter queue."),
		failures:       counter("failures_total", "Handler calls that failed; their messages will be received again."),
		stale:          counter("stale_receipts_total", "Deletions and extensions refused because the message had been received again."),
		deleteFailures: counter("delete_failures_total", "Messages that were finished but could not be deleted."),
		oldestAge:      age("oldest_age_seconds", "Age of the oldest message in flight; absent while there is none."),
		pollAge:        age("poll_age_seconds", "Time since the queue answered a receive, with messages or without."),
	}
}

// Describe implements prometheus.Collector.
func (c *Consumer) Describe(ch chan<- *prometheus.Desc) {
	c.counts.all.Describe(ch)
	ch <- c.counts.oldestAge
	ch <- c.counts.pollAge
}

// Collect implements prometheus.Collector.
func (c *Consumer) Collect(ch chan<- prometheus.Metric) {
	c.counts.all.Collect(ch)
	now := c.cfg.Now()
	gauge := func(d *prometheus.Desc, age time.Duration) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, age.Seconds())
	}
	if oldest := c.inFlight.oldest(); !oldest.IsZero() {
		gauge(c.counts.oldestAge, now.Sub(oldest))
	}
	gauge(c.counts.pollAge, now.Sub(time.Unix(0, c.polledAt.Load())))
}
