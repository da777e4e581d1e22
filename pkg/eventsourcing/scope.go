package eventsourcing

import (
	"cmp"
	"slices"
	"strings"
)

// Scope names counters that several streams share in, such as the members of a role: Subject is what it is about, a stream's
// text or a category, and Name says what of it is counted. Each counter is the sum of what the states of all streams share.
type Scope struct{ Subject, Name string }

// Key is the scope's identity, such as "org/iam/role/0192…#members".
func (s Scope) Key() string { return s.Subject + "#" + s.Name }

// ParseScope is the inverse of Scope.Key: the name is what follows the last "#".
func ParseScope(key string) (s Scope, ok bool) {
	i := strings.LastIndexByte(key, '#')
	if i <= 0 || i == len(key)-1 {
		return Scope{}, false
	}
	return Scope{Subject: key[:i], Name: key[i+1:]}, true
}

// Share is what a stream's state adds to a counter of a scope.
type Share struct {
	Scope   Scope
	Counter string
	Amount  int64
}

// ScopeState is a scope as it is stored. The zero ScopeState is that of a scope that no commit has moved yet.
type ScopeState struct {
	Version  Version // counts the commits that moved it
	Counters map[string]int64
}

// ScopeStates are the scopes that a decision depends on. A scope that nobody has moved may be missing.
type ScopeStates map[Scope]ScopeState

// Scoped is a Command that is decided on scopes, too. The append is refused if one of them has moved since it was read, so no
// two commands decide on the same picture of a scope.
type Scoped[S, E any] interface {
	Command[S, E]
	// Scopes lists the scopes that the decision on the state needs, each once.
	Scopes(state S) []Scope
	// In returns the command that decides on these scopes.
	In(scopes ScopeStates) Command[S, E]
}

// ScopeMove is what a commit does with a scope, in the append's own transaction.
type ScopeMove struct {
	Scope Scope
	// Read is the version that was decided on; at any other one the commit is an ErrScopeMoved. nil: it was not decided on.
	Read *Version
	// Add is what the counters change by; it also raises the scope's version. None: the scope is checked and stays as it is.
	Add map[string]int64
}

// Sums are the counters of scopes.
type Sums map[Scope]map[string]int64

// Add adds the shares, times factor.
func (s Sums) Add(shares []Share, factor int64) {
	for _, share := range shares {
		counters := s[share.Scope]
		if counters == nil {
			counters = map[string]int64{}
			s[share.Scope] = counters
		}
		if counters[share.Counter] += factor * share.Amount; counters[share.Counter] == 0 {
			delete(counters, share.Counter)
		}
		if len(counters) == 0 {
			delete(s, share.Scope)
		}
	}
}

// scopeMoves are what a commit does that was decided on the scopes read and changes the shares from before to after.
func scopeMoves(read ScopeStates, before, after []Share) []ScopeMove {
	changed := Sums{}
	changed.Add(after, 1)
	changed.Add(before, -1)
	var moves []ScopeMove
	for scope, state := range read {
		moves = append(moves, ScopeMove{Scope: scope, Read: new(state.Version), Add: changed[scope]})
	}
	for scope, add := range changed {
		if _, isRead := read[scope]; !isRead {
			moves = append(moves, ScopeMove{Scope: scope, Add: add})
		}
	}
	slices.SortFunc(moves, func(a, b ScopeMove) int { return cmp.Compare(a.Scope.Key(), b.Scope.Key()) })
	return moves
}
