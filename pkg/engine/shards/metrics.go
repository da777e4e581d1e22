package shards

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// counters are a Reader's counters. Collect reads the gauges from the workers.
type counters struct {
	all                                         *prometheus.Registry
	records, handleFailures, takeOvers, trimmed prometheus.Counter
	listFailures, replaced, stuck, unreadable   prometheus.Counter
	readFailures                                *prometheus.CounterVec

	behind, checkpointAge, pollAge, leases *prometheus.Desc
}

func newCounters(consumer string) *counters {
	labels, all := prometheus.Labels{"consumer": consumer}, prometheus.NewRegistry()
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(all).NewCounter(prometheus.CounterOpts{Name: "shards_" + name, Help: help, ConstLabels: labels})
	}
	gauge := func(name, help, label string) *prometheus.Desc {
		return prometheus.NewDesc("shards_"+name, help, []string{label}, labels)
	}
	return &counters{
		all:            all,
		records:        counter("records_total", "Records handled."),
		handleFailures: counter("handle_failures_total", "Operations on a shard, such as publishing the log again, that failed and are retried."),
		takeOvers:      counter("take_overs_total", "Leases taken from owners that stopped renewing them."),
		trimmed:        counter("trimmed_total", "Times that records were trimmed before they were read."),
		replaced:       counter("source_replaced_total", "Times that the stream, or its target, was found replaced by another one of its name."),
		unreadable:     counter("unreadable_leases_total", "Times that a lease could not be read; its shard is read from its oldest record."),
		listFailures:   counter("list_failures_total", "Failed looks for the stream's shards or its target, such as while there is none."),
		stuck:          counter("stuck_total", "Leases given up because nothing was completed for the lease duration."),
		readFailures: promauto.With(all).NewCounterVec(prometheus.CounterOpts{
			Name: "shards_read_failures_total", Help: "Failed reads by reason.", ConstLabels: labels,
		}, []string{"reason"}),
		behind: gauge("behind_seconds",
			"Distance from the tip up to which all of a shard is handled: grows while it is not read or a record not handled.", "shard"),
		checkpointAge: gauge("checkpoint_age_seconds", "Time since the lease of a shard was renewed, and its position stored.", "shard"),
		pollAge:       gauge("poll_age_seconds", "Time since a poll of a shard was answered, with records or without.", "shard"),
		leases:        gauge("leases", "Active leases by live owner, as this reader sees them.", "owner"),
	}
}

func reason(err error) string {
	switch {
	case errors.Is(err, ErrThrottled):
		return "throttled"
	case errors.Is(err, ErrIteratorExpired):
		return "expired"
	case errors.Is(err, ErrTrimmed):
		return "trimmed"
	case errors.Is(err, ErrShardGone):
		return "gone"
	default:
		return "other"
	}
}

// Describe implements prometheus.Collector.
func (r *Reader[T]) Describe(ch chan<- *prometheus.Desc) {
	r.counts.all.Describe(ch)
	ch <- r.counts.behind
	ch <- r.counts.checkpointAge
	ch <- r.counts.pollAge
	ch <- r.counts.leases
}

// Collect implements prometheus.Collector.
func (r *Reader[T]) Collect(ch chan<- prometheus.Metric) {
	r.counts.all.Collect(ch)
	gauge := func(d *prometheus.Desc, value float64, label string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, label)
	}
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for shard, w := range r.workers {
		gauge(r.counts.behind, w.lag(now).Seconds(), shard)
		w.mu.Lock()
		gauge(r.counts.pollAge, now.Sub(w.polledAt).Seconds(), shard)
		gauge(r.counts.checkpointAge, now.Sub(w.savedAt).Seconds(), shard)
		w.mu.Unlock()
	}
	for owner, n := range r.owners {
		gauge(r.counts.leases, float64(n), owner)
	}
}
