package dynamostore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// What a reader of the table's stream gets is what a reader of the store gets.
func TestStreamImagesAreDecoded(t *testing.T) {
	t.Parallel()
	server, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	c := whole()
	c.Records[0].Metadata = eventsourcing.Metadata{CorrelationID: "a", CausationID: "b", Actor: "Zoë", Traceparent: "00-1"}
	c.Records[1].Enrichment = []eventsourcing.Enrichment{{Aggregate: "org/iam/role", ID: "r", Data: json.RawMessage(`{ "n":1.0}`)}}
	require.NoError(t, store.Append(t.Context(), c))

	table, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("EventLog")})
	require.NoError(t, err)
	reader := dynamodbstreams.NewFromConfig(server.Config())
	shards, err := reader.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: table.Table.LatestStreamArn})
	require.NoError(t, err)
	var got []eventsourcing.Record
	for _, shard := range shards.StreamDescription.Shards {
		at, err := reader.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
			StreamArn: table.Table.LatestStreamArn, ShardId: shard.ShardId,
			ShardIteratorType: streams.ShardIteratorTypeTrimHorizon,
		})
		require.NoError(t, err)
		out, err := reader.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: at.ShardIterator})
		require.NoError(t, err)
		for _, r := range out.Records {
			record, err := dynamostore.FromStreamImage(r.Dynamodb.NewImage)
			require.NoError(t, err)
			got = append(got, record)
		}
	}
	assert.ElementsMatch(t, c.Records, got)
}

func TestInvalidImagesAreErrors(t *testing.T) {
	t.Parallel()
	_, err := dynamostore.FromStreamImage(nil)
	require.ErrorContains(t, err, "event ? version ?: attribute")
	_, err = dynamostore.FromStreamImage(map[string]streams.AttributeValue{
		"stream": &streams.AttributeValueMemberS{Value: "org/iam/user/1"}, "version": &streams.AttributeValueMemberN{Value: "7"},
		"id": &streams.AttributeValueMemberBOOL{Value: true},
	})
	require.ErrorContains(t, err, `event org/iam/user/1 version 7: attribute "id": is BOOL, not S`)
}

// The item's shape is a storage contract: it must stay readable, and does not change by accident.
func TestItem(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	c := commit(stream, 0, 1)
	c.Records[0].Metadata = eventsourcing.Metadata{CorrelationID: "a", CausationID: "b", Actor: "c", Traceparent: "d"}
	c.Records[0].Enrichment = []eventsourcing.Enrichment{{Aggregate: "org/iam/role", ID: "r", Data: json.RawMessage(`{ }`)}}
	c.Take = []eventsourcing.Claim{{Category: "org/iam/user", Name: "email", Value: "dan@example.com"}}
	c.Result = &eventsourcing.CommandResult{ID: "k", Fingerprint: "f", Outcome: []byte("o"), ExpiresAt: time.Unix(1_999_999_999, 0)}
	require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), c))
	s := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	n := func(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }
	m := func(v map[string]types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberM{Value: v}
	}
	for table, want := range map[string]map[string]types.AttributeValue{
		"EventLog": {
			"stream": s("test/1"), "version": n("1"), "id": s("test/1@1"), "name": s("test/happened"), "schema": n("1"),
			"data": s(`{}`), "recorded_at": s("2026-03-01T12:00:00.000Z"),
			"metadata": m(map[string]types.AttributeValue{
				"correlation": s("a"), "causation": s("b"), "actor": s("c"), "traceparent": s("d"),
			}),
			"enrichment": &types.AttributeValueMemberL{Value: []types.AttributeValue{
				m(map[string]types.AttributeValue{"aggregate": s("org/iam/role"), "id": s("r"), "data": s(`{ }`)}),
			}},
		},
		"set-validations": {"constraint": s("org/iam/user#email:dan@example.com"), "stream": s("test/1")},
		"commands": {
			"id": s("k"), "fingerprint": s("f"), "outcome": &types.AttributeValueMemberB{Value: []byte("o")},
			"expires_at": n("1999999999"),
		},
	} {
		out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(table)})
		require.NoError(t, err)
		require.Len(t, out.Items, 1)
		assert.Equal(t, want, out.Items[0], table)
	}
}

