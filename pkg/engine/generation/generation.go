// Package generation rebuilds a projection beside the live one, and switches to it without an interruption.
//
// A generation of a projection is a table: generation 1 has the projection's own name, generation n the name with "-g<n>". Its
// shape is the number of the fold that writes its rows. One item of a small table, the State, says which generation is read and
// which are fed. Every process knows that item by a copy that is never older than MaxAge when it begins to apply a message or to
// answer a read (Watched). So two successive states, of which the second is written at least Settle after the first, are known
// side by side, and no others are. docs/rebuild.md draws the conclusions:
//
//   - Before an event is acknowledged it is in every fed generation (Model).
//   - No read answers less than another answered before it began (Reader).
//
// # Table
//
// CreateTableInput declares the table of states: partition key "projection" (S). A projection without an item reads generation 1.
//
// # Permissions
//
//   - Model: dynamodb:GetItem on the table of states, and those of package projection on the tables of all generations.
package generation

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Generation is a table of a projection, and the shape of its rows.
type Generation struct {
	Number int `dynamodbav:"number" json:"number"`
	Shape  int `dynamodbav:"shape"  json:"shape"`
}

// Name is what the generation is called where the projection, or its table, has that name.
func (g Generation) Name(of string) string {
	if g.Number == 1 {
		return of
	}
	return fmt.Sprintf("%s-g%d", of, g.Number)
}

// Phase says what a projection's other generation is for.
type Phase string

// Phases. The other generation, if there is one, is fed in each but Retiring.
const (
	Settled   Phase = "settled"   // there is none
	Filling   Phase = "filling"   // it lacks what was logged before it was fed
	Ready     Phase = "ready"     // it has everything
	Switching Phase = "switching" // a read answers what both have
	Retiring  Phase = "retiring"  // it is left
)

// State is what is known of a projection's generations. Its zero value is no state; see Initial.
type State struct {
	Revision int   `dynamodbav:"revision" json:"revision"`
	Phase    Phase `dynamodbav:"phase" json:"phase"`
	// Current is the generation that is read.
	Current Generation `dynamodbav:"current" json:"current"`
	// Other is the next generation, or the previous one, which has a lower number.
	Other *Generation `dynamodbav:"other,omitempty" json:"other,omitempty"`
	// Highest is the highest number that a generation has had: none gets it again.
	Highest int `dynamodbav:"highest" json:"-"`
	// Segments is in how many parts the log is scanned to fill Other.
	Segments int `dynamodbav:"segments,omitempty" json:"-"`
	// At is when this state was written, by the clock of the one who wrote it. For people.
	At time.Time `dynamodbav:"at" json:"at,omitzero"`
}

// Initial is the state of a projection without an item.
func Initial() State {
	first := Generation{Number: 1, Shape: 1}
	return State{Phase: Settled, Current: first, Highest: first.Number}
}

// Fed returns the generations that every event is applied to; the current one is the first.
func (s State) Fed() []Generation {
	if s.Other == nil || s.Phase == Retiring {
		return []Generation{s.Current}
	}
	return []Generation{s.Current, *s.Other}
}

// Next reports whether the other generation is newer than the current one.
func (s State) Next() bool { return s.Other != nil && s.Other.Number > s.Current.Number }

// ErrPhase means that a step is not possible in the phase that a projection is in.
var ErrPhase = errors.New("not possible in this phase")

// Step is what an Operator can do.
type Step string

// The steps, each the name of a method of Operator.
const (
	Rebuild  Step = "rebuild"
	Switch   Step = "switch"
	Rollback Step = "rollback"
	Retire   Step = "retire"
)

// Allows returns an ErrPhase that says what can be done instead, unless the step is possible in this state.
func (s State) Allows(step Step) error {
	var steps []Step
	var state string
	switch {
	case s.Phase == Settled:
		steps, state = []Step{Rebuild}, "there is no other generation; rebuild makes one"
	case s.Phase == Filling:
		steps, state = []Step{Rebuild, Retire}, "the next one is not ready; rebuild ends the filling, retire gives it up"
	case s.Phase == Switching:
		steps, state = []Step{Switch, Rollback}, "a switch is under way; switch or rollback ends it"
	case s.Phase == Retiring:
		steps, state = []Step{Retire}, "the other one is being left; retire ends that"
	case s.Next():
		steps, state = []Step{Rebuild, Switch, Retire}, "reads have not moved to the next one; switch moves them, retire gives it up"
	default:
		steps, state = []Step{Rollback, Retire}, "reads have moved from the previous one; rollback moves them back, retire leaves it"
	}
	if slices.Contains(steps, step) {
		return nil
	}
	return fmt.Errorf("%w: no %s at generation %d, which is %s: %s", ErrPhase, step, s.Current.Number, s.Phase, state)
}

// Begin names the next generation. From now on it is fed.
func (s State) Begin(shape, segments int) (State, error) {
	s, err := s.to(Filling, Settled)
	s.Highest++
	s.Other, s.Segments = &Generation{Number: s.Highest, Shape: shape}, segments
	return s, err
}

// Filled says that the other generation has everything.
func (s State) Filled() (State, error) { return s.to(Ready, Filling) }

// Switch begins a switch to the other generation.
func (s State) Switch() (State, error) { return s.to(Switching, Ready) }

// Switched ends a switch: the two generations change places.
func (s State) Switched() (State, error) {
	s, err := s.to(Ready, Switching)
	if err == nil {
		s.Current, s.Other = *s.Other, &Generation{Number: s.Current.Number, Shape: s.Current.Shape}
	}
	return s, err
}

// Halt ends a switch, with the two generations where they were.
func (s State) Halt() (State, error) { return s.to(Ready, Switching) }

// Retire leaves the other generation. It is not fed any more.
func (s State) Retire() (State, error) { return s.to(Retiring, Filling, Ready) }

// Settle forgets the other generation, whose table is gone.
func (s State) Settle() (State, error) {
	s, err := s.to(Settled, Retiring)
	s.Other, s.Segments = nil, 0
	return s, err
}

func (s State) to(phase Phase, from ...Phase) (State, error) {
	if !slices.Contains(from, s.Phase) {
		return s, fmt.Errorf("%w: it is %s, want %v", ErrPhase, s.Phase, from)
	}
	s.Phase = phase
	return s, nil
}
