package aggregatetest_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// A door is open or not; opening it twice is refused.
type (
	door struct {
		Open bool `json:"open"`
	}

	event interface {
		eventsourcing.Event
		isDoorEvent()
	}
	opened  struct{}
	painted struct{}

	open func(door) ([]event, error)
)

func (opened) EventName() string  { return "test/door/opened" }
func (painted) EventName() string { return "test/door/painted" }
func (opened) isDoorEvent()       {}
func (painted) isDoorEvent()      {}

func (c open) Decide(d door) ([]event, error) { return c(d) }

var errOpen = &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "open", Reason: "the door is open"}

func evolve(d door, e event) door {
	switch e.(type) {
	case opened:
		d.Open = true
	case painted:
	}
	return d
}

func forget(d door, _ event) door { return d }

func TestRepeatReportsEachBreach(t *testing.T) {
	t.Parallel()
	isOpen := door{Open: true}
	always := func(err error, events ...event) open { return func(door) ([]event, error) { return events, err } }
	right := open(func(d door) ([]event, error) {
		if d.Open {
			return nil, errOpen
		}
		return []event{opened{}}, nil
	})
	n := 0
	for name, tt := range map[string]struct {
		command open
		state   door
		breach  string
	}{
		"right when due":        {command: right},
		"right when not due":    {command: right, state: isOpen},
		"nothing":               {command: always(nil)},
		"event when repeated":   {command: always(nil, opened{}), breach: "events [{}], want []"},
		"another event":         {command: always(nil, painted{}), breach: "events [{}], want []"},
		"refusal with an event": {command: always(errOpen, opened{}), breach: "came with events [{}]"},
		"fault":                 {command: always(errors.New("fault")), state: isOpen, breach: "fault is not a refusal"},
		"fault when repeated": {command: func(d door) ([]event, error) {
			if d.Open {
				return nil, errors.New("fault")
			}
			return []event{opened{}}, nil
		}, breach: "repeated: fault is not a refusal"},
		"not pure": {command: func(door) ([]event, error) {
			n++
			return []event{opened{}, painted{}}[:n%2+1], nil
		}, breach: "events [{}], want [{} {}]"},
	} {
		a := eventsourcing.Aggregate[door, event]{Evolve: evolve}
		breach := breachOf(func(t aggregatetest.T) { aggregatetest.Repeat(t, a, tt.state, tt.command) })
		if tt.breach == "" {
			assert.Empty(t, breach, name)
		} else {
			assert.Contains(t, breach, tt.breach, name)
		}
	}
}

// breachOf returns what check failed with first.
func breachOf(check func(aggregatetest.T)) (breach string) {
	defer func() {
		if r := recover(); r != nil {
			breach = fmt.Sprint(r)
		}
	}()
	check(failing{})
	return ""
}

// failing is a T that ends the test, as Fatalf must.
type failing struct{}

func (failing) Helper()                           {}
func (failing) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
