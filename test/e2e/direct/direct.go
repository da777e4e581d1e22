// Package direct writes events of users into the log, past the API: backlogs, logs of any size, and load of which only what follows is
// measured.
package direct

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Log takes commits.
type Log interface {
	Append(ctx context.Context, c eventsourcing.Commit) error
}

// Writer writes users' events. Concurrent use is safe only for different users.
type Writer struct {
	log   Log
	codec *eventsourcing.Codec[user.Event]
}

// NewWriter returns a Writer into the log.
func NewWriter(log Log) Writer { return Writer{log, user.NewCodec()} }

// Append writes n events of a user after version, in one commit; event 1 registers the user, and others give other names.
func (w Writer) Append(ctx context.Context, id string, version eventsourcing.Version, n int) error {
	commit := eventsourcing.Commit{Stream: Stream(id), Expected: version}
	for range n {
		version++
		var e user.Event = user.Updated{FirstName: "Ann", LastName: user.Name(letters())}
		if version == 1 {
			e = user.Registered{UserID: user.ID(id), Email: user.Email(id + "@example.com")}
		}
		data, schema, err := w.codec.Encode(e)
		if err != nil {
			return err
		}
		commit.Records = append(commit.Records, record(commit.Stream, version, e.EventName(), schema, data))
	}
	return w.log.Append(ctx, commit)
}

// AppendUnknown writes an event that no projection knows.
func (w Writer) AppendUnknown(ctx context.Context, id string, version eventsourcing.Version) error {
	return w.log.Append(ctx, eventsourcing.Commit{Stream: Stream(id), Expected: version, Records: []eventsourcing.Record{
		record(Stream(id), version+1, "org/iam/user/teleported", 1, []byte(`{"to":"Mars"}`)),
	}})
}

// Stream is a user's stream.
func Stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: user.Category, ID: id}
}

func record(stream eventsourcing.StreamID, version eventsourcing.Version, name string, schema int, data []byte) eventsourcing.Record {
	return eventsourcing.Record{
		ID: newID(), Stream: stream, Version: version, Name: name, Schema: schema, Data: data,
		Metadata:   eventsourcing.Metadata{CorrelationID: newID(), CausationID: newID(), Actor: "anonymous"},
		RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// letters returns a name of 32 letters that is hardly ever given twice.
func letters() string {
	id := uuid.Must(uuid.NewV7())
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'g' + r - '0'
		}
		return r
	}, hex.EncodeToString(id[:]))
}
