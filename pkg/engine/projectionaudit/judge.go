package projectionaudit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Kind is the kind of a Finding.
type Kind string

// The kinds.
const (
	// Missing: the log has Stream and the table no own row of it. Repair: rebuild it.
	Missing Kind = "missing"
	// Stale: the own row of Stream is behind the log and stays so. Repair: rebuild it.
	Stale Kind = "stale"
	// Edited: rows of Stream differ from the fold at their version, or are gone. Repair: rebuild it.
	Edited Kind = "edited"
	// Foreign: a row that its owner, Stream, does not derive, or that no stream can own. Repair: delete it. If the log has no
	// event of Stream, the row may be all that is left of it, and is kept unless Config.RepairEmptied.
	Foreign Kind = "foreign"
	// Hole: the log lacks events of Stream that were applied, or one before them. Not repaired: rows are evidence of what was
	// lost.
	Hole Kind = "hole"
	// Illegible: this build cannot read or fold the events of Stream, or does not know its category. Not repaired.
	Illegible Kind = "illegible"
	// Parked: Stream is behind the log because an event of it cannot be applied. Not a difference: Redrive is for it.
	Parked Kind = "parked"
)

// Kinds returns all kinds of differences.
func Kinds() []Kind { return []Kind{Missing, Stale, Edited, Foreign, Hole, Illegible} }

// Finding is a difference between read model and log, or a parked stream. It has no data of rows.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Stream string `json:"stream,omitempty"` // "" for a row that no stream can own
	// Version is that of the own row, Head that of the log.
	Version eventsourcing.Version `json:"version,omitempty"`
	Head    eventsourcing.Version `json:"head,omitempty"`
	// Rows are the names of the rows that are Edited or Foreign. A name that is not made of IDs is not shown.
	Rows     []string `json:"rows,omitempty"`
	Detail   string   `json:"detail,omitempty"` // more about a Foreign, Hole or Illegible
	Repaired bool     `json:"repaired"`
}

// maxShown is how many rows String names.
const maxShown = 3

// String describes the finding in one line.
func (f Finding) String() string {
	text := string(f.Kind) + ": "
	switch f.Kind {
	case Missing:
		text += fmt.Sprintf("%s has no row; the log is at version %d", f.Stream, f.Head)
	case Stale, Parked:
		text += fmt.Sprintf("%s is at version %d; the log is at version %d", f.Stream, f.Version, f.Head)
	case Edited:
		text += fmt.Sprintf("%s differs from the fold at version %d in %s", f.Stream, f.Version, f.rows())
	case Foreign:
		text += fmt.Sprintf("%s: %s", f.rows(), f.Detail)
	case Hole, Illegible:
		text += fmt.Sprintf("%s: %s", f.Stream, f.Detail)
	}
	if f.Repaired {
		text += ": repaired"
	}
	return text
}

func (f Finding) rows() string {
	more := len(f.Rows) - maxShown
	text := "row " + strings.Join(f.Rows[:min(len(f.Rows), maxShown)], ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// check checks a suspicion that is due.
func (a *auditor) check(ctx context.Context, s suspicion) error {
	return a.retry(ctx, s.stream, func() error { return a.judge(ctx, s, false) })
}

// judge confirms or drops a suspicion. Repairs that a foreign row prevents are put off unless this is the last time.
func (a *auditor) judge(ctx context.Context, s suspicion, last bool) error {
	c, err := a.Projector.Compare(ctx, s.stream)
	if err != nil {
		return err
	}
	f := Finding{Stream: s.stream.String(), Version: c.Fence, Head: c.Head}
	switch wrong, behind := len(c.Wrong) > 0, c.Fence < c.Head && !a.Lagging; {
	case wrong && !s.wrong: // seen for the first time
		a.suspect(suspicion{stream: s.stream, fence: c.Fence, wrong: true})
		return nil
	case wrong:
		f.Kind = Edited
		for _, key := range c.Wrong {
			f.Rows = append(f.Rows, shown(key))
		}
	case behind && c.Parked:
		f.Kind = Parked
	case !behind || c.Fence != s.fence:
		return nil
	case c.Fence == 0:
		f.Kind = Missing
	default:
		f.Kind = Stale
	}
	if f.Kind != Parked && a.Repair {
		blocked, err := a.rebuild(ctx, s.stream, &f)
		if err != nil {
			return err
		}
		if blocked && !last {
			a.Count(func(*Result) { a.blocked = append(a.blocked, s) })
			return nil
		}
	}
	return a.found(ctx, f)
}

// rebuild rebuilds the stream, if it can be. It is blocked if a row has another stream as its owner.
func (a *auditor) rebuild(ctx context.Context, stream eventsourcing.StreamID, f *Finding) (blocked bool, err error) {
	_, err = a.Projector.Rebuild(ctx, stream)
	switch {
	case err == nil, errors.Is(err, projection.ErrParked) && f.Kind != Stale: // its rows are right up to that event
		f.Repaired = true
	case errors.Is(err, projection.ErrNotOwner):
		blocked = true
	case errors.Is(err, projection.ErrParked), errors.Is(err, projection.ErrInvalidRow), errors.Is(err, projection.ErrTooManyRows):
	default:
		return false, err
	}
	return blocked, nil
}

// owner checks that the row's owner derives it.
func (a *auditor) owner(ctx context.Context, row projection.Stored) error {
	owner, _ := a.Projector.Owner(row)
	return a.retry(ctx, owner, func() error {
		foreign, err := a.Projector.Foreign(ctx, row)
		if err != nil || foreign == nil {
			return err
		}
		f := Finding{Kind: Foreign, Version: foreign.Fence, Rows: []string{shown(foreign.Key)}}
		switch {
		case foreign.Owner == eventsourcing.StreamID{}:
			f.Detail = "no stream can own it"
		case foreign.Emptied:
			f.Stream = foreign.Owner.String()
			f.Detail = "the log has no event of its owner"
		default:
			f.Stream = foreign.Owner.String()
			f.Detail = fmt.Sprintf("%s does not derive it at version %d", f.Stream, foreign.Fence)
		}
		if a.Repair && (!foreign.Emptied || a.RepairEmptied) {
			if err := a.Projector.DeleteForeign(ctx, *foreign); err != nil {
				return err
			}
			f.Repaired = true
		}
		return a.found(ctx, f)
	})
}

// unreadable says what keeps the log of a stream from being compared, without personal data; "" if it is something else. The
// next attempt may succeed unless it is forGood: a log to which several events are written at once can show a part of them.
func unreadable(err error) (kind Kind, detail string, forGood bool) {
	_, isItem := errors.AsType[*dynamostore.ItemError](err)
	switch {
	case errors.Is(err, projection.ErrNoSource):
		return Illegible, "its category is not known to this program", true
	case errors.Is(err, projection.ErrUnfoldable):
		return Illegible, "an event that was applied cannot be folded by this program", true
	case isItem:
		return Illegible, "an event cannot be read", true
	case errors.Is(err, eventsourcing.ErrLogHole):
		return Hole, "the log lacks events that were applied", false
	default:
		return "", "", false
	}
}

// ids is what names of rows consist of, as far as they are made of IDs.
var ids = regexp.MustCompile(`^[0-9A-Za-z#_:-]{1,150}$`) // read only

// shown names a row for output. What is not made of IDs could be anything, so it is not shown.
func shown(key projection.Key) string {
	if slices.ContainsFunc([]string{key.ID, key.Row}, func(text string) bool { return !ids.MatchString(text) }) {
		return "(not shown)"
	}
	return key.Row + " of " + key.ID
}
