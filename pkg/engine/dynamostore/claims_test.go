package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// claimed is a log of three streams, of 3, 1 and 2 events, and their claims.
func claimed(t *testing.T) (*dynamodb.Client, *dynamostore.Claims) {
	t.Helper()
	_, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	for id, events := range map[string]int{"a": 3, "b": 1, "c": 2} {
		for n := range events {
			c := eventsourcing.Commit{
				Stream: thing(id), Expected: eventsourcing.Version(n),
				Records: []eventsourcing.Record{{
					ID: fmt.Sprint(id, n), Stream: thing(id), Version: eventsourcing.Version(n) + 1, Name: "test/thing/happened",
					Schema: 1, Data: []byte(`{}`), RecordedAt: time.UnixMilli(1_772_366_400_000).UTC(),
				}},
			}
			if n == 0 {
				c.Take = []eventsourcing.Claim{{Category: "test/thing", Name: "name", Value: id}}
			}
			require.NoError(t, store.Append(t.Context(), c))
		}
	}
	return client, dynamostore.NewClaims(client, dynamostore.Config{})
}

func thing(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "test/thing", ID: id}
}

func at(id string, version eventsourcing.Version) eventsourcing.Guard {
	return eventsourcing.Guard{Stream: thing(id), Version: version}
}

const keyOf = "test/thing#name:"

func TestTheOwnerOfAClaimIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	client, _ := claimed(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	owner := func(value string) (eventsourcing.StreamID, error) {
		return store.Owner(t.Context(), eventsourcing.Claim{Category: "test/thing", Name: "name", Value: value})
	}
	for value, want := range map[string]eventsourcing.StreamID{"a": thing("a"), "b": thing("b"), "d": {}} {
		got, err := owner(value)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	require.NoError(t, store.Append(t.Context(), eventsourcing.Commit{
		Stream: thing("b"), Expected: 1,
		Records: []eventsourcing.Record{{
			ID: "b1", Stream: thing("b"), Version: 2, Name: "test/thing/happened", Schema: 1, Data: []byte(`{}`),
			RecordedAt: time.UnixMilli(1_772_366_400_000).UTC(),
		}},
		Take:    []eventsourcing.Claim{{Category: "test/thing", Name: "name", Value: "d"}},
		Release: []eventsourcing.Claim{{Category: "test/thing", Name: "name", Value: "b"}},
	}))
	for value, want := range map[string]eventsourcing.StreamID{"b": {}, "d": thing("b")} {
		got, err := owner(value)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	damaged := map[string]types.AttributeValue{
		"constraint": &types.AttributeValueMemberS{Value: keyOf + "x"}, "stream": &types.AttributeValueMemberS{Value: "dan@example.com"},
	}
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("set-validations"), Item: damaged})
	require.NoError(t, err)
	_, err = owner("x")
	require.ErrorContains(t, err, "claims audit")
	require.NotContains(t, err.Error(), "dan@example.com")
}

func TestStreamsAndRowsYieldAll(t *testing.T) {
	t.Parallel()
	_, claims := claimed(t)
	for _, limit := range []int32{0, 1, 2, 100} {
		var streams []string
		pages := 0
		for page, err := range claims.Streams(t.Context(), limit) {
			require.NoError(t, err)
			if limit > 0 {
				assert.LessOrEqual(t, len(page), int(limit))
			}
			streams = append(streams, page...)
			pages++
		}
		assert.ElementsMatch(t, []string{"test/thing/a", "test/thing/b", "test/thing/c"}, streams)
		if limit == 1 {
			assert.GreaterOrEqual(t, pages, 6, "every event is scanned")
		}
		owners := map[string]string{}
		for page, err := range claims.Rows(t.Context(), limit) {
			require.NoError(t, err)
			for _, row := range page {
				owners[row.Key] = row.Owner
			}
		}
		assert.Equal(t, map[string]string{
			keyOf + "a": "test/thing/a", keyOf + "b": "test/thing/b", keyOf + "c": "test/thing/c",
		}, owners)
	}
	for _, err := range claims.Rows(t.Context(), 1) {
		require.NoError(t, err)
		break // the other pages are not read
	}
}

func TestAClaimIsReadTogetherWithItsStreamsVersions(t *testing.T) {
	t.Parallel()
	_, claims := claimed(t)
	for _, guards := range [][]eventsourcing.Guard{nil, {at("a", 3)}, {at("a", 3), at("b", 1)}, {at("absent", 0)}} {
		row, err := claims.At(t.Context(), keyOf+"a", guards...)
		require.NoError(t, err)
		assert.Equal(t, "test/thing/a", row.Owner)
		row, err = claims.At(t.Context(), keyOf+"free", guards...)
		require.NoError(t, err)
		assert.Nil(t, row)
	}
	for _, guards := range [][]eventsourcing.Guard{
		{at("a", 2)}, {at("a", 4)}, {at("a", 0)}, {at("absent", 1)}, {at("b", 1), at("a", 2)}, {at("a", 2), at("b", 1)},
	} {
		_, err := claims.At(t.Context(), keyOf+"a", guards...)
		require.ErrorIs(t, err, eventsourcing.ErrGuardMoved, "%v", guards)
	}
}

