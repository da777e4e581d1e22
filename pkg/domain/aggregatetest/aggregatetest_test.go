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
	door struct{ open bool }

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

var errOpen = &eventsourcing.Refusal{Kind: eventsourcing.Denied, Code: "open", Reason: "the door is open"}

func evolve(d door, e event) door {
	switch e.(type) {
	case opened:
		d.open = true
	case painted:
	}
	return d
}

func forget(d door, _ event) door { return d }

// A law that nothing breaks is no law.
func TestLawSeesEachBreach(t *testing.T) {
	t.Parallel()
	isOpen := door{open: true}
	always := func(err error, events ...event) open { return func(door) ([]event, error) { return events, err } }
	right := open(func(d door) ([]event, error) {
		if d.open {
			return nil, errOpen
		}
		return []event{opened{}}, nil
	})
	for name, tt := range map[string]struct {
		command open
		evolve  func(door, event) door
		state   door
		breach  string
	}{
		"right when due":      {command: right},
		"right when not due":  {command: right, state: isOpen},
		"refuses when due":    {command: always(errOpen), breach: "refused with the door is open"},
		"nothing when due":    {command: always(nil), breach: "events [], want [{}]"},
		"another event":       {command: always(nil, painted{}), breach: "events [{}], want [{}]"},
		"one too many":        {command: always(nil, opened{}, opened{}), breach: "events [{} {}], want [{}]"},
		"event when not due":  {command: always(nil, opened{}), state: isOpen, breach: "events [{}], want []"},
		"event when repeated": {command: always(nil, opened{}), breach: "answer <nil>, want the door is open"},
		"fault, no refusal":   {command: always(errors.New("fault")), state: isOpen, breach: "fault is no refusal"},
		"no effect":           {command: right, evolve: forget, breach: "turned {open:false} into {open:false}"},
	} {
		a := eventsourcing.Aggregate[door, event]{Evolve: evolve}
		if tt.evolve != nil {
			a.Evolve = tt.evolve
		}
		law := aggregatetest.Law[door, event, open]{
			Due:   func(d door, _ open) bool { return !d.open },
			Then:  func(open) event { return opened{} },
			Done:  func(_, after door, _ open) bool { return after.open },
			Again: errOpen,
		}
		breach := breachOf(func(t aggregatetest.T) { law.Check(t, a, tt.state, tt.command) })
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
