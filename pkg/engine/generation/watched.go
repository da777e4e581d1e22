package generation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	// MaxAge bounds how old a process's knowledge of the state is when it begins to apply a message, or to answer a read.
	MaxAge = 2 * time.Second
	// Settle is the least time between two writes of a state, and from a write to what relies on that every process knows it: by
	// then nothing begins any more that knows only the state before. It is twice MaxAge, so that clocks may differ in speed.
	Settle = 2 * MaxAge
)

// Watched is what a process knows of a projection's state. It is safe for concurrent use.
type Watched struct {
	control Control
	now     func() time.Time
	reading chan struct{} // holds one while the state is read

	mu     sync.Mutex
	state  State
	readAt time.Time // before the read began
}

// NewWatched returns what is known of the control's state. now is the clock.
func NewWatched(c Control, now func() time.Time) *Watched {
	return &Watched{control: c, now: now, reading: make(chan struct{}, 1)}
}

// State returns a state that was the last one written at some time within MaxAge before the return. If it cannot be read, the
// error is an eventsourcing.ErrUnavailable.
func (w *Watched) State(ctx context.Context) (State, error) {
	if s, fresh := w.known(); fresh {
		return s, nil
	}
	select {
	case w.reading <- struct{}{}:
		defer func() { <-w.reading }()
	case <-ctx.Done():
		return State{}, context.Cause(ctx)
	}
	if s, fresh := w.known(); fresh {
		return s, nil
	}
	began := w.now()
	s, err := w.control.Read(trace.ContextWithSpan(ctx, nil)) // it is a part of no one trace
	if err != nil {
		return State{}, fmt.Errorf("%w: %w", eventsourcing.ErrUnavailable, err)
	}
	w.mu.Lock()
	w.state, w.readAt = s, began
	w.mu.Unlock()
	if _, fresh := w.known(); !fresh {
		return State{}, fmt.Errorf("%w: the generations of %s took longer than %v to read", eventsourcing.ErrUnavailable,
			w.control.Projection, MaxAge)
	}
	return s, nil
}

// known returns the state as last read, and whether that is still good.
func (w *Watched) known() (State, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	// The wall clock counts, too: the monotonic one may stand still while a machine sleeps.
	age := max(now.Sub(w.readAt), now.Round(0).Sub(w.readAt.Round(0)))
	return w.state, w.state.Phase != "" && age < MaxAge
}
