package dynamostore_test

import (
	"errors"
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

var errTaken = errors.New("taken")

// firstPut is the write of an item that must not be there.
func firstPut(id string) dynamostore.Extra {
	return dynamostore.Extra{Refused: errTaken, Write: types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String("commands"), Item: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
		ConditionExpression: aws.String("attribute_not_exists(id)"),
	}}}
}

func stored(t *testing.T, client dynamostore.DynamoDBAPI, id string) bool {
	t.Helper()
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("commands"), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
	})
	require.NoError(t, err)
	return out.Item != nil
}

func TestOtherWritesAreMadeWithTheEventsOrNotAtAll(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	require.NoError(t, store.AppendWith(t.Context(), commit(stream, 0, 1), firstPut("a")))
	assert.True(t, stored(t, client, "a"))

	require.ErrorIs(t, store.AppendWith(t.Context(), commit(stream, 1, 1), firstPut("b"), firstPut("a")), errTaken)
	assert.Len(t, ids(t, store, stream), 1, "no event without the other writes")
	assert.False(t, stored(t, client, "b"))

	stale := commit(stream, 0, 1)
	stale.Records[0].ID = "another one's"
	require.ErrorIs(t, store.AppendWith(t.Context(), stale, firstPut("c")), eventsourcing.ErrConflict)
	require.ErrorIs(t, store.AppendWith(t.Context(), stale, firstPut("a")), eventsourcing.ErrConflict, "the stream is looked at first")
	assert.False(t, stored(t, client, "c"), "no other write without the events")

	gone := dynamostore.Extra{Write: types.TransactWriteItem{Delete: &types.Delete{
		TableName: aws.String("commands"), Key: firstPut("a").Write.Put.Item,
	}}}
	require.NoError(t, store.AppendWith(t.Context(), commit(stream, 1, 1), gone))
	assert.False(t, stored(t, client, "a"))
}

// The answer is lost after the commit is written: the attempt that follows finds its own writes.
func TestACommitWithOtherWritesIsRecognisedAsWritten(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	require.NoError(t, store.AppendWith(t.Context(), commit(stream, 0, 2), firstPut("a")))
	require.NoError(t, store.AppendWith(t.Context(), commit(stream, 0, 2), firstPut("a")), "the same commit again")
	assert.Len(t, ids(t, store, stream), 2)
}

func TestOtherWritesCountTowardsTheLimits(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	extras := make([]dynamostore.Extra, 41)
	for i := range extras {
		extras[i] = firstPut(fmt.Sprint(i))
	}
	require.ErrorIs(t, store.AppendWith(t.Context(), commit(stream, 0, 60), extras...), eventsourcing.ErrTooLarge)
	require.NoError(t, store.AppendWith(t.Context(), commit(stream, 0, 60), extras[1:]...))
	large := firstPut("large")
	large.Write.Put.Item["text"] = &types.AttributeValueMemberB{Value: make([]byte, 400<<10)}
	require.ErrorContains(t, store.AppendWith(t.Context(), commit(stream, 60, 1), large), "other item has")
}
