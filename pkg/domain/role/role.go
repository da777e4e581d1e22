// Package role holds the rules of the role aggregate and nothing else.
package role

import (
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Category is the category of every role's stream.
const Category = "org/iam/role"

// ID names a role; it never changes and is never reused. Make one with ParseID.
type ID string

// ParseID refuses what is not a UUID with value.ErrInvalidID.
func ParseID(text string) (ID, error) {
	id, err := value.ParseID(text)
	return ID(id), err
}

// State is what decisions need to know of a role; the zero State is a role nobody has created.
type State struct {
	exists, disabled bool
	name             Name
}

// Exists reports whether there is such a role, disabled or not.
func (s State) Exists() bool { return s.exists }

// Disabled reports whether the role is disabled at present.
func (s State) Disabled() bool { return s.disabled }

// Name is "" before creation.
func (s State) Name() Name { return s.name }

// Evolve returns s after e. It never fails and never judges: the event happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s.exists, s.name = true, e.Name
	case Renamed:
		s.name = e.Name
	case Disabled:
		s.disabled = true
	case Enabled:
		s.disabled = false
	}
	return s
}

// Claims holds the role's name whatever its case, disabled or not: nobody may take over an identity that the log still
// names.
func Claims(s State) []eventsourcing.Claim {
	if !s.exists {
		return nil
	}
	return []eventsourcing.Claim{{Category: Category, Name: "name", Value: value.Fold(string(s.name))}}
}

// Aggregate binds the role's parts for a Repository.
func Aggregate() eventsourcing.Aggregate[State, Event] {
	codec := NewCodec()
	return eventsourcing.Aggregate[State, Event]{
		Category: Category, Evolve: Evolve, Claims: Claims, Codec: codec, States: newStates(codec),
	}
}

func (s State) requireExisting() error {
	if !s.exists {
		return ErrNotFound
	}
	return nil
}

func (s State) requireEnabled() error {
	if err := s.requireExisting(); err != nil {
		return err
	}
	if s.disabled {
		return ErrDisabled
	}
	return nil
}
