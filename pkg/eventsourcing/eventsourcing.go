// Package eventsourcing is the kernel: events and their codec, the port to an event store, and the Repository, which loads
// an aggregate, lets a command decide and appends the events. It imports only the standard library and package retry.
//
// A claim is a value that at most one stream may hold, such as an e-mail address; it is taken and released in the append
// of the events. A guard makes an append fail if another stream has got new events. A scope counts over many streams, for
// rules that span them; it is moved in the append, too, and an append fails if a scope that it was decided on has moved.
package eventsourcing

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Event is a fact that happened to one aggregate.
//
// EventName is the name written to the store, "category/fact", such as "org/iam/user/registered". It is part of the
// storage contract: choose it once, never derive it from the Go type, never reuse it.
type Event interface{ EventName() string }

// Version counts the events of a stream; an absent stream is at version 0.
type Version uint64

// StreamID names one aggregate's stream. Its text is "category/id", such as "org/iam/user/0192…": 3 to MaxStreamText
// characters, all of them visible ASCII, so that every transport can use it as a key.
type StreamID struct{ Category, ID string }

// MaxStreamText is the most characters of a stream's text. SQS takes 128 in the ID of a group and in the ID by which it
// drops repetitions, which is the stream, "#" and the version, of up to 20 digits. Kinesis takes 256 in a key.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
const MaxStreamText = 128 - len("#18446744073709551615")

func (s StreamID) String() string { return s.Category + "/" + s.ID }

// errNoStream does not quote the text, which could be anything, personal data included.
var errNoStream = errors.New("stream is not category/id")

// ParseStreamID is the inverse of StreamID.String: the ID is what follows the last slash. It also reads texts that are no
// valid stream, such as one with a space, so that what others wrote can be named.
func ParseStreamID(text string) (StreamID, error) {
	category, id, ok := cutLast(text)
	if !ok {
		return StreamID{}, errNoStream
	}
	return StreamID{Category: category, ID: id}, nil
}

// CategoryOf returns the category that an event name begins with, or "" if it has none.
func CategoryOf(eventName string) string {
	category, _, _ := cutLast(eventName)
	return category
}

func cutLast(text string) (before, after string, ok bool) {
	i := strings.LastIndexByte(text, '/')
	if i <= 0 || i == len(text)-1 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}

// Metadata goes with an event from the request to the read models. No decision depends on it.
type Metadata struct {
	// CorrelationID is the same for everything that one request caused.
	CorrelationID string `json:"correlationId,omitempty"`
	// CausationID is what directly caused the event: the command's ID.
	CausationID string `json:"causationId,omitempty"`
	// Actor is the sender of the command.
	Actor string `json:"actor,omitempty"`
	// Traceparent is the W3C trace context of the request.
	Traceparent string `json:"traceparent,omitempty"`
	// Extra holds an importer's own members, such as a tenant ID. They are stored beside the fields above;
	// their keys must differ from those fields' JSON names.
	Extra map[string]string `json:"-"`
}

// IsZero reports whether all fields are empty.
func (m Metadata) IsZero() bool {
	return m.CorrelationID+m.CausationID+m.Actor+m.Traceparent == "" && len(m.Extra) == 0
}

// Enrichment is a fact about another aggregate as it was when the command was decided. It is kept with the event, so that
// readers need not look it up.
type Enrichment struct {
	Aggregate string          `json:"aggregate"` // category, such as "org/iam/role"
	ID        string          `json:"id"`
	Data      json.RawMessage `json:"data"`
}

// Record is one event as the store keeps it: the payload and its envelope.
type Record struct {
	ID         string // of the event; unique, and how a writer recognises its own commit
	Stream     StreamID
	Version    Version
	Name       string
	Schema     int // version of Data's shape, from 1
	Data       json.RawMessage
	Enrichment []Enrichment
	Metadata   Metadata
	RecordedAt time.Time // UTC, milliseconds
}

// Claim is a value that at most one stream may hold: identified by Category, Name and Value.
type Claim struct{ Category, Name, Value string }

// Key is the claim's identity, such as "org/iam/user#email:dan@example.com". It holds personal data: never log it.
func (c Claim) Key() string { return c.Constraint() + ":" + c.Value }

// Constraint names the set without the value, such as "org/iam/user#email".
func (c Claim) Constraint() string { return c.Category + "#" + c.Name }

// Guard refuses an append unless another stream is still at Version.
type Guard struct {
	Stream  StreamID
	Version Version
}

// CommandResult is the remembered outcome of a command. A repetition of the command gets the same answer.
type CommandResult struct {
	ID          string // the client's key, scoped by actor
	Fingerprint string // of the request
	Outcome     []byte
	ExpiresAt   time.Time
}

// Commit is one atomic append: all of it is written or none.
type Commit struct {
	Stream   StreamID
	Expected Version // the stream's version before the append
	Records  []Record
	Take     []Claim
	Release  []Claim
	Guards   []Guard
	Scopes   []ScopeMove
	Result   *CommandResult // nil: nothing to remember
}
