package snapshot

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	maxWaiting   = 64              // states of a few kilobytes
	writeTimeout = 2 * time.Second // of one write, and of all that are waiting at the stop
)

// Writer is an eventsourcing.Snapshots that writes behind: Save and Forget return at once, and Run does the work, one
// write after another. When too many are waiting, the next is dropped. Safe for concurrent use.
type Writer struct {
	eventsourcing.Snapshots

	onUse func(eventsourcing.SnapshotUse, error)
	queue chan write
}

// write is a snapshot to be saved or to be forgotten.
type write struct {
	snapshot  eventsourcing.Snapshot
	operation func(context.Context, eventsourcing.Snapshot) error
	done      eventsourcing.SnapshotUse
}

// NewWriter returns a Writer that calls onUse with the outcome of each write. Nothing is written before Run.
func NewWriter(to eventsourcing.Snapshots, onUse func(eventsourcing.SnapshotUse, error)) *Writer {
	return &Writer{Snapshots: to, onUse: onUse, queue: make(chan write, maxWaiting)}
}

// Save implements eventsourcing.Snapshots. Its error is always nil.
func (w *Writer) Save(_ context.Context, s eventsourcing.Snapshot) error {
	w.add(write{s, w.Snapshots.Save, eventsourcing.SnapshotSaved})
	return nil
}

// Forget implements eventsourcing.Snapshots. Its error is always nil.
func (w *Writer) Forget(_ context.Context, s eventsourcing.Snapshot) error {
	w.add(write{s, w.Snapshots.Forget, eventsourcing.SnapshotForgotten})
	return nil
}

func (w *Writer) add(next write) {
	select {
	case w.queue <- next:
	default:
		w.onUse(eventsourcing.SnapshotDropped, nil)
	}
}

// Run writes until ctx ends, then writes what is waiting, for two seconds at most, and returns nil.
func (w *Writer) Run(ctx context.Context) error {
	workCtx := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case next := <-w.queue:
			w.withTimeout(workCtx, next)
		case <-ctx.Done():
		}
	}
	workCtx, cancelWork := context.WithTimeout(workCtx, writeTimeout)
	defer cancelWork()
	for {
		select {
		case next := <-w.queue:
			w.write(workCtx, next)
		default:
			return nil
		}
	}
}

func (w *Writer) withTimeout(ctx context.Context, next write) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	w.write(ctx, next)
}

func (w *Writer) write(ctx context.Context, next write) {
	if err := next.operation(ctx, next.snapshot); err != nil {
		w.onUse(eventsourcing.SnapshotUnsaved, err)
		return
	}
	w.onUse(next.done, nil)
}
