package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
)

// Demand is what a client asks for beside the deed; the zero Demand is nothing.
type Demand struct {
	// Holds tells at which versions of the aggregate the client wants the command decided; at any other one it is an
	// eventsourcing.ErrPrecondition. Defaults to all.
	Holds func(eventsourcing.Version) bool
	// Key names the command, among all of its sender's, so that it is carried out once. Within keptFor, a repetition
	// with the same Fingerprint is a *RepeatedError and one with another a problems.ErrKeyReused.
	//
	// Only what was accepted is remembered, in the write's own transaction where there is one. A refusal left nothing
	// behind, so that a repetition harms nobody and is decided by the state as it is then.
	Key, Fingerprint string
	// Outcome is what to remember of the command on that aggregate, when it has come to that version. It goes with Key.
	Outcome func(id string, after eventsourcing.Version) []byte
}

// keptFor is how long a written command's outcome is remembered.
const keptFor = 24 * time.Hour

// RepeatedError says that the command was carried out before, and what came of it then.
type RepeatedError struct{ Outcome []byte }

func (*RepeatedError) Error() string { return "command repeated" }

// result is what to remember of a command that has a key, but for its outcome.
func (d Demand) result(actor string, at time.Time) *eventsourcing.CommandResult {
	if d.Key == "" {
		return nil
	}
	return &eventsourcing.CommandResult{
		ID:          actor + " " + d.Key, // a key has no spaces
		Fingerprint: d.Fingerprint, ExpiresAt: at.Add(keptFor),
	}
}

// demanding adds a demand to every attempt.
func demanding[S, E any](
	prepare eventsourcing.Prepare[S, E], id string, d Demand, result *eventsourcing.CommandResult,
) eventsourcing.Prepare[S, E] {
	return func(ctx context.Context) (eventsourcing.Attempt[S, E], error) {
		attempt, err := prepare(ctx)
		attempt.Holds, attempt.Result = d.Holds, result
		attempt.Outcome = func(after eventsourcing.Version) []byte { return d.Outcome(id, after) }
		return attempt, err
	}
}

// firstAnswer tells how a repeated command is to be answered.
func (h *Handler) firstAnswer(ctx context.Context, repeated *eventsourcing.CommandResult) error {
	first, err := h.store.Result(ctx, repeated.ID)
	switch {
	case errors.Is(err, eventsourcing.ErrNoResult): // forgotten a moment ago; another try is a new command
		return fmt.Errorf("the command's result is gone: %w", eventsourcing.ErrConflict)
	case err != nil:
		return fmt.Errorf("get the command's result: %w", err)
	case first.Fingerprint != repeated.Fingerprint:
		return problems.ErrKeyReused
	default:
		return &RepeatedError{Outcome: first.Outcome}
	}
}