func TestEveryRecordIsReadAsWritten(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	text, name := rapid.String(), rapid.StringN(1, 20, -1)
	jsonText := rapid.Custom(func(t *rapid.T) json.RawMessage {
		b, err := json.Marshal(map[string]any{text.Draw(t, "key"): []any{text.Draw(t, "text"), rapid.Float64().Draw(t, "number")}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	enrichment := rapid.Custom(func(t *rapid.T) eventsourcing.Enrichment {
		return eventsourcing.Enrichment{Aggregate: name.Draw(t, "aggregate"), ID: name.Draw(t, "id"), Data: jsonText.Draw(t, "data")}
	})
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		c := commit(eventsourcing.StreamID{Category: "rapid", ID: fmt.Sprint(n)}, 0, 1)
		r := &c.Records[0]
		r.ID, r.Name = name.Draw(rt, "id"), name.Draw(rt, "name")
		r.Schema = rapid.IntRange(1, 1<<31-1).Draw(rt, "schema")
		r.Data = jsonText.Draw(rt, "data")
		r.Enrichment = rapid.SliceOfN(enrichment, 0, 3).Draw(rt, "enrichment")
		if len(r.Enrichment) == 0 {
			r.Enrichment = nil
		}
		r.Metadata = eventsourcing.Metadata{
			CorrelationID: text.Draw(rt, "correlation"), CausationID: text.Draw(rt, "causation"),
			Actor: text.Draw(rt, "actor"), Traceparent: text.Draw(rt, "traceparent"),
			Extra: rapid.SampledFrom([]map[string]string{nil, {"tenant": "t1", "source": ""}, {"ä": "<&>"}}).Draw(rt, "extra"),
		}
		r.RecordedAt = time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(rt, "at")).UTC()
		if err := store.Append(t.Context(), c); err != nil {
			rt.Fatal(err)
		}
		for got, err := range store.Read(t.Context(), c.Stream, 0) {
			if err != nil {
				rt.Fatal(err)
			}
			assert.Equal(rt, *r, got)
		}
	})
}

func TestAllYieldsEveryRecord(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	want := []string{}
	for s := range 20 { // of 60 KB: two pages of 1 MB
		c := commit(eventsourcing.StreamID{Category: "test", ID: fmt.Sprint(s)}, 0, 2)
		for i := range c.Records {
			c.Records[i].Data = data(30_000)
			want = append(want, c.Records[i].ID)
		}
		require.NoError(t, store.Append(t.Context(), c))
	}
	slices.Sort(want)
	for _, segments := range []int{-1, 1, 4} {
		got := map[string]eventsourcing.Record{}
		for r, err := range store.All(t.Context(), segments) {
			require.NoError(t, err)
			require.NotContains(t, got, r.ID)
			got[r.ID] = r
		}
		assert.Equal(t, want, slices.Sorted(maps.Keys(got)), "%d segments", segments)
	}
	client.plan("Scan", nil, hangs)
	for _, err := range store.All(t.Context(), 1) {
		require.NoError(t, err)
		break // ends the scan of the second page, too
	}
	client.plan("Scan")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, last = range store.All(ctx, 3) {
		cancel()
	}
	require.ErrorIs(t, last, context.Canceled)

	client.plan("Scan", nil, answers(http.StatusServiceUnavailable, "ServiceUnavailable"))
	for _, last = range store.All(t.Context(), 2) {
	}
	require.NoError(t, last, "one fault is the SDK's to retry")
	client.plan("Scan", append([]fault{nil}, times(20, lost)...)...)
	errs := 0
	for _, err := range store.All(t.Context(), 2) {
		if err != nil {
			errs++
			require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
		}
	}
	assert.Equal(t, 1, errs)
}

func TestTables(t *testing.T) {
	t.Parallel()
	tables := dynamostore.Tables{Commands: "mine"}
	var names []string
	for _, in := range tables.CreateTableInputs() {
		names = append(names, *in.TableName)
		assert.Equal(t, types.BillingModePayPerRequest, in.BillingMode)
	}
	assert.Equal(t, []string{"EventLog", "set-validations", "scopes", "mine", "snapshots"}, names)
	assert.Equal(t, types.StreamViewTypeNewImage, tables.CreateTableInputs()[0].StreamSpecification.StreamViewType)
	assert.Equal(t, "mine", *tables.TimeToLiveInput().TableName)
	assert.Equal(t, "expires_at", *tables.TimeToLiveInput().TimeToLiveSpecification.AttributeName)
}
