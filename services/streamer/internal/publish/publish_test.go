package publish_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/services/streamer/internal/publish"
)

// target keeps the records it is called with.
type target struct {
	mu      sync.Mutex
	records []ordered.KinesisRecord
}

func (k *target) PutRecords(
	_ context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options),
) (*kinesis.PutRecordsOutput, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := &kinesis.PutRecordsOutput{}
	for _, r := range in.Records {
		k.records = append(k.records, ordered.KinesisRecord{Key: *r.PartitionKey, Data: r.Data})
		out.Records = append(out.Records, kinesistypes.PutRecordsResultEntry{SequenceNumber: aws.String("1")})
	}
	return out, nil
}

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func TestInsertedItemsArePublishedByStream(t *testing.T) {
	t.Parallel()
	to, registry := &target{}, prometheus.NewRegistry()
	var aside []hop.Place
	p := publish.NewPublisher("s", ordered.NewKinesisPublisher(to, "s", retry.Backoff{}).Options(), hop.Config[publish.Image]{
		SetAside: func(_ context.Context, place hop.Place, _ error) error {
			aside = append(aside, place)
			return nil
		},
		Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	image := publish.Image{
		"stream": text("test/thing/x"), "version": number("7"), "id": text("e7"), "name": text("test/thing/happened"),
		"schema": number("1"), "data": text(`{"a":1}`), "recorded_at": text("2026-01-02T03:04:05.000Z"),
	}
	h := p.Open(t.Context(), "shard-1", func(context.Context) error { return nil })
	records := []shards.Record[publish.Image]{{Sequence: "6", Value: publish.Image{"stream": text("not an event")}}, {Value: image}}
	require.NoError(t, h.Handle(t.Context(), records, func(int) {}))
	h.Wait()
	assert.Equal(t, []hop.Place{{Operation: "publish", Shard: "shard-1", Sequence: "6", Stream: "not an event"}}, aside)
	require.Len(t, to.records, 1)
	assert.Equal(t, "test/thing/x", to.records[0].Key)
	got, err := envelope.Decode(to.records[0].Data)
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Record{
		ID: "e7", Stream: eventsourcing.StreamID{Category: "test/thing", ID: "x"}, Version: 7, Name: "test/thing/happened",
		Schema: 1, Data: json.RawMessage(`{"a":1}`), RecordedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}, got)
	n, err := testutil.GatherAndCount(registry, "publish_seconds", "publish_undecodable_total")
	require.NoError(t, err)
	assert.Equal(t, 2, n)
}
