package eventsourcing

import (
	"context"
	"errors"
)

// Command decides on a state: it returns the events to record, or an error and nothing is recorded. No events and no
// error mean that the state already is as the command wants it. Decide must be pure.
type Command[S, E any] interface {
	Decide(state S) ([]E, error)
}

// Opening marks a Command that begins a stream: Decide refuses a stream that exists. Where a Repository knows nothing of the stream, it
// takes it for absent and appends without reading it. If the stream exists, the append is refused, and the command is decided on what
// is read. An event lost from the beginning of a stream that exists goes unnoticed by that.
type Opening interface{ Opens() }

// Prepared is a command with what was looked up for it in other streams.
type Prepared[S, E any] struct {
	Command Command[S, E]
	// Enrichment is kept with every event decided.
	Enrichment []Enrichment
	// Guards make sure that what was looked up still holds when the events are written.
	Guards []Guard
}

// Prepare looks up what a command needs of other streams. It is called anew before every attempt, and
// once more when a Scoped command with guards is refused.
type Prepare[S, E any] func(ctx context.Context) (Prepared[S, E], error)

// ErrVersionMismatch means that the stream is at a version at which the caller does not want the command decided.
var ErrVersionMismatch = errors.New("stream is not at the expected version")

// Option adds to one call of Repository.Do or DoWith.
type Option func(*options)

type options struct {
	metadata Metadata
	allow    func(Version) bool
	result   *CommandResult
	outcome  func(after Version) []byte
}

// WithMetadata records md with every event.
func WithMetadata(md Metadata) Option { return func(o *options) { o.metadata = md } }

// WithVersions lets the command be decided only at versions of the stream that allow accepts; at any other one the
// answer is ErrVersionMismatch.
func WithVersions(allow func(Version) bool) Option { return func(o *options) { o.allow = allow } }

// WithResult remembers result together with the events, or alone where there are none to record. If outcome is
// not nil, it makes the result's Outcome from the stream's version afterwards. Refusals are not remembered.
func WithResult(result CommandResult, outcome func(after Version) []byte) Option {
	return func(o *options) { o.result, o.outcome = &result, outcome }
}

// resultAt returns what to remember of the command once the stream is at that version, or nil.
func (o options) resultAt(after Version) *CommandResult {
	if o.result == nil {
		return nil
	}
	result := *o.result
	if o.outcome != nil {
		result.Outcome = o.outcome(after)
	}
	return &result
}
