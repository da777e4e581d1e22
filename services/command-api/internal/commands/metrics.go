package commands

import (
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// metrics counts commands and what the repositories report.
type metrics struct {
	outcomes, cache, snapshots *prometheus.CounterVec
	holes, conflicts           *prometheus.CounterVec
	unknownEvents              prometheus.Counter
	seconds                    *prometheus.HistogramVec

	logger        *slog.Logger
	snapshotsFail atomic.Bool
}

func newMetrics(c Config) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		logger: c.Logger,
		outcomes: counter("commands_total",
			"Commands by their outcome: accepted, dry_run, repeated or the code of the problem that answered.",
			"command", "outcome"),
		cache: counter("state_cache_total", "Commands by what the cache of states did for them: hit (no read), stale (a short one), miss.",
			"result"),
		snapshots: counter("snapshots_total", "Snapshots by use: loaded, none, ignored_shape, ignored_log, ignored_undecodable, "+
			"load_failed, saved, forgotten, save_failed, dropped.", "result"),
		holes: counter("log_hole_total", "Times that the log was seen to lack an event: by a command, or by a snapshot that is newer.",
			"seen_by"),
		conflicts: counter("command_conflicts_total",
			"Attempts lost to another writer and decided again, by what it moved: stream, guard, scope.", "moved"),
		unknownEvents: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "unknown_events_total", Help: "Commands refused because a later build wrote an event that this one does not know.",
		}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "command_seconds", Help: "Time from a command's arrival to its answer.", Buckets: eventtrace.LatencyBuckets(),
		}, []string{"command"}),
	}
	for _, seenBy := range []string{holeSeenByCommand, holeSeenBySnapshot} {
		m.holes.WithLabelValues(seenBy) // an alert must see the first one
	}
	c.Metrics.MustRegister(m.outcomes, m.cache, m.snapshots, m.holes, m.conflicts, m.unknownEvents, m.seconds)
	return m
}

// lost counts an attempt that another writer was faster than.
func (m *metrics) lost(err error) {
	moved := "stream"
	switch {
	case errors.Is(err, eventsourcing.ErrGuardMoved):
		moved = "guard"
	case errors.Is(err, eventsourcing.ErrScopeMoved):
		moved = "scope"
	}
	m.conflicts.WithLabelValues(moved).Inc()
}

const holeSeenByCommand, holeSeenBySnapshot = "command", "snapshot"

// snapshotUsed counts the uses of snapshots and logs the first of failures in a row.
func (m *metrics) snapshotUsed(u eventsourcing.SnapshotUse, err error) {
	m.snapshots.WithLabelValues(string(u)).Inc()
	switch u {
	case eventsourcing.SnapshotUnread, eventsourcing.SnapshotUnsaved:
		if !m.snapshotsFail.Swap(true) {
			m.logger.Warn("snapshots cannot be used, commands continue without them", reason(u, err)...)
		}
	case eventsourcing.SnapshotOtherLog, eventsourcing.SnapshotUndecodable:
		if u == eventsourcing.SnapshotOtherLog {
			m.holes.WithLabelValues(holeSeenBySnapshot).Inc()
		}
		m.logger.Warn("snapshot ignored", reason(u, err)...)
	case eventsourcing.SnapshotDropped: // says nothing about the store of snapshots
	case eventsourcing.SnapshotLoaded, eventsourcing.SnapshotNone, eventsourcing.SnapshotOtherShape,
		eventsourcing.SnapshotSaved, eventsourcing.SnapshotForgotten:
		m.snapshotsFail.Store(false)
	}
}

func reason(u eventsourcing.SnapshotUse, err error) []any {
	return []any{slog.String("result", string(u)), slog.Any(telemetry.KeyError, err)}
}