func TestClaimsChangeOnlyIfTheyAreAsExpected(t *testing.T) {
	t.Parallel()
	client, claims := claimed(t)
	table := func() map[string]string {
		owners := map[string]string{}
		for page, err := range claims.Rows(t.Context(), 0) {
			require.NoError(t, err)
			for _, row := range page {
				owners[row.Key] = row.Owner
			}
		}
		return owners
	}
	read := func(id string) *dynamostore.ClaimRow {
		row, err := claims.At(t.Context(), keyOf+id)
		require.NoError(t, err)
		return row
	}
	before := table()
	ofA, ofB := *read("a"), read("b")
	for what, err := range map[string]error{
		"assigned though held":           claims.Assign(t.Context(), keyOf+"a", nil, thing("b")),
		"assigned though another's":      claims.Assign(t.Context(), keyOf+"a", &dynamostore.ClaimRow{Key: keyOf + "a"}, thing("b")),
		"assigned though the owner went": claims.Assign(t.Context(), keyOf+"a", ofB, thing("b")),
		"assigned though it moved":       claims.Assign(t.Context(), keyOf+"free", nil, thing("a"), at("a", 2)),
		"assigned though one moved":      claims.Assign(t.Context(), keyOf+"free", nil, thing("a"), at("a", 3), at("b", 2)),
		"assigned though it is there":    claims.Assign(t.Context(), keyOf+"free", nil, thing("a"), at("a", 0)),
		"deleted though it moved":        claims.Delete(t.Context(), ofA, at("a", 4)),
		"deleted though another's":       claims.Delete(t.Context(), dynamostore.ClaimRow{Key: keyOf + "a"}),
	} {
		require.ErrorIs(t, err, eventsourcing.ErrGuardMoved, what)
	}
	assert.Equal(t, before, table(), "nothing of it was written")

	require.NoError(t, claims.Assign(t.Context(), keyOf+"free", nil, thing("a"), at("a", 3)))
	require.NoError(t, claims.Assign(t.Context(), keyOf+"b", ofB, thing("a"), at("a", 3), at("b", 1), at("absent", 0)))
	require.NoError(t, claims.Delete(t.Context(), ofA, at("a", 3)))
	want := maps.Clone(before)
	want[keyOf+"free"], want[keyOf+"b"] = "test/thing/a", "test/thing/a"
	delete(want, keyOf+"a")
	assert.Equal(t, want, table())

	// Rows that Append never writes can be read, assigned and deleted like others.
	unusual := []types.AttributeValue{
		nil, &types.AttributeValueMemberN{Value: "7"}, &types.AttributeValueMemberS{Value: ""}, &types.AttributeValueMemberBOOL{Value: true},
	}
	for _, owner := range unusual {
		item := map[string]types.AttributeValue{"constraint": &types.AttributeValueMemberS{Value: keyOf + "unusual"}}
		if owner != nil {
			item["stream"] = owner
		}
		plant := func() {
			_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("set-validations"), Item: item})
			require.NoError(t, err)
		}
		plant()
		row := read("unusual")
		require.Equal(t, &dynamostore.ClaimRow{Key: keyOf + "unusual"}, &dynamostore.ClaimRow{Key: row.Key, Owner: row.Owner})
		require.NoError(t, claims.Assign(t.Context(), row.Key, row, thing("a")))
		require.ErrorIs(t, claims.Delete(t.Context(), *row), eventsourcing.ErrGuardMoved, "it has an owner now")
		plant()
		require.NoError(t, claims.Delete(t.Context(), *row))
		require.ErrorIs(t, claims.Delete(t.Context(), *row), eventsourcing.ErrGuardMoved, "it is gone")
		assert.Nil(t, read("unusual"))
	}
}

// cancelling answers transactions with these reasons.
type cancelling struct {
	*dynamodb.Client
	codes []string
}

func (c cancelling) err() error {
	canceled := &types.TransactionCanceledException{}
	for _, code := range c.codes {
		canceled.CancellationReasons = append(canceled.CancellationReasons, types.CancellationReason{Code: &code})
	}
	return canceled
}

func (c cancelling) TransactGetItems(
	context.Context, *dynamodb.TransactGetItemsInput, ...func(*dynamodb.Options),
) (*dynamodb.TransactGetItemsOutput, error) {
	return nil, c.err()
}

func (c cancelling) TransactWriteItems(
	context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	return nil, c.err()
}

func TestAClaimThatIsBeingWrittenHasMoved(t *testing.T) {
	t.Parallel()
	client, _ := claimed(t)
	for code, moved := range map[string]bool{
		"TransactionConflict": true, "ThrottlingError": true, "ProvisionedThroughputExceeded": true, "ValidationError": false,
	} {
		claims := dynamostore.NewClaims(cancelling{client, []string{"None", code}}, dynamostore.Config{})
		_, errAt := claims.At(t.Context(), keyOf+"a", at("a", 3))
		for _, err := range []error{errAt, claims.Assign(t.Context(), keyOf+"a", nil, thing("a"), at("a", 3))} {
			require.Error(t, err)
			assert.Equal(t, moved, errors.Is(err, eventsourcing.ErrGuardMoved), code)
		}
	}
}

func TestClaimsReportAMissingTable(t *testing.T) {
	t.Parallel()
	client, _ := claimed(t)
	claims := dynamostore.NewClaims(client, dynamostore.Config{Tables: dynamostore.Tables{Events: "none", Claims: "none"}})
	errs := []error{}
	for _, err := range claims.Streams(t.Context(), 0) {
		errs = append(errs, err)
	}
	for _, err := range claims.Rows(t.Context(), 0) {
		errs = append(errs, err)
	}
	_, err := claims.At(t.Context(), keyOf+"a")
	errs = append(errs, err)
	_, err = claims.At(t.Context(), keyOf+"a", at("a", 3))
	errs = append(errs, err, claims.Delete(t.Context(), dynamostore.ClaimRow{Key: keyOf + "a"}, at("a", 3)))
	assert.Len(t, errs, 5)
	assert.False(t, slices.ContainsFunc(errs, func(err error) bool {
		return err == nil || errors.Is(err, eventsourcing.ErrGuardMoved)
	}), "%v", errs)
}
