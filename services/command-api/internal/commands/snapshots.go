package commands

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// WriteSnapshots saves what commands and loads give cause to, until ctx ends. What is not saved then is lost, which costs
// nothing but time.
func (h *Handler) WriteSnapshots(ctx context.Context) error {
	if h.snapshots == nil {
		<-ctx.Done()
		return nil
	}
	return h.snapshots.Run(ctx)
}

// album counts what becomes of snapshots, and logs the first of failures in a row.
type album struct {
	uses    *prometheus.CounterVec
	log     *slog.Logger
	failing atomic.Bool
}

func newAlbum(log *slog.Logger) *album {
	return &album{log: log, uses: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "snapshots_total",
		Help: "Snapshots by what became of them: loaded, none, ignored_shape, ignored_log, ignored_undecodable, load_failed, saved, forgotten, save_failed, dropped.",
	}, []string{"result"})}
}

func (a *album) used(u eventsourcing.SnapshotUse, err error) {
	a.uses.WithLabelValues(string(u)).Inc()
	switch u {
	case eventsourcing.SnapshotUnread, eventsourcing.SnapshotUnsaved:
		if !a.failing.Swap(true) {
			a.log.Warn("snapshots fail: commands go on without", because(u, err)...)
		}
	case eventsourcing.SnapshotOtherLog, eventsourcing.SnapshotUndecodable:
		a.log.Warn("snapshot ignored", because(u, err)...)
	case eventsourcing.SnapshotDropped: // says nothing of where they are kept
	case eventsourcing.SnapshotLoaded, eventsourcing.SnapshotNone, eventsourcing.SnapshotOtherShape,
		eventsourcing.SnapshotSaved, eventsourcing.SnapshotForgotten:
		a.failing.Store(false)
	}
}

func because(u eventsourcing.SnapshotUse, err error) []any {
	return []any{slog.String("result", string(u)), slog.Any(telemetry.KeyError, err)}
}
