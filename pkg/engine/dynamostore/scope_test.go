package dynamostore_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

var scope = eventsourcing.Scope{Subject: "test/role/1", Name: "members"}

// moving is a commit that counts once more.
func moving(id string) eventsourcing.Commit {
	c := commit(eventsourcing.StreamID{Category: "test", ID: id}, 0, 1)
	c.Scopes = []eventsourcing.ScopeMove{{Scope: scope, Add: map[string]int64{"seats": 1}}}
	return c
}

// What a scope's item is: later builds must read it.
func TestAScopeIsStoredAsOneItem(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), moving("1")))
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String("scopes"), Key: map[string]types.AttributeValue{"scope": &types.AttributeValueMemberS{Value: scope.Key()}},
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]types.AttributeValue{
		"scope":       &types.AttributeValueMemberS{Value: "test/role/1#members"},
		"version":     &types.AttributeValueMemberN{Value: "1"},
		"count.seats": &types.AttributeValueMemberN{Value: "1"},
	}, out.Item)
}

func TestReadingScopesCostsOneCall(t *testing.T) {
	t.Parallel()
	server, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	var many []eventsourcing.Scope
	for i := range 100 {
		many = append(many, eventsourcing.Scope{Subject: "test", Name: fmt.Sprint(i)})
	}
	for n, operation := range map[int]string{1: "GetItem", 2: "BatchGetItem", 100: "BatchGetItem"} {
		before := server.Calls()["DynamoDB."+operation]
		_, err := store.Scopes(t.Context(), many[:n])
		require.NoError(t, err)
		assert.Equal(t, int64(1), server.Calls()["DynamoDB."+operation]-before, n)
	}
	before := server.Calls()
	_, err := store.Scopes(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, before, server.Calls())
}

// partly leaves that many of the first batches' keys for the next call.
type partly struct {
	*dynamodb.Client
	unread, times int
}

func (p *partly) BatchGetItem(
	ctx context.Context, in *dynamodb.BatchGetItemInput, with ...func(*dynamodb.Options),
) (*dynamodb.BatchGetItemOutput, error) {
	if p.times--; p.times < 0 {
		return p.Client.BatchGetItem(ctx, in, with...)
	}
	asked := in.RequestItems["scopes"]
	if p.unread >= len(asked.Keys) {
		return &dynamodb.BatchGetItemOutput{UnprocessedKeys: in.RequestItems}, nil
	}
	kept := asked
	kept.Keys = asked.Keys[p.unread:]
	out, err := p.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{"scopes": kept},
	}, with...)
	if err == nil {
		asked.Keys = asked.Keys[:p.unread]
		out.UnprocessedKeys = map[string]types.KeysAndAttributes{"scopes": asked}
	}
	return out, err
}

func TestUnprocessedScopesAreReadAgain(t *testing.T) {
	t.Parallel()
	_, client := newServer(t)
	var scopes []eventsourcing.Scope
	c := commit(stream, 0, 1)
	for i := range 5 {
		s := eventsourcing.Scope{Subject: "test", Name: fmt.Sprint(i)}
		scopes = append(scopes, s)
		c.Scopes = append(c.Scopes, eventsourcing.ScopeMove{Scope: s, Add: map[string]int64{"n": int64(i + 1)}})
	}
	require.NoError(t, dynamostore.NewStore(client, dynamostore.Config{}).Append(t.Context(), c))
	fast := dynamostore.Config{MaxAttempts: 4, Backoff: retry.Backoff{First: time.Microsecond, Max: time.Microsecond}}
	states, err := dynamostore.NewStore(&partly{client, 2, 3}, fast).Scopes(t.Context(), scopes)
	require.NoError(t, err)
	for i, s := range scopes {
		assert.Equal(t, int64(i+1), states[s].Counters["n"])
	}
	_, err = dynamostore.NewStore(&partly{client, 2, 4}, fast).Scopes(t.Context(), scopes)
	require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
}

func TestALostAnswerMovesAScopeOnce(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"lost": lost, "torn": torn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newFaulty(t)
			client.plan("TransactWriteItems", f, cancelled("TransactionConflict", "None"))
			store := dynamostore.NewStore(client, dynamostore.Config{})
			c := moving("1")
			if err := store.Append(t.Context(), c); err != nil {
				require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
				require.NoError(t, store.Append(t.Context(), c))
			}
			states, err := store.Scopes(t.Context(), []eventsourcing.Scope{scope})
			require.NoError(t, err)
			assert.Equal(t, eventsourcing.ScopeState{Version: 1, Counters: map[string]int64{"seats": 1}}, states[scope])
		})
	}
}

func TestScopesThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	client.plan("GetItem", times(3, answers(http.StatusBadRequest, "ProvisionedThroughputExceededException"))...)
	_, err := dynamostore.NewStore(client, dynamostore.Config{}).Scopes(t.Context(), []eventsourcing.Scope{scope})
	require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
	for _, damaged := range []map[string]types.AttributeValue{
		{"version": &types.AttributeValueMemberS{Value: "1"}},
		{"version": &types.AttributeValueMemberN{Value: "1.5"}},
		{"count.seats": &types.AttributeValueMemberS{Value: "1"}},
		{"count.seats": &types.AttributeValueMemberN{Value: "0.5"}},
	} {
		damaged["scope"] = &types.AttributeValueMemberS{Value: scope.Key()}
		_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("scopes"), Item: damaged})
		require.NoError(t, err)
		_, err = dynamostore.NewStore(client, dynamostore.Config{}).Scopes(t.Context(), []eventsourcing.Scope{scope})
		require.ErrorContains(t, err, "leftfold scopes audit can repair it")
	}
}
