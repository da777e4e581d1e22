package dynamostore_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Every stream comes with its head and, if the log has each of its events, with these, however the scan is cut into pages and segments.
func TestStreamsComeWithTheirEvents(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	want := map[string]int{} // events by stream; 0: it is to be read alone
	heads := map[string]eventsourcing.Version{}
	add := func(id string, events, kept int) {
		stream := eventsourcing.StreamID{Category: "test", ID: id}
		for at := 0; at < events; at += 90 {
			require.NoError(t, store.Append(t.Context(), commit(stream, eventsourcing.Version(at), min(90, events-at))))
		}
		want[stream.String()], heads[stream.String()] = kept, eventsourcing.Version(events)
	}
	for n := range 20 {
		add(fmt.Sprint(n), 1+n, 1+n)
	}
	add("longest-kept", 1000, 1000)
	add("too-long", 1001, 0)
	for id, event := range map[string]string{"first-lost": "1", "one-lost": "2"} {
		add(id, 3, 0)
		_, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("EventLog"), Key: keyOfEvent("test/"+id, event)})
		require.NoError(t, err)
	}
	for id, event := range map[string]string{"one-unreadable": "2", "last-unreadable": "3"} {
		add(id, 3, 0)
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("EventLog"), Item: keyOfEvent("test/"+id, event)})
		require.NoError(t, err)
	}
	for id, head := range heads {
		stream, err := eventsourcing.ParseStreamID(id)
		require.NoError(t, err)
		last, err := store.Last(t.Context(), stream)
		require.NoError(t, err)
		assert.Equal(t, head, last, id)
	}
	last, err := store.Last(t.Context(), eventsourcing.StreamID{Category: "test", ID: "none"})
	require.NoError(t, err)
	assert.Zero(t, last)
	for _, segments := range []int{-1, 1, 3} {
		for _, limit := range []int32{0, 1, 2, 70} {
			got := map[string]int{}
			for page, err := range store.Streams(t.Context(), segments, limit) {
				require.NoError(t, err)
				for _, l := range page {
					require.NotContains(t, got, l.Stream)
					got[l.Stream] = len(l.Records)
					assert.Equal(t, heads[l.Stream], l.Version, l.Stream)
					for i, r := range l.Records {
						assert.Equal(t, l.Stream, r.Stream.String())
						assert.Equal(t, eventsourcing.Version(i+1), r.Version)
					}
				}
			}
			assert.Equal(t, want, got, "%d segments, pages of %d", segments, limit)
		}
	}
	client.plan("Scan", times(20, lost)...)
	for _, err := range store.Streams(t.Context(), 1, 0) {
		require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
	}
}

func keyOfEvent(stream, version string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"stream": &types.AttributeValueMemberS{Value: stream}, "version": &types.AttributeValueMemberN{Value: version},
	}
}
