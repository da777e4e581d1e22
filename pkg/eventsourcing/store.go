package eventsourcing

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Store is the port to an event store. Every implementation must pass eventstoretest.Run.
type Store interface {
	// Read yields the stream's records after version `after`, oldest first, without gaps. It sees every append that ended
	// before the call. An absent stream yields nothing. The first error ends the sequence: an ErrLogHole where a record is
	// missing or unreadable.
	Read(ctx context.Context, s StreamID, after Version) iter.Seq2[Record, error]

	// Append writes the whole commit or nothing. A commit that is already written, known by its records' IDs, is a
	// success and adds nothing. Refusals, in the order in which they are checked: ErrTooLarge before anything is sent,
	// ErrCommandRepeated, ErrConflict, ErrGuardMoved, ErrScopeMoved, ErrClaimTaken (as *ClaimTakenError). After any other error the commit
	// may or may not be written; ErrUnavailable marks those worth another try later. Errors do not name the stream: the
	// caller does.
	//
	// A commit has at least one record; its records are valid, are of its stream and follow Expected without a gap; it
	// guards other streams, each once, and names each claim once, to take or to release; it names each scope once, to check it,
	// to move it or both; its result has a command's ID.
	// For any other commit Append returns the error of Commit.Validate and writes nothing. Taking a claim that the stream
	// holds already and releasing one that it does not hold change nothing. Times are kept to the millisecond, ExpiresAt
	// to the second.
	Append(ctx context.Context, c Commit) error

	// Scopes returns those of the scopes that a commit has moved. It sees every append that ended before the call. The scopes
	// may be of different moments.
	Scopes(ctx context.Context, scopes []Scope) (ScopeStates, error)

	// Remember writes the result of a command that had nothing to append. ErrCommandRepeated if the command has one
	// already, possibly this same one, from an earlier call whose answer was lost.
	Remember(ctx context.Context, r CommandResult) error
	// Result returns the command's remembered result, or ErrNoResult. A result is forgotten at its ExpiresAt; then the
	// command may be written again.
	Result(ctx context.Context, commandID string) (CommandResult, error)
}

// Errors of a Store.
var (
	// ErrConflict: the stream is not at the expected version. Read and decide again.
	ErrConflict = errors.New("stream version conflict")
	// ErrGuardMoved: a guarded stream moved. Look up and decide again.
	ErrGuardMoved = errors.New("guarded stream moved")
	// ErrScopeMoved: a scope that the commit was decided on moved. Read it and decide again.
	ErrScopeMoved = errors.New("scope moved")
	// ErrClaimTaken: another stream holds a claimed value.
	ErrClaimTaken = errors.New("claim taken")
	// ErrCommandRepeated: the command has a result already; see Store.Result.
	ErrCommandRepeated = errors.New("command repeated")
	// ErrNoResult: no result of the command is remembered.
	ErrNoResult = errors.New("no result of that command")
	// ErrResultUnreadable: the command has a result, which something else damaged. It was carried out: it must not be again.
	ErrResultUnreadable = errors.New("result of a command cannot be read")
	// ErrTooLarge: a limit of the store forbids the commit; nothing was sent.
	ErrTooLarge = errors.New("commit too large")
	// ErrLogHole: the log lacks an event that it must have, or has something else in its place. Leftfold never removes an
	// event: something else changed the log, and only a backup has what is missing.
	ErrLogHole = errors.New("log lacks an event")
	// ErrUnavailable: the store cannot be reached or is overloaded.
	ErrUnavailable = errors.New("store unavailable")
)

// ClaimTakenError says which claim; it is an ErrClaimTaken. Its text leaves the value out.
type ClaimTakenError struct{ Claim Claim }

func (e *ClaimTakenError) Error() string {
	return fmt.Sprintf("%v: %s", ErrClaimTaken, e.Claim.Constraint())
}

// Unwrap returns the Refusal that answers it.
func (e *ClaimTakenError) Unwrap() error { return ClaimTaken(e.Claim.Name, "") }

// Is makes errors.Is(err, ErrClaimTaken) true.
func (e *ClaimTakenError) Is(target error) bool { return target == ErrClaimTaken }
