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

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/internal/audit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Waiting is what a process waits for besides events.
type Waiting struct {
	ID string
	// Parked is why the process is parked: it waits for Retry.
	Parked string
	// Timer is the timer's name. Without one, and not parked, the process waits for answers to commands.
	Timer string
	// Since is the time at which the timer is or was due, the oldest open work was asked, or the process was parked.
	Since time.Time
}

// List yields what the processes wait for, in no order: the timers that are set, the processes with commands that have no answer, and
// those that are parked. A process that waits for events alone is not among them. What waits since more than T is stuck. An error that
// comes with an ID is why that process cannot be read; the error of a call ends the sequence. It queries the table of timers, whose
// reads lag behind by milliseconds, and the streams of parked processes.
func (m *Manager[S, E]) List(ctx context.Context) iter.Seq2[Waiting, error] {
	return func(yield func(Waiting, error) bool) {
		for t, err := range m.cfg.Timers.All(ctx) {
			if err == nil && t.Stream.Category != m.spec.Category {
				continue
			}
			w := Waiting{ID: t.Stream.ID, Since: t.Due}
			switch {
			case err != nil, t.Name == openWork:
			case t.Name == parkedProcess:
				var st state[S]
				if st, _, err = m.states.Load(ctx, w.ID); err == nil && !st.isParked() {
					continue // retried since the query
				}
				w.Parked, w.Since = st.Parked.Reason, st.Parked.At
			default:
				w.Timer = strings.TrimPrefix(t.Name, timerPrefix)
			}
			if !yield(w, err) {
				return
			}
		}
	}
}

// EachWaiting calls visit for every process that waits for a timer or an answer, or is parked, as the log says, whatever the table of
// timers has: after a loss of the table, Retry puts back what is missing. Up to that many calls overlap. err is why a process cannot
// be read. The first error of visit ends it. It scans the whole log, and reads the streams of the processes.
func (m *Manager[S, E]) EachWaiting(ctx context.Context, parallel int, visit func(ctx context.Context, id string, err error) error) error {
	for page, err := range m.cfg.Log.Heads(ctx, 0) {
		if err == nil {
			err = audit.Each(ctx, parallel, page, func(ctx context.Context, h dynamostore.Head) error {
				stream, err := eventsourcing.ParseStreamID(h.Stream)
				if err != nil || stream.Category != m.spec.Category {
					return nil //nolint:nilerr // no process has such a name
				}
				st, _, err := m.states.Load(ctx, stream.ID)
				if err == nil && len(st.due(stream)) == 0 {
					return nil
				}
				return visit(ctx, stream.ID, err)
			})
		}
		if err != nil {
			return fmt.Errorf("visit the processes of %s: %w", m.spec.Category, err)
		}
	}
	return nil
}

// View is one process as its stream says.
type View[S any] struct {
	State     S
	Version   eventsourcing.Version // 0: there is no such process
	Cancelled bool
	Parked    Parked
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
	v := View[S]{State: st.of, Version: version, Cancelled: st.Cancelled, Parked: st.Parked}
	for _, a := range st.Open {
		v.Open = append(v.Open, OpenCommand{m.request(id, a), a.At})
	}
	for name, due := range st.Timers {
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

// Retry puts the timers of a process and its open work anew, as its stream has them, whatever the table has, and frees the process if
// it is parked. The poller handles what is due in its next round, or within the pause after a failure. md says who wants it.
func (m *Manager[S, E]) Retry(ctx context.Context, id string, md eventsourcing.Metadata) error {
	if err := m.operate(ctx, id, md, retried{fact{m.spec.Category}}); err != nil {
		return fmt.Errorf("retry %s: %w", m.stream(id), err)
	}
	return nil
}

// Cancel ends a process: its timers and the commands without an answer are dropped, and it hears nothing more. A command that is under way
// may still take effect. One that is cancelled already is left as it is. md says who wants it.
func (m *Manager[S, E]) Cancel(ctx context.Context, id, reason string, md eventsourcing.Metadata) error {
	if err := m.operate(ctx, id, md, cancelled{fact{m.spec.Category}, reason}); err != nil {
		return fmt.Errorf("cancel %s: %w", m.stream(id), err)
	}
	return nil
}

// operate appends an operator's event, unless the process is cancelled.
func (m *Manager[S, E]) operate(ctx context.Context, id string, md eventsourcing.Metadata, event eventsourcing.Event) error {
	_, done, err := m.step(ctx, id, md, func(st state[S]) ([]eventsourcing.Event, error) {
		switch {
		case st.Version == 0:
			return nil, ErrNoProcess
		case st.Cancelled:
			return nil, nil
		default:
			return []eventsourcing.Event{event}, nil
		}
	})
	if done {
		m.cfg.Logger.InfoContext(ctx, "process changed by an operator", slog.String("stream", m.stream(id).String()),
			slog.String("event", event.EventName()), slog.String("actor", md.Actor))
	}
	return err
}
