// Package progress tells loops that work from loops that hang.
//
// A loop that runs for ever turns: it completes a poll, a batch or a round. A turn that ends in an error counts, since
// the next one may succeed; a call that never returns is what ends the turns. Each loop knows the longest time that one
// turn may take by its deadlines, and the Loops of a process say which have not turned for much longer.
package progress

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// Loop is one loop that runs for ever. It is safe for concurrent use.
type Loop struct {
	name     string
	deadline time.Duration
	now      func() time.Time

	mu       sync.Mutex
	turnedAt time.Time
}

// NewLoop returns a loop that has turned just now. deadline is the longest time that one turn may take, waits included.
func NewLoop(name string, deadline time.Duration, now func() time.Time) *Loop {
	return &Loop{name: name, deadline: deadline, now: now, turnedAt: now()}
}

// Turn says that a turn is complete.
func (l *Loop) Turn() {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turnedAt = now
}

// Age returns the time since the last turn.
func (l *Loop) Age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now().Sub(l.turnedAt)
}

type key struct{}

// With returns a context that carries the loop to the code that it calls.
func With(ctx context.Context, l *Loop) context.Context { return context.WithValue(ctx, key{}, l) }

// Turn says that the loop of ctx has completed a turn. Without a loop it does nothing.
func Turn(ctx context.Context) {
	if l, ok := ctx.Value(key{}).(*Loop); ok {
		l.Turn()
	}
}

// Loops are the loops of a process that run now. The zero value has none, and a nil *Loops accepts and forgets them. It is
// safe for concurrent use.
type Loops struct {
	mu    sync.Mutex
	loops map[*Loop]bool
}

// Register adds a loop. The loop calls unregister when it ends.
func (ls *Loops) Register(l *Loop) (unregister func()) {
	if ls == nil {
		return func() {}
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.loops == nil {
		ls.loops = map[*Loop]bool{}
	}
	ls.loops[l] = true
	return func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		delete(ls.loops, l)
	}
}

// State is how a loop is.
type State struct {
	Name string
	// Age is the time since the last turn.
	Age time.Duration
	// Deadline is the longest time that one turn may take.
	Deadline time.Duration
}

// Stuck reports whether the loop has not turned within three times its deadline: one turn may begin late on a busy
// machine, three do not.
func (s State) Stuck() bool { return s.Age > 3*s.Deadline }

// All returns the state of each loop, by name, the longest without a turn first.
func (ls *Loops) All() []State {
	if ls == nil {
		return nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	states := make([]State, 0, len(ls.loops))
	for l := range ls.loops {
		states = append(states, State{Name: l.name, Age: l.Age(), Deadline: l.deadline})
	}
	slices.SortFunc(states, func(a, b State) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Age, a.Age)) })
	return states
}

// Stuck returns those that are stuck.
func (ls *Loops) Stuck() []State {
	return slices.DeleteFunc(ls.All(), func(s State) bool { return !s.Stuck() })
}
