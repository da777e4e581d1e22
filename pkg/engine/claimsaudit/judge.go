package claimsaudit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Kind is the kind of a Difference.
type Kind string

// The kinds.
const (
	// Missing: Stream holds a value that has no owner in the table. Repair: make Stream its owner.
	Missing Kind = "missing"
	// Misplaced: Stream holds a value whose owner in the table is Owner, which does not hold it. Repair: make Stream its owner.
	Misplaced Kind = "misplaced"
	// Orphan: Stream owns a value in the table that it does not hold. Repair: delete the claim.
	Orphan Kind = "orphan"
	// Contested: Stream and Owner both hold the value. Not repaired: one of the two must change its value by a command.
	Contested Kind = "contested"
	// Illegible: Stream cannot be folded, so its claims are not known.
	Illegible Kind = "illegible"
	// Hole: the log lacks events of Stream: some version, or all of them while the table has a claim of Stream's. What is left
	// is evidence of what was lost, so it is not repaired, unless Config.RepairEmptied.
	Hole Kind = "hole"
)

// Difference is a difference between table and log. It omits the value of the claim, which is personal data.
type Difference struct {
	Kind       Kind
	Constraint string // such as "org/iam/user#email"; empty if Illegible or Hole
	Stream     string
	Owner      string // in the table, if not Stream
	Detail     string // why it is Illegible, or what a Hole lacks
	Repaired   bool
}

// String describes the difference in one line.
func (d Difference) String() string {
	text := fmt.Sprintf("%s: %s ", d.Kind, d.Constraint)
	switch d.Kind {
	case Missing:
		text += fmt.Sprintf("is held by %s and has no owner in the table", d.Stream)
	case Misplaced:
		text += fmt.Sprintf("is held by %s; the table gives it to %s, which does not hold it", d.Stream, d.Owner)
	case Orphan:
		text += fmt.Sprintf("is given to %s, which does not hold it", d.Stream)
	case Contested:
		text += fmt.Sprintf("is held by both %s and %s, the table's owner: let one of them give it up by a command, then repair",
			d.Stream, d.Owner)
	case Illegible, Hole:
		text = fmt.Sprintf("%s: %s: %s", d.Kind, d.Stream, d.Detail)
	}
	if d.Repaired {
		text += ": repaired"
	}
	return text
}

// judge compares the claim's row with what the stream holds, both at one instant. It returns an eventsourcing.ErrGuardMoved
// if they changed meanwhile, or before the repair.
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
	case owned == f.holds[key]:
		return nil
	case owned && f.emptied():
		return a.report(Difference{Kind: Hole, Stream: stream, Detail: "the log has no event, the table a claim on " + constraint(key)},
			a.unlessEvidence(f, func() error { return a.Claims.Delete(ctx, *row, f.head...) }))
	case owned:
		return a.report(Difference{Kind: Orphan, Constraint: constraint(key), Stream: shown(stream)},
			func() error { return a.Claims.Delete(ctx, *row, f.head...) })
	case row == nil:
		return a.report(Difference{Kind: Missing, Constraint: constraint(key), Stream: stream},
			func() error { return a.Claims.Assign(ctx, key, nil, f.stream, f.head...) })
	default:
		return a.judgeBoth(ctx, f, *row)
	}
}

// judgeBoth judges a claim that f holds and another stream owns in the table.
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
		return fmt.Errorf("read a claim again: %w", eventsourcing.ErrGuardMoved)
	}
	d := Difference{
		Kind: Misplaced, Constraint: constraint(row.Key), Stream: f.stream.String(), Owner: shown(row.Owner),
	}
	if other.holds[row.Key] {
		d.Kind = Contested
		return a.report(d, nil)
	}
	return a.report(d, a.unlessEvidence(other, func() error { return a.Claims.Assign(ctx, row.Key, again, f.stream, heads...) }))
}

// unlessEvidence returns the repair of a claim that owner has in the table, or nil if the claim may be all that is left of owner.
func (a *auditor) unlessEvidence(owner folded, repair func() error) func() error {
	if owner.emptied() && !a.RepairEmptied {
		return nil
	}
	return repair
}

// report repairs the difference, if configured and possible, and reports it. It reports nothing that changed before the
// repair.
func (a *auditor) report(d Difference, repair func() error) error {
	if a.Repair && repair != nil {
		if err := repair(); err != nil {
			return err
		}
		d.Repaired = true
	}
	a.found(d)
	return nil
}

// shown returns a stream's name for output. What is not a valid name could be anything, so it is not shown.
func shown(stream string) string {
	if _, err := eventsourcing.ParseStreamID(stream); err != nil {
		return "an invalid stream"
	}
	return stream
}

// constraint returns the key of a claim without the value.
func constraint(key string) string {
	category, nameAndValue, _ := strings.Cut(key, "#")
	name, _, ok := strings.Cut(nameAndValue, ":")
	if !ok {
		return "a value without a constraint"
	}
	return eventsourcing.Claim{Category: category, Name: name}.Constraint()
}
