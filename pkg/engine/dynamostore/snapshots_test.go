package dynamostore_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/eventstoretest"
)

func TestSnapshotsConform(t *testing.T) {
	t.Parallel()
	eventstoretest.RunSnapshots(t, func(t testing.TB) eventsourcing.Snapshots {
		_, client := newServer(t)
		return dynamostore.NewSnapshots(client, dynamostore.Tables{})
	})
}

func snapshot(v eventsourcing.Version) eventsourcing.Snapshot {
	return eventsourcing.Snapshot{Stream: stream, Version: v, EventID: "e", Shape: "s", State: []byte(`{"n":1}`)}
}

func TestASnapshotCostsOneCall(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	snapshots := dynamostore.NewSnapshots(client, dynamostore.Tables{})
	before := client.Server.Calls()
	require.NoError(t, snapshots.Save(t.Context(), snapshot(7)))
	require.NoError(t, snapshots.Save(t.Context(), snapshot(6)), "too old, and no fault")
	_, err := snapshots.Load(t.Context(), stream)
	require.NoError(t, err)
	require.NoError(t, snapshots.Forget(t.Context(), snapshot(7)))
	for op, want := range map[string]int64{"DynamoDB.PutItem": 2, "DynamoDB.GetItem": 1, "DynamoDB.DeleteItem": 1} {
		assert.Equal(t, want, client.Server.Calls()[op]-before[op], op)
	}
	assert.Empty(t, client.stale)
}

func TestALostAnswerToASaveIsRetried(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	snapshots := dynamostore.NewSnapshots(client, dynamostore.Tables{})
	client.plan("PutItem", lost)
	require.NoError(t, snapshots.Save(t.Context(), snapshot(7)))
	client.plan("DeleteItem", lost)
	require.NoError(t, snapshots.Forget(t.Context(), snapshot(7)))
	_, err := snapshots.Load(t.Context(), stream)
	require.ErrorIs(t, err, eventsourcing.ErrNoSnapshot)
}

func TestSnapshotsReportAnUnavailableService(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	snapshots := dynamostore.NewSnapshots(client, dynamostore.Tables{})
	away := times(3, answers(http.StatusServiceUnavailable, "ServiceUnavailable"))
	client.plan("PutItem", away...)
	client.plan("GetItem", away...)
	client.plan("DeleteItem", away...)
	_, err := snapshots.Load(t.Context(), stream)
	require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
	require.ErrorContains(t, err, "get snapshot of test/1")
	require.ErrorIs(t, snapshots.Save(t.Context(), snapshot(7)), eventsourcing.ErrUnavailable)
	require.ErrorIs(t, snapshots.Forget(t.Context(), snapshot(7)), eventsourcing.ErrUnavailable)
}

func TestAMissingTableIsAnError(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	snapshots := dynamostore.NewSnapshots(client, dynamostore.Tables{Snapshots: "nowhere"})
	_, err := snapshots.Load(t.Context(), stream)
	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, err, &notFound)
	require.NotErrorIs(t, err, eventsourcing.ErrNoSnapshot)
	require.ErrorAs(t, snapshots.Save(t.Context(), snapshot(7)), &notFound)
	require.ErrorAs(t, snapshots.Forget(t.Context(), snapshot(7)), &notFound)
}

func TestASnapshotTooLargeIsNotSent(t *testing.T) {
	t.Parallel()
	server, client := newServer(t)
	snapshots := dynamostore.NewSnapshots(client, dynamostore.Tables{})
	others := len("stream"+"test/1"+"version"+"event_id"+"e"+"shape"+"s"+"state") + 2
	s := snapshot(7)
	s.State = data(400<<10 - others)
	require.NoError(t, snapshots.Save(t.Context(), s))
	before := server.Calls()
	s.Version, s.State = 8, data(400<<10-others+1)
	err := snapshots.Save(t.Context(), s)
	require.ErrorIs(t, err, eventsourcing.ErrTooLarge)
	require.ErrorContains(t, err, "snapshot of test/1 has 409601 bytes")
	assert.Equal(t, before, server.Calls())
}

func TestInvalidSnapshotsAreErrors(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(map[string]types.AttributeValue){
		"attribute version": func(it map[string]types.AttributeValue) { it["version"] = &types.AttributeValueMemberN{Value: "-1"} },
		"event_id":          func(it map[string]types.AttributeValue) { delete(it, "event_id") },
		"shape":             func(it map[string]types.AttributeValue) { it["shape"] = &types.AttributeValueMemberBOOL{Value: true} },
		"state":             func(it map[string]types.AttributeValue) { it["state"] = &types.AttributeValueMemberS{Value: `{"n":`} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, client := newServer(t)
			snapshots := dynamostore.NewSnapshots(client, dynamostore.Tables{})
			require.NoError(t, snapshots.Save(t.Context(), snapshot(7)))
			key := map[string]types.AttributeValue{"stream": &types.AttributeValueMemberS{Value: "test/1"}}
			out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("snapshots"), Key: key})
			require.NoError(t, err)
			spoil(out.Item)
			_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("snapshots"), Item: out.Item})
			require.NoError(t, err)
			_, err = snapshots.Load(t.Context(), stream)
			require.ErrorContains(t, err, "snapshot of test/1: ")
			require.ErrorContains(t, err, strings.TrimPrefix(name, "attribute "))
		})
	}
}

// A first page is one call, whatever follows it.
func TestFirstPageLimitsTheFirstPageOnly(t *testing.T) {
	t.Parallel()
	server, client := newServer(t)
	require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), commit(stream, 0, 50)))
	store := dynamostore.NewStore(client, dynamostore.Config{FirstPage: 10})
	queries := func(operation func()) int64 {
		before := server.Calls()["DynamoDB.Query"]
		operation()
		return server.Calls()["DynamoDB.Query"] - before
	}
	for broken, want := range map[int]int64{1: 1, 10: 1, 11: 2, 50: 2} {
		assert.Equal(t, want, queries(func() {
			n := 0
			for _, err := range store.Read(t.Context(), stream, 0) {
				require.NoError(t, err)
				if n++; n == broken {
					break
				}
			}
			assert.Equal(t, broken, n)
		}), "broken off at %d", broken)
	}
	for after, want := range map[eventsourcing.Version]int64{0: 2, 39: 2, 41: 1, 50: 1} {
		assert.Equal(t, want, queries(func() {
			n := eventsourcing.Version(0)
			for r, err := range store.Read(t.Context(), stream, after) {
				require.NoError(t, err)
				n++
				require.Equal(t, after+n, r.Version)
			}
			assert.Equal(t, 50-after, n)
		}), "after %d", after)
	}
}

// An empty page may have others behind it.
func TestAReadContinuesAfterAnEmptyPage(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	require.NoError(t, store.Append(t.Context(), commit(stream, 0, 3)))
	client.plan("Query", emptyPage)
	assert.Len(t, ids(t, store, stream), 3)
	assert.Equal(t, 2, client.calls["Query"])
}

// emptyPage answers a query with no item and the key to continue after.
func emptyPage(context.Context, call) (*http.Response, error) {
	// the key is before the first item
	body := `{"Items":[],"Count":0,"ScannedCount":0,"LastEvaluatedKey":{"stream":{"S":"test/1"},"version":{"N":"0.5"}}}`
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}
