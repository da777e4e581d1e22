package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
)

// Options holds a request's precondition and idempotency key. The zero Options has neither.
type Options struct {
	// AllowVersion reports whether the command may be decided at this version of the aggregate; if not, the answer is
	// eventsourcing.ErrVersionMismatch. Defaults to any version.
	AllowVersion func(eventsourcing.Version) bool
	// Key names the command among all of its sender's, so that it is run once. Within keptFor, a repetition with the same
	// Fingerprint is a *RepeatedError and one with another a problems.ErrKeyReused.
	//
	// Only what was accepted is remembered, in the write's own transaction where there is one. A refusal wrote nothing, so
	// its repetition is decided by the state as it is then.
	Key, Fingerprint string
	// Outcome is what to remember of the command on that aggregate, which is at that version afterwards. It is required
	// with a Key.
	Outcome func(id string, after eventsourcing.Version) []byte
}

// keptFor is how long a written command's outcome is remembered.
const keptFor = 24 * time.Hour

// RepeatedError means that the command was run before; Outcome is what was remembered then.
type RepeatedError struct{ Outcome []byte }

func (*RepeatedError) Error() string { return "command repeated" }

// result is what to remember of a command that has a key, without its outcome.
func (o Options) result(actor string, at time.Time) eventsourcing.CommandResult {
	return eventsourcing.CommandResult{
		ID:          actor + " " + o.Key, // a key has no spaces
		Fingerprint: o.Fingerprint, ExpiresAt: at.Add(keptFor),
	}
}

// firstAnswer returns the error that answers a repeated command.
func (h *Handler) firstAnswer(ctx context.Context, repeated eventsourcing.CommandResult) error {
	first, err := h.store.Result(ctx, repeated.ID)
	switch {
	case errors.Is(err, eventsourcing.ErrNoResult): // expired meanwhile; another try is a new command
		return fmt.Errorf("the command's result has expired: %w", eventsourcing.ErrConflict)
	case err != nil:
		return fmt.Errorf("read the command's result: %w", err)
	case first.Fingerprint != repeated.Fingerprint:
		return problems.ErrKeyReused
	default:
		return &RepeatedError{Outcome: first.Outcome}
	}
}
