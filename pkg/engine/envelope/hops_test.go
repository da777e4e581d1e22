package envelope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// hops are the tables, the stream and the queue that an event passes.
type hops struct {
	store *dynamostore.Store
	k     *kinesis.Client
	q     *sqs.Client
	queue *string
}

func newHops(t *testing.T) hops {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	db, k, q := dynamodb.NewFromConfig(server.Config()), kinesis.NewFromConfig(server.Config()), sqs.NewFromConfig(server.Config())
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}
	_, err := k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	queue, err := q.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("q.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	require.NoError(t, err)
	return hops{dynamostore.NewStore(db, dynamostore.Config{}), k, q, queue.QueueUrl}
}

// pass appends r as the first event of its stream and, if the log accepts it, sends it through every hop.
func (h hops) pass(t require.TestingT, r eventsourcing.Record) (accepted bool) {
	ctx := context.Background()
	if h.store.Append(ctx, eventsourcing.Commit{Stream: r.Stream, Records: []eventsourcing.Record{r}}) != nil {
		return false
	}
	for stored, err := range h.store.Read(ctx, r.Stream, 0) {
		require.NoError(t, err)
		body, err := envelope.Encode(stored)
		require.NoError(t, err)
		_, err = h.k.PutRecord(ctx, &kinesis.PutRecordInput{
			StreamName: aws.String("s"), PartitionKey: aws.String(r.Stream.String()), Data: body,
		})
		require.NoError(t, err)
		for _, version := range []eventsourcing.Version{1, ^eventsourcing.Version(0)} { // the stream goes on
			require.NoError(t, h.send(ctx, r.Stream, version, string(body)))
		}
		_, err = envelope.Decode(body)
		require.NoError(t, err)
	}
	return true
}

// send sends an event as the broker does.
func (h hops) send(ctx context.Context, s eventsourcing.StreamID, v eventsourcing.Version, body string) error {
	_, err := h.q.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: h.queue, MessageBody: &body,
		MessageGroupId: aws.String(s.String()), MessageDeduplicationId: aws.String(fmt.Sprintf("%s#%d", s, v)),
	})
	return err
}

// An event that the log accepts is one that every hop accepts. Whatever stream, text or size an aggregate comes up with, a
// refusal comes at once, and to the one who caused it.
func TestWhatTheLogAcceptsPassesEveryHop(t *testing.T) {
	t.Parallel()
	h, n := newHops(t), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		r := minimal()
		r.Stream = eventsourcing.StreamID{
			Category: "test/" + rapid.SampledFrom([]string{"thing", "a b", "é", "c\n"}).Draw(t, "category"),
			ID: fmt.Sprint(n) + rapid.OneOf(rapid.StringMatching(`[!-~]{0,20}`), rapid.StringN(0, 200, 400),
				rapid.Map(rapid.IntRange(80, 120), func(n int) string { return strings.Repeat("x", n) })).Draw(t, "id"),
		}
		r.ID, r.Name = rapid.StringN(1, -1, 300).Draw(t, "event"), rapid.String().Draw(t, "name")
		r.Metadata.Actor = rapid.String().Draw(t, "actor")
		h.pass(t, r)
	})
}

// The longest stream has 107 characters: with "#" and a version of 20 digits they are the 128 that SQS takes.
func TestTheLongestStreamPassesEveryHopAtEveryVersion(t *testing.T) {
	t.Parallel()
	h := newHops(t)
	streamOf := func(length int) eventsourcing.StreamID {
		s := eventsourcing.StreamID{Category: "test/thing"}
		s.ID = strings.Repeat("x", length-len(s.String()))
		return s
	}
	for length, fits := range map[int]bool{106: true, 107: true, 108: false, 109: false, 128: false} {
		r := minimal()
		r.Stream = streamOf(length)
		require.Len(t, r.Stream.String(), length)
		require.Equal(t, fits, h.pass(t, r), length)
	}
	version := eventsourcing.Version(1)
	for digits := 1; digits <= 20; digits++ {
		require.Len(t, fmt.Sprint(version), digits)
		require.NoError(t, h.send(t.Context(), streamOf(107), version, "{}"), digits)
		version *= 10 // up to 10^19, which has 20 digits
	}
	require.Error(t, h.send(t.Context(), streamOf(108), ^eventsourcing.Version(0), "{}"), "the next one would be set aside some day")
}

// An envelope of 1 MiB passes, and one more byte is refused by the log, before anything is written.
func TestTheLargestEventPassesEveryHop(t *testing.T) {
	t.Parallel()
	h := newHops(t)
	sized := func(id string, note int) eventsourcing.Record {
		r := minimal()
		r.Stream.ID = id
		r.Metadata.Extra = map[string]string{"note": strings.Repeat("\x01", 170_000) + strings.Repeat("x", note)} // \u0001 has six bytes
		return r
	}
	body, err := envelope.Encode(sized("1", 0))
	require.NoError(t, err)
	room := envelope.MaxBytes - len(body) - len(minimal().Stream.String()) + 1 // the ID has one character, not two
	largest := sized("1", room)
	body, err = envelope.Encode(largest)
	require.NoError(t, err)
	require.Equal(t, 1<<20, len(body)+len(largest.Stream.String()), "with its partition key")
	require.True(t, h.pass(t, largest))
	require.False(t, h.pass(t, sized("2", room+1)))
	for r, err := range h.store.Read(t.Context(), sized("2", 0).Stream, 0) {
		t.Fatal("a refused event was written", r, err)
	}
}

// An item's 400 KB are more in an envelope if its text has to be escaped.
func TestAnEventWhoseEnvelopeIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	h := newHops(t)
	for i, c := range []struct {
		bytes int
		fits  bool
	}{{170_000, true}, {180_000, false}} { // \u0001 has six bytes
		r := minimal()
		r.Stream.ID = fmt.Sprint(i)
		r.Metadata.Extra = map[string]string{"note": strings.Repeat("\x01", c.bytes)}
		require.Equal(t, c.fits, h.pass(t, r), c.bytes)
	}
	r := minimal()
	r.Data, r.Stream.ID = json.RawMessage(`"`+strings.Repeat("\ufffe", 190_000/3)+`"`), "escaped" // from three bytes to six
	require.True(t, h.pass(t, r))

	r = minimal()
	r.Metadata.Extra = map[string]string{"note": strings.Repeat("\x01", 180_000)}
	err := h.store.Append(t.Context(), eventsourcing.Commit{Stream: r.Stream, Records: []eventsourcing.Record{r}})
	require.True(t, errors.Is(err, eventsourcing.ErrTooLarge) && errors.Is(err, envelope.ErrTooLarge), err)
}
