package process

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Waiting is what a process waits for besides events.
type Waiting struct {
	ID string
	// Timer is the timer's name; empty: the process waits for answers to commands.
	Timer string
	// Since is the time at which the timer is or was due, or the oldest open work was asked.
	Since time.Time
}

// List yields what the processes wait for, in no order: the timers that are set, and the processes with commands that have no answer. A
// process that waits for events alone is not among them. What waits since more than T is stuck. The first error of a call ends the
// sequence. It queries the table of timers, whose reads lag behind by milliseconds.
func (m *Manager[S, E]) List(ctx context.Context) iter.Seq2[Waiting, error] {
	return func(yield func(Waiting, error) bool) {
		for t, err := range m.cfg.Timers.All(ctx) {
			if err == nil && t.Stream.Category != m.spec.Category {
				continue
			}
			name, _ := strings.CutPrefix(t.Name, timerPrefix)
			if t.Name == openWork {
				name = ""
			}
			if !yield(Waiting{ID: t.Stream.ID, Timer: name, Since: t.Due}, err) {
				return
			}
		}
	}
}

// View is one process as its stream says.
type View[S any] struct {
	State     S
	Version   eventsourcing.Version // 0: there is no such process
	Cancelled bool
	Open      []OpenCommand // in the order in which they were asked
	Timers    []Timer       // the first due first
}

// OpenCommand is a command without an answer.
type OpenCommand struct {
	Request

	AskedAt time.Time
}

// Show returns a process.
func (m *Manager[S, E]) Show(ctx context.Context, id string) (View[S], error) {
	st, version, err := m.states.Load(ctx, id)
	if err != nil {
		return View[S]{}, err
	}
	v := View[S]{State: st.of, Version: version, Cancelled: st.cancelled}
	for _, a := range st.open {
		v.Open = append(v.Open, OpenCommand{m.request(id, a), a.at})
	}
	for name, due := range st.timers {
		v.Timers = append(v.Timers, Timer{name, due})
	}
	slices.SortFunc(v.Timers, func(a, b Timer) int {
		if byDue := a.Due.Compare(b.Due); byDue != 0 {
			return byDue
		}
		return strings.Compare(a.Name, b.Name)
	})
	return v, nil
}

// ErrNoProcess means that there is no process of that ID.
var ErrNoProcess = errors.New("no such process")

// Retry puts the timers of a process and its open work anew, as its stream has them, whatever the table has; then it handles what is due
// at once, and returns what failed. md says who wants it.
func (m *Manager[S, E]) Retry(ctx context.Context, id string, md eventsourcing.Metadata) error {
	stream := m.stream(id)
	st, err := m.operate(ctx, id, md, retried{fact{m.spec.Category}})
	if err != nil {
		return fmt.Errorf("retry %s: %w", stream, err)
	}
	var due []timers.Timer
	for _, t := range st.due(stream) {
		if !t.Due.After(m.now()) {
			due = append(due, t)
		}
	}
	if err := m.Handle(ctx, stream, due); err != nil {
		return fmt.Errorf("retry %s: %w", stream, err)
	}
	return nil
}

// Cancel ends a process: its timers and the commands without an answer are dropped, and it hears nothing more. A command that is under way
// may still take effect. One that is cancelled already is left as it is. md says who wants it.
func (m *Manager[S, E]) Cancel(ctx context.Context, id, reason string, md eventsourcing.Metadata) error {
	_, err := m.operate(ctx, id, md, cancelled{fact{m.spec.Category}, reason})
	if err != nil {
		return fmt.Errorf("cancel %s: %w", m.stream(id), err)
	}
	return nil
}

// operate appends an operator's event, unless the process is cancelled.
func (m *Manager[S, E]) operate(
	ctx context.Context, id string, md eventsourcing.Metadata, event eventsourcing.Event,
) (state[S], error) {
	st, done, err := m.step(ctx, id, md, func(st state[S]) ([]eventsourcing.Event, error) {
		switch {
		case st.version == 0:
			return nil, ErrNoProcess
		case st.cancelled:
			return nil, nil
		default:
			return []eventsourcing.Event{event}, nil
		}
	})
	if done {
		m.cfg.Logger.InfoContext(ctx, "process changed by an operator", slog.String("stream", m.stream(id).String()),
			slog.String("event", event.EventName()), slog.String("actor", md.Actor))
	}
	return st, err
}
