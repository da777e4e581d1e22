package eventsourcing

import (
	"context"
	"time"
)

// Bounds of a SnapshotWriter.
const (
	snapshotQueue   = 64              // states of a few kilobytes
	snapshotTimeout = 2 * time.Second // of one write, and of all that are left at the stop
)

// SnapshotWriter is Snapshots that are written behind: Save and Forget return at once and Run does the work, one write
// after another. When too many are waiting, the next is dropped. Safe for concurrent use.
type SnapshotWriter struct {
	Snapshots

	onSnapshot func(SnapshotUse, error)
	queue      chan write
}

// write is a snapshot to be saved, or to be forgotten.
type write struct {
	snapshot Snapshot
	deed     func(context.Context, Snapshot) error
	done     SnapshotUse
}

// NewSnapshotWriter returns a writer that tells onSnapshot what became of each write. Nothing is written before Run.
func NewSnapshotWriter(to Snapshots, onSnapshot func(SnapshotUse, error)) *SnapshotWriter {
	return &SnapshotWriter{Snapshots: to, onSnapshot: onSnapshot, queue: make(chan write, snapshotQueue)}
}

// Save implements Snapshots. Its error is always nil.
func (w *SnapshotWriter) Save(_ context.Context, s Snapshot) error {
	w.add(write{s, w.Snapshots.Save, SnapshotSaved})
	return nil
}

// Forget implements Snapshots. Its error is always nil.
func (w *SnapshotWriter) Forget(_ context.Context, s Snapshot) error {
	w.add(write{s, w.Snapshots.Forget, SnapshotForgotten})
	return nil
}

func (w *SnapshotWriter) add(next write) {
	select {
	case w.queue <- next:
	default:
		w.onSnapshot(SnapshotDropped, nil)
	}
}

// Run writes until ctx ends, then writes what is waiting, for two seconds at most, and returns nil.
func (w *SnapshotWriter) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case next := <-w.queue:
			w.within(ctx, next)
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotTimeout)
	defer cancel()
	for {
		select {
		case next := <-w.queue:
			w.write(last, next)
		default:
			return nil
		}
	}
}

// within gives one write its time, a stop notwithstanding.
func (w *SnapshotWriter) within(ctx context.Context, next write) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotTimeout)
	defer cancel()
	w.write(ctx, next)
}

func (w *SnapshotWriter) write(ctx context.Context, next write) {
	if err := next.deed(ctx, next.snapshot); err != nil {
		w.onSnapshot(SnapshotUnsaved, err)
		return
	}
	w.onSnapshot(next.done, nil)
}
