package commands

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// WriteSnapshots saves the snapshots that commands and loads ask for, until ctx ends. One that is not saved by then is
// lost, which costs time only.
func (h *Handler) WriteSnapshots(ctx context.Context) error {
	if h.snapshots == nil {
		<-ctx.Done()
		return nil
	}
	return h.snapshots.Run(ctx)
}

// snapshotMetrics counts the uses of snapshots and logs the first of failures in a row.
type snapshotMetrics struct {
	uses    *prometheus.CounterVec
	logger  *slog.Logger
	failing atomic.Bool
}

func newSnapshotMetrics(logger *slog.Logger) *snapshotMetrics {
	return &snapshotMetrics{logger: logger, uses: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "snapshots_total",
		Help: "Snapshots by use: loaded, none, ignored_shape, ignored_log, ignored_undecodable, load_failed, saved, forgotten, " +
			"save_failed, dropped.",
	}, []string{"result"})}
}

func (m *snapshotMetrics) observe(u eventsourcing.SnapshotUse, err error) {
	m.uses.WithLabelValues(string(u)).Inc()
	switch u {
	case eventsourcing.SnapshotUnread, eventsourcing.SnapshotUnsaved:
		if !m.failing.Swap(true) {
			m.logger.Warn("snapshots cannot be used, commands continue without them", reason(u, err)...)
		}
	case eventsourcing.SnapshotOtherLog, eventsourcing.SnapshotUndecodable:
		m.logger.Warn("snapshot ignored", reason(u, err)...)
	case eventsourcing.SnapshotDropped: // says nothing about the store of snapshots
	case eventsourcing.SnapshotLoaded, eventsourcing.SnapshotNone, eventsourcing.SnapshotOtherShape,
		eventsourcing.SnapshotSaved, eventsourcing.SnapshotForgotten:
		m.failing.Store(false)
	}
}

func reason(u eventsourcing.SnapshotUse, err error) []any {
	return []any{slog.String("result", string(u)), slog.Any(telemetry.KeyError, err)}
}
