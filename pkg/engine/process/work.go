package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// maxParallel keeps the answers of one wave, and what follows from them, in one transaction.
const maxParallel = 16

// Handle fires what is due of a process: its timers, and the commands that have no answer. It implements timers.Category.
func (m *Manager[S, E]) Handle(ctx context.Context, stream eventsourcing.StreamID, due []timers.Timer) error {
	var errs []error
	for _, t := range due {
		known, err := false, error(nil)
		if name, isTimer := strings.CutPrefix(t.Name, timerPrefix); isTimer {
			known, err = m.fire(ctx, stream.ID, Timer{Name: name, Due: t.Due})
		} else {
			known, err = m.work(ctx, stream.ID)
		}
		if err == nil && !known {
			err = m.cfg.Timers.Discard(ctx, t)
		}
		errs = append(errs, err) // what fails delays nothing else
	}
	return errors.Join(errs...)
}

// fire lets the process react to a timer. It reports whether the process's stream knows that timer.
func (m *Manager[S, E]) fire(ctx context.Context, id string, t Timer) (known bool, err error) {
	md := eventsourcing.Metadata{CorrelationID: m.cfg.NewID(), Actor: m.cfg.Actor}
	st, fired, err := m.step(ctx, id, md, func(st state[S]) ([]eventsourcing.Event, error) {
		due, set := st.Timers[t.Name]
		if !set || !due.Equal(t.Due) || st.isParked() {
			return nil, nil
		}
		return m.reaction(st, Fired{t}, md.CorrelationID, timerFired{fact{m.spec.Category}, t})
	})
	if cannotReact(err) {
		_, err = m.park(ctx, id, st.Version, fmt.Errorf("timer %q: %w", t.Name, err))
		return true, err
	}
	if err != nil {
		return true, fmt.Errorf("fire timer %q: %w", t.Name, err)
	}
	if fired {
		m.metrics.inputs.WithLabelValues(inputTimer).Inc()
	}
	return fired, nil
}

// work sends the commands of a process that have no answer, until all have one, also those that the answers lead to. It reports whether
// there were any.
func (m *Manager[S, E]) work(ctx context.Context, id string) (known bool, err error) {
	st, _, err := m.states.Load(ctx, id)
	if err != nil {
		return true, err
	}
	hasWork := func() bool { return len(st.Open) > 0 && !st.isParked() }
	known = hasWork()
	for hasWork() {
		progress.Turn(ctx)
		wave := st.Open[:min(len(st.Open), m.spec.Parallel)]
		answers, sendErr := m.sendAll(ctx, id, wave)
		if len(answers) > 0 {
			if st, err = m.answer(ctx, id, answers); err != nil {
				return true, err
			}
		}
		if sendErr != nil {
			return true, sendErr
		}
	}
	return known, nil
}

// answered is a command with its answer.
type answered struct {
	asked
	answer Answer
}

// sendAll sends commands at once. It returns the answers in the commands' order, also with an error.
func (m *Manager[S, E]) sendAll(ctx context.Context, id string, wave []asked) ([]answered, error) {
	answers := make([]*Answer, len(wave))
	var group errgroup.Group
	for i, a := range wave {
		group.Go(func() error {
			answer, err := m.send(ctx, id, a)
			if err != nil {
				return err
			}
			answers[i] = &answer
			return nil
		})
	}
	err := group.Wait()
	var out []answered
	for i, answer := range answers {
		if answer != nil {
			out = append(out, answered{wave[i], *answer})
		}
	}
	return out, err
}

func (m *Manager[S, E]) send(ctx context.Context, id string, a asked) (Answer, error) {
	if err := m.limit.Wait(ctx); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.SendTimeout)
	defer cancel()
	answer, err := m.cfg.Send(ctx, m.request(id, a))
	if err != nil {
		m.metrics.commands.WithLabelValues(commandFailed).Inc()
		return answer, fmt.Errorf("send command %s: %w", m.request(id, a).Key, err)
	}
	m.metrics.commands.WithLabelValues(outcomeOf(answer)).Inc()
	return answer, nil
}

func (m *Manager[S, E]) request(id string, a asked) Request {
	return Request{
		Key:     fmt.Sprintf("%s/%d#%d", m.stream(id), a.Version, a.Number),
		Process: m.stream(id), Command: a.Command, CorrelationID: a.CorrelationID,
	}
}

// answer records answers, each with the process's reaction to it, and returns the state afterwards. A command that has its answer
// already, or was dropped, is left as it is. An answer to which the process cannot react parks it.
func (m *Manager[S, E]) answer(ctx context.Context, id string, answers []answered) (st state[S], err error) {
	st, err = m.record(ctx, id, answers)
	if !cannotReact(err) {
		return st, err
	}
	if len(answers) == 1 {
		return m.park(ctx, id, st.Version, fmt.Errorf("answer to command %s: %w", m.request(id, answers[0].asked).Key, err))
	}
	for _, a := range answers { // keep those before it
		if st, err = m.answer(ctx, id, []answered{a}); err != nil {
			break
		}
	}
	return st, err
}

// record records answers in one transaction.
func (m *Manager[S, E]) record(ctx context.Context, id string, answers []answered) (state[S], error) {
	md := eventsourcing.Metadata{CorrelationID: answers[0].CorrelationID, Actor: m.cfg.Actor}
	st, written, err := m.step(ctx, id, md, func(st state[S]) (events []eventsourcing.Event, err error) {
		for _, a := range answers {
			if !st.isOpen(a.asked) || st.isParked() {
				continue
			}
			more, err := m.reaction(st, Answered{a.Command, a.answer, m.now()}, a.CorrelationID, commandAnswered{
				fact: fact{m.spec.Category}, Version: a.Version, Number: a.Number, Answer: a.answer,
			})
			if err != nil {
				return nil, err
			}
			for _, e := range more {
				st = m.spec.evolve(st, e)
			}
			events = append(events, more...)
		}
		return events, nil
	})
	if err == nil && written {
		m.metrics.inputs.WithLabelValues(inputAnswer).Add(float64(len(answers)))
	}
	return st, err
}

// park parks a process that cannot react at a version. One that has moved on since then may be able to, and is left as it is.
func (m *Manager[S, E]) park(ctx context.Context, id string, at eventsourcing.Version, cause error) (state[S], error) {
	md := eventsourcing.Metadata{CorrelationID: m.cfg.NewID(), Actor: m.cfg.Actor}
	st, done, err := m.step(ctx, id, md, func(st state[S]) ([]eventsourcing.Event, error) {
		if st.Version != at {
			return nil, nil
		}
		return []eventsourcing.Event{parked{fact{m.spec.Category}, Parked{Reason: cause.Error(), At: m.now()}}}, nil
	})
	if err != nil {
		return st, fmt.Errorf("park: %w", err)
	}
	if done {
		m.cfg.Logger.ErrorContext(ctx, "process parked", slog.String("stream", m.stream(id).String()), slog.Any("error", cause))
	}
	return st, nil
}

func (st state[S]) isOpen(a asked) bool {
	for _, other := range st.Open {
		if other.is(a.Version, a.Number) {
			return true
		}
	}
	return false
}
