package role

import (
	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// counted makes a command one that is decided on the members of its role, which the caller reads.
type counted struct{ scopes eventsourcing.ScopeStates }

// Scopes implements eventsourcing.Scoped.
func (counted) Scopes(s State) []eventsourcing.Scope {
	if !s.Exists {
		return nil
	}
	return []eventsourcing.Scope{members.Of(s.stream())}
}

func (c counted) members(s State) members.Count { return members.Counted(c.scopes, s.stream()) }

func (s State) stream() eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: Category, ID: string(s.ID)}
}

// Command is a decision on a role.
type Command = eventsourcing.Command[State, Event]

// SetRules gives the role rules in place of those it has. A role that has them already is left as it is.
type SetRules struct {
	counted

	Rules Rules
}

// In implements eventsourcing.Scoped.
func (c SetRules) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a role that is unknown, retiring, retired or disabled; then rules that are none or that its members break already.
func (c SetRules) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if err := c.Rules.validate(); err != nil {
		return nil, err
	}
	if s.Rules == c.Rules {
		return nil, nil
	}
	m := c.members(s)
	switch limit := c.Rules.MaxMembers; {
	case !m.Complete:
		return nil, ErrScopeNotReady
	case c.Rules.Essential && !s.Rules.Essential && m.Holders == 0:
		return nil, ErrNoHolder
	case limit > 0 && limit != s.Rules.MaxMembers && m.Seats > limit:
		return nil, ErrTooManyMembers
	}
	return []Event{RulesChanged{Rules: c.Rules}}, nil
}

// Retire bars the role from being granted and has it taken from everybody.
type Retire struct{ counted }

// In implements eventsourcing.Scoped.
func (c Retire) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a role that is unknown, retiring already, retired or essential. It may be disabled.
func (c Retire) Decide(s State) ([]Event, error) {
	if err := s.requireInUse(); err != nil {
		return nil, err
	}
	m := c.members(s)
	switch {
	case s.Rules.Essential:
		return nil, ErrEssential
	case !m.Complete:
		return nil, ErrScopeNotReady
	}
	return []Event{RetirementRequested{Members: m.Seats}}, nil
}

// CancelRetirement ends the retirement midway and leaves the role disabled.
type CancelRetirement struct{}

// Decide refuses a role that is unknown, retired or not retiring.
func (CancelRetirement) Decide(s State) ([]Event, error) {
	if err := s.requireRetiring(); err != nil {
		return nil, err
	}
	return []Event{RetirementCancelled{}}, nil
}

// CompleteRetirement ends the role for good. The process that takes it from everybody sends it.
type CompleteRetirement struct{ counted }

// In implements eventsourcing.Scoped.
func (c CompleteRetirement) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a role that is unknown, retired already or not retiring, and one that somebody holds.
func (c CompleteRetirement) Decide(s State) ([]Event, error) {
	if err := s.requireRetiring(); err != nil {
		return nil, err
	}
	m := c.members(s)
	switch {
	case !m.Complete:
		return nil, ErrScopeNotReady
	case m.Seats > 0:
		return nil, ErrMembersLeft
	}
	return []Event{Retired{}}, nil
}

func (s State) requireRetiring() error {
	switch {
	case !s.Exists:
		return ErrNotFound
	case s.Retired:
		return ErrRetired
	case !s.Retiring:
		return ErrNotRetiring
	}
	return nil
}
