package dynamodb

import (
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// held marks one user as if a transaction were ongoing, until the returned function is called.
func (s *server) held(id string) (release func()) {
	s.t.Helper()
	var in transactWriteItemsInput
	body := `{"TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"S":"` + id + `"}}}}]}`
	require.NoError(s.t, json.Unmarshal([]byte(body), &in))
	steps, err := in.steps()
	require.NoError(s.t, err)
	tables, err := s.openAll([]string{"users"})
	require.NoError(s.t, err)
	tx, err := newTransaction(tables, steps)
	require.NoError(s.t, err)
	require.NoError(s.t, tx.mark())
	return func() {
		tx.locked(tx.unmark)
		tables.close()
	}
}

const cancelledFor = "Transaction cancelled, please refer cancellation reasons for specific reasons "

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling
func TestItemsInATransactionRefuseWritesButNotReads(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.putUser("a", `,"n":{"N":"1"}`)
	release := s.held("a")
	const conflict, ongoing = "TransactionConflictException", "Transaction is ongoing for the item"
	s.fails("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`, conflict, ongoing)
	s.fails("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, conflict, ongoing)
	s.fails("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`, conflict, ongoing)
	out := s.fails("TransactWriteItems", `{"TransactItems":[{"Delete":{"TableName":"users","Key":{"id":{"S":"b"}}}},
		{"Delete":{"TableName":"users","Key":{"id":{"S":"a"}}}}]}`, "TransactionCanceledException", cancelledFor+"[None, TransactionConflict]")
	assert.Equal(t, []any{object{"Code": "None"}, object{"Code": "TransactionConflict", "Message": ongoing}}, out["CancellationReasons"])
	s.fails("TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"users","Key":{"id":{"S":"a"}}}}]}`,
		"TransactionCanceledException", cancelledFor+"[TransactionConflict]")
	out = s.ok(
		"BatchWriteItem", `{"RequestItems":{"users":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},{"PutRequest":{"Item":{"id":{"S":"c"}}}}]}}`,
	)
	assert.Equal(t, object{"users": []any{object{"PutRequest": object{"Item": object{"id": object{"S": "a"}}}}}}, out["UnprocessedItems"])

	out = s.ok("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ConsistentRead":true}`)
	assert.Equal(t, object{"N": "1"}, as[object](out["Item"])["n"], "reads never wait for a transaction")
	release()
	s.ok("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`)
	s.ok("TransactWriteItems", `{"TransactItems":[{"Delete":{"TableName":"users","Key":{"id":{"S":"a"}}}}]}`)
}

// A cancelled transaction leaves no marks, and the errors of its items are its reasons.
func TestCancelledTransactionsChangeAndMarkNothing(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.putUser("a", `,"n":{"S":"text"}`)
	out := s.fails("TransactWriteItems", `{"TransactItems":[
		{"Put":{"TableName":"users","Item":{"id":{"S":"b"}}}},
		{"Update":{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = n + :one",
			"ExpressionAttributeValues":{":one":{"N":"1"}}}}]}`,
		"TransactionCanceledException", cancelledFor+"[None, ValidationError]")
	assert.Equal(t, "An operand in the update expression has an incorrect data type",
		as[object](as[[]any](out["CancellationReasons"])[1])["Message"])
	s.fails("TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"users","Item":{"x":{"S":"b"}}}}]}`,
		"TransactionCanceledException", cancelledFor+"[ValidationError]")
	assert.NotContains(t, s.ok("GetItem", `{"TableName":"users","Key":{"id":{"S":"b"}}}`), "Item")
	s.ok("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`)
	s.ok("PutItem", `{"TableName":"users","Item":{"id":{"S":"b"}}}`)
}

// Sources: https://github.com/nubo-db/dynoxide/issues/95, https://github.com/paritysuite/dynamodb-conformance/issues/46
func TestAnEmptyKeyFailsATransactionAsAWhole(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	const (
		empty = "One or more parameter values are not valid. The AttributeValue for a key attribute " +
			"cannot contain an empty string value. Key: "
		emptyIndex = "One or more parameter values are not valid. A value specified for a secondary index key is not supported. " +
			"The AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-kind, IndexKey: kind"
	)
	for action, message := range map[string]string{
		`{"Put":{"TableName":"users","Item":{"id":{"S":""}}}}`:                                                        empty + "id",
		`{"Delete":{"TableName":"users","Key":{"id":{"S":""}}}}`:                                                      empty + "id",
		`{"Update":{"TableName":"users","Key":{"id":{"S":""}},"UpdateExpression":"REMOVE a"}}`:                        empty + "id",
		`{"ConditionCheck":{"TableName":"users","Key":{"id":{"S":""}},"ConditionExpression":"attribute_exists(id)"}}`: empty + "id",
		`{"Put":{"TableName":"events","Item":{"stream":{"S":"s"},"version":{"N":"1"},"kind":{"S":""}}}}`:              emptyIndex,
	} {
		out := s.fails("TransactWriteItems", `{"TransactItems":[{"Delete":{"TableName":"users","Key":{"id":{"N":"1"}}}},`+action+`]}`,
			"ValidationException", message)
		assert.NotContains(t, out, "CancellationReasons")
	}
	s.fails("TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"users","Key":{"id":{"S":""}}}}]}`, "ValidationException", empty+"id")
	s.fails("TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"N":"1"}}}}]}`,
		"TransactionCanceledException", cancelledFor+"[ValidationError]")
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-dynamodb-transactions
func TestTransactionsOfMoreThan4MBAreRefused(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	var in transactWriteItemsInput
	for i := range 11 {
		in.TransactItems = append(in.TransactItems, transactWriteItem{Put: &transactAction{
			TableName: "users",
			Item:      attr.Item{"id": attr.StringValue(strconv.Itoa(i)), "d": attr.StringValue(text(390 << 10))},
		}})
	}
	_, err := s.transactWriteItems(t.Context(), &in)
	require.EqualError(t, err, "ValidationException: Aggregate size of items in the transaction cannot exceed 4 MB")
	in.TransactItems = in.TransactItems[:10]
	_, err = s.transactWriteItems(t.Context(), &in)
	require.NoError(t, err)
	assert.EqualValues(t, 10, as[object](s.ok("DescribeTable", `{"TableName":"users"}`)["Table"])["ItemCount"])
}

func TestATokenInProgressIsRefused(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	claim, err := s.tokens.begin("t", [32]byte{1}, s.clock.Now())
	require.NoError(t, err)
	_, err = s.tokens.begin("t", [32]byte{1}, s.clock.Now())
	require.ErrorContains(t, err, "TransactionInProgressException")
	s.tokens.end(claim, false, nil, s.clock.Now())
	_, err = s.tokens.begin("t", [32]byte{1}, s.clock.Now())
	require.NoError(t, err, "a failed transaction may be tried again")
}

// Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html,
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
func TestConsumedCapacityIsReported(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	units := func(operation, body string) float64 {
		t.Helper()
		body = strings.TrimSuffix(body, "}") + `,"ReturnConsumedCapacity":"TOTAL"}`
		spent := s.ok(operation, body)["ConsumedCapacity"]
		if list, ok := spent.([]any); ok {
			require.Len(t, list, 1)
			spent = list[0]
		}
		return as[float64](as[object](spent)["CapacityUnits"])
	}
	event := func(rest string) string {
		return `{"TableName":"events","Item":{"stream":{"S":"s"},"version":{"N":"1"}` + rest + `}}`
	}
	key := `"Key":{"id":{"S":"a"}}`
	assert.InDelta(t, 2, units("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"d":{"S":"`+text(1500)+`"}}}`), 0)
	assert.InDelta(t, 0.5, units("GetItem", `{"TableName":"users",`+key+`}`), 0)
	assert.InDelta(t, 1, units("GetItem", `{"TableName":"users","ConsistentRead":true,`+key+`}`), 0)
	assert.InDelta(t, 2, units("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`), 0, "the larger of the old and the new item")
	assert.InDelta(t, 2, units("TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"users",`+key+`}}]}`), 0)
	tx := `{"ClientRequestToken":"t","TransactItems":[{"Put":{"TableName":"users","Item":{"id":{"S":"b"}}}}]}`
	assert.InDelta(t, 2, units("TransactWriteItems", tx), 0)
	assert.InDelta(t, 2, units("TransactWriteItems", tx), 0, "a repetition reads")

	assert.InDelta(t, 1, units("PutItem", event("")), 0, "no index key: not in the index")
	assert.InDelta(t, 2, units("PutItem", event(`,"kind":{"S":"k"}`)), 0, "one more to put into the index")
	assert.InDelta(t, 1, units("PutItem", event(`,"kind":{"S":"k"},"hidden":{"S":"x"}`)), 0, "the projection stays")
	assert.InDelta(t, 3, units("PutItem", event(`,"kind":{"S":"other"}`)), 0, "two more to move within the index")
	out := s.ok("PutItem", `{"ReturnConsumedCapacity":"INDEXES","ReturnItemCollectionMetrics":"SIZE",`+event("")[1:])
	assert.Equal(t, object{
		"TableName": "events", "CapacityUnits": 2.0, "Table": object{"CapacityUnits": 1.0},
		"GlobalSecondaryIndexes": object{"by-kind": object{"CapacityUnits": 1.0}},
	}, out["ConsumedCapacity"])
	assert.Equal(t, object{"ItemCollectionKey": object{"stream": object{"S": "s"}}, "SizeEstimateRangeGB": []any{0.0, 1.0}},
		out["ItemCollectionMetrics"])
}
