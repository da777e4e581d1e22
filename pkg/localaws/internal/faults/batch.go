package faults

import (
	"context"
	"slices"
)

// Chosen marks the entries of a batch that a fault strikes.
type Chosen []bool

// Has reports whether entry i is chosen; none is in a nil Chosen.
func (c Chosen) Has(i int) bool { return c != nil && c[i] }

// Entries chooses at least one of a batch's n entries if a fault of the kind strikes the call; otherwise it returns nil.
func Entries(ctx context.Context, kind Kind, n int) Chosen {
	s := On(ctx, kind)
	if n == 0 || !s.Take() {
		return nil
	}
	share := s.target.rule.Share
	if share == 0 {
		share = 0.5
	}
	out := make(Chosen, n)
	out[s.Pick(n)] = true
	for i := range out {
		out[i] = s.Chance() < share || out[i]
	}
	return out
}

// Outcome is the result of one entry of a batch.
type Outcome int

// An entry is done, or it fails for one of these reasons.
const (
	Done Outcome = iota
	Throttled
	Failed
	Denied
)

// Outcomes are the entries' outcomes in the order of the request.
type Outcomes []Outcome

// Of returns the outcome of entry i, which is Done in nil Outcomes.
func (f Outcomes) Of(i int) Outcome {
	if i >= len(f) {
		return Done
	}
	return f[i]
}

// Next removes and returns the first outcome, or returns Done if none is left.
func (f *Outcomes) Next() Outcome {
	first := f.Of(0)
	*f = (*f)[min(1, len(*f)):]
	return first
}

// NoneDone reports whether every entry fails.
func (f Outcomes) NoneDone() bool { return len(f) > 0 && !slices.Contains(f, Done) }

// Batch decides the outcomes of a batch's n entries; nil means that all are Done.
func Batch(ctx context.Context, n int) Outcomes {
	slow, broken, denied := Entries(ctx, Throttle, n), Entries(ctx, Partial, n), Entries(ctx, Deny, n)
	if slow == nil && broken == nil && denied == nil {
		return nil
	}
	s, out := On(ctx, Partial), make(Outcomes, n)
	for i := range out {
		switch {
		case denied.Has(i):
			out[i] = Denied
		case slow.Has(i):
			out[i] = Throttled
		case broken.Has(i):
			out[i] = Throttled + Outcome(s.Pick(2))
		}
	}
	return out
}
