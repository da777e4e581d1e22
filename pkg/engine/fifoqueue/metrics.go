package fifoqueue

import "github.com/prometheus/client_golang/prometheus"

type counters struct {
	received, deleted, rejected, failures, stale, deleteFailures prometheus.Counter

	oldest, inFlight *prometheus.Desc
}

func newCounters(queue string) *counters {
	labels := prometheus.Labels{"queue": queue}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "fifoqueue_" + name, Help: help, ConstLabels: labels})
	}
	return &counters{
		received:       counter("received_total", "Messages received, repetitions included."),
		deleted:        counter("deleted_total", "Messages deleted."),
		rejected:       counter("rejected_total", "Messages moved to the dead-letter queue."),
		failures:       counter("failures_total", "Handler calls that failed; their messages will be received again."),
		stale:          counter("stale_receipts_total", "Deletions and extensions refused because the message had been received again."),
		deleteFailures: counter("delete_failures_total", "Messages that were finished but could not be deleted."),
		oldest:         prometheus.NewDesc("fifoqueue_oldest_age_seconds", "Age of the oldest message in flight.", nil, labels),
		inFlight:       prometheus.NewDesc("fifoqueue_in_flight", "Messages received and neither deleted nor released.", nil, labels),
	}
}

func (c *counters) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.received, c.deleted, c.rejected, c.failures, c.stale, c.deleteFailures}
}

// Describe implements prometheus.Collector.
func (c *Consumer) Describe(ch chan<- *prometheus.Desc) {
	for _, counter := range c.counts.collectors() {
		counter.Describe(ch)
	}
	ch <- c.counts.oldest
	ch <- c.counts.inFlight
}

// Collect implements prometheus.Collector.
func (c *Consumer) Collect(ch chan<- prometheus.Metric) {
	for _, counter := range c.counts.collectors() {
		counter.Collect(ch)
	}
	age := 0.0
	if oldest := c.inFlight.oldest(); !oldest.IsZero() {
		age = c.cfg.Now().Sub(oldest).Seconds()
	}
	ch <- prometheus.MustNewConstMetric(c.counts.oldest, prometheus.GaugeValue, age)
	ch <- prometheus.MustNewConstMetric(c.counts.inFlight, prometheus.GaugeValue, float64(c.inFlight.count()))
}
