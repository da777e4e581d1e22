package publish_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/services/streamer/internal/publish"
)

// target keeps the records it is called with.
type target struct{ records []ordered.KinesisRecord }

func (k *target) Publish(_ context.Context, records []ordered.KinesisRecord) error {
	k.records = append(k.records, records...)
	return nil
}

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func TestInsertedItemsArePublishedByStream(t *testing.T) {
	t.Parallel()
	to, registry := &target{}, prometheus.NewRegistry()
	p := publish.NewPublisher(to, hop.Config[publish.Image]{
		Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	image := publish.Image{
		"stream": text("test/thing/x"), "version": number("7"), "id": text("e7"), "name": text("test/thing/happened"),
		"schema": number("1"), "data": text(`{"a":1}`), "recorded_at": text("2026-01-02T03:04:05.000Z"),
	}
	require.NoError(t, p.Handle(t.Context(), "shard-1", []shards.Record[publish.Image]{
		{Value: publish.Image{"stream": text("not an event")}}, {Value: image},
	}))
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
