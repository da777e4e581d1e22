package claimsaudit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Kind is a way in which table and log differ.
type Kind string

// The kinds.
const (
	// Missing: Stream holds a value that the table gives to nobody. Repaired by giving it.
	Missing Kind = "missing"
	// Misplaced: Stream holds a value that the table gives to Owner, which does not. Repaired by giving it to Stream.
	Misplaced Kind = "misplaced"
	// Orphan: the table gives a value to Stream, which does not hold it. Repaired by deleting it.
	Orphan Kind = "orphan"
	// Contested: Stream and Owner both hold the value. Which of them gives it up is nobody's to decide but theirs.
	Contested Kind = "contested"
	// Illegible: Stream cannot be folded, so that nothing can be said of its claims.
	Illegible Kind = "illegible"
)

// Difference is one difference between table and log. It leaves the claim's value out, which is personal data.
type Difference struct {
	Kind       Kind
	Constraint string // such as "org/iam/user#email"; "" where it is Illegible
	Stream     string
	Owner      string // that the table names, where it is not Stream
	Detail     string // of what is Illegible
	Repaired   bool
}

// String is one line for people.
func (d Difference) String() string {
	text := fmt.Sprintf("%s: %s ", d.Kind, d.Constraint)
	switch d.Kind {
	case Missing:
		text += fmt.Sprintf("is held by %s and by nobody in the table", d.Stream)
	case Misplaced:
		text += fmt.Sprintf("is held by %s; the table gives it to %s, which does not hold it", d.Stream, d.Owner)
	case Orphan:
		text += fmt.Sprintf("is given to %s, which does not hold it", d.Stream)
	case Contested:
		text += fmt.Sprintf("is held by both %s and %s, the table's owner: let one of them give it up by a command, then repair",
			d.Stream, d.Owner)
	case Illegible:
		text = fmt.Sprintf("%s: %s: %s", d.Kind, d.Stream, d.Detail)
	}
	if d.Repaired {
		text += ": repaired"
	}
	return text
}

// judge compares the claim's row with what the stream holds, both as of one instant. An eventsourcing.ErrGuardMoved says
// that there was no such instant, or none for the repair.
func (a *auditor) judge(ctx context.Context, key, stream string) error {
	f, err := a.fold(ctx, stream)
	if err != nil {
		return err
	}
	row, err := a.Claims.At(ctx, key, f.head...)
	if err != nil {
		return err
	}
	switch owned := row != nil && row.Owner == stream; {
	case owned == f.holds(key):
		return nil
	case owned:
		return a.settle(Difference{Kind: Orphan, Constraint: constraint(key), Stream: shown(stream)},
			func() error { return a.Claims.Delete(ctx, *row, f.head...) })
	case row == nil:
		return a.settle(Difference{Kind: Missing, Constraint: constraint(key), Stream: stream},
			func() error { return a.Claims.Assign(ctx, key, nil, f.stream, f.head...) })
	default:
		return a.judgeBoth(ctx, f, *row)
	}
}

// judgeBoth judges a claim that f holds and the table gives to another stream.
func (a *auditor) judgeBoth(ctx context.Context, f folded, row dynamostore.ClaimRow) error {
	other, err := a.fold(ctx, row.Owner)
	if err != nil {
		return err
	}
	heads := slices.Concat(f.head, other.head)
	again, err := a.Claims.At(ctx, row.Key, heads...)
	if err != nil {
		return err
	}
	if again == nil || again.Owner != row.Owner {
		return fmt.Errorf("look at a claim: %w", eventsourcing.ErrGuardMoved)
	}
	d := Difference{
		Kind: Misplaced, Constraint: constraint(row.Key), Stream: f.stream.String(), Owner: shown(row.Owner),
	}
	if other.holds(row.Key) {
		d.Kind = Contested
		return a.settle(d, nil)
	}
	return a.settle(d, func() error { return a.Claims.Assign(ctx, row.Key, again, f.stream, heads...) })
}

// settle repairs the difference, if that is asked for and possible, and tells of it. It tells of nothing that has moved
// before the repair.
func (a *auditor) settle(d Difference, repair func() error) error {
	if a.Repair && repair != nil {
		if err := repair(); err != nil {
			return err
		}
		d.Repaired = true
	}
	a.found(d)
	return nil
}

// shown is a stream's name as it may be shown: what is none may hold anything.
func shown(stream string) string {
	if _, err := eventsourcing.ParseStreamID(stream); err != nil {
		return "what is no stream"
	}
	return stream
}

// constraint is what a claim's key names, without the value.
func constraint(key string) string {
	category, rest, _ := strings.Cut(key, "#")
	name, _, ok := strings.Cut(rest, ":")
	if !ok {
		return "a value of no constraint"
	}
	return eventsourcing.Claim{Category: category, Name: name}.Constraint()
}
