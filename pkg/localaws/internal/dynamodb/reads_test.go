package dynamodb

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

func (s *server) putEvent(stream string, version int, rest string) {
	s.t.Helper()
	s.ok("PutItem", fmt.Sprintf(`{"TableName":"events","Item":{"stream":{"S":%q},"version":{"N":"%d"}%s}}`, stream, version, rest))
}

func versions(out object) []int {
	found := []int{}
	for _, item := range as[[]any](out["Items"]) {
		n, _ := strconv.Atoi(as[string](as[object](as[object](item)["version"])["N"]))
		found = append(found, n)
	}
	return found
}

// For any items, range, direction and page size, the pages together are the model's result.
func TestQueriesAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s := newTables(t)
		stored := rapid.SliceOfNDistinct(rapid.IntRange(-20, 20), 0, 15, rapid.ID).Draw(r, "versions")
		for _, v := range stored {
			s.putEvent("s", v, "")
			s.putEvent("t", v, "")
		}
		low, high := rapid.IntRange(-22, 22).Draw(r, "low"), rapid.IntRange(-22, 22).Draw(r, "high")
		if low > high {
			low, high = high, low
		}
		ranges := map[string]func(v int) bool{
			"":                                  func(int) bool { return true },
			" AND version = :low":               func(v int) bool { return v == low },
			" AND version < :low":               func(v int) bool { return v < low },
			" AND version <= :low":              func(v int) bool { return v <= low },
			" AND version > :low":               func(v int) bool { return v > low },
			" AND version >= :low":              func(v int) bool { return v >= low },
			" AND version BETWEEN :low AND :hi": func(v int) bool { return low <= v && v <= high },
		}
		cond := rapid.SampledFrom(slices.Sorted(maps.Keys(ranges))).Draw(r, "range")
		forward, limit := rapid.Bool().Draw(r, "forward"), rapid.IntRange(1, 6).Draw(r, "limit")

		want := slices.DeleteFunc(slices.Sorted(slices.Values(stored)), func(v int) bool { return !ranges[cond](v) })
		if !forward {
			slices.Reverse(want)
		}
		values := `":s":{"S":"s"}`
		if cond != "" {
			values += fmt.Sprintf(`,":low":{"N":"%d"}`, low)
		}
		if cond == " AND version BETWEEN :low AND :hi" {
			values += fmt.Sprintf(`,":hi":{"N":"%d"}`, high)
		}
		got, start := []int{}, ""
		for {
			out := s.ok("Query", fmt.Sprintf(`{"TableName":"events","KeyConditionExpression":"#s = :s%s","ScanIndexForward":%t,"Limit":%d,
				"ExpressionAttributeNames":{"#s":"stream"},"ExpressionAttributeValues":{%s}%s}`, cond, forward, limit, values, start))
			page := versions(out)
			got = append(got, page...)
			last, more := out["LastEvaluatedKey"]
			require.Equal(t, len(page) == limit, more, "a page that reaches its limit has a LastEvaluatedKey")
			if !more {
				break
			}
			start = `,"ExclusiveStartKey":` + s.json(last)
		}
		require.True(t, slices.Equal(want, got), "want %v, got %v", want, got)
	})
}

// Items that exist during the whole scan are read exactly once, whatever is written meanwhile.
func TestScansContinueCorrectlyAfterWrites(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	for i := range 60 {
		s.putEvent(fmt.Sprint("s", i%20), i, "")
	}
	seen, start := map[int]int{}, ""
	for page := 0; ; page++ {
		out := s.ok("Scan", `{"TableName":"events","Limit":7`+start+`}`)
		for _, v := range versions(out) {
			seen[v]++
		}
		last, more := out["LastEvaluatedKey"].(object)
		if !more {
			break
		}
		start = `,"ExclusiveStartKey":` + s.json(last)
		s.ok("DeleteItem", `{"TableName":"events","Key":`+s.json(last)+`}`) // the very item the next page starts after
		s.putEvent(fmt.Sprint("new", page), 1000+page, "")
	}
	for v := range 60 {
		assert.Equal(t, 1, seen[v], "version %d", v)
	}
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html
func TestLocalSecondaryIndexesFetchUnprojectedAttributes(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	for v, at := range []string{"c", "a", "b"} {
		s.putEvent("s", v, `,"at":{"S":"`+at+`"},"note":{"S":"n`+strconv.Itoa(v)+`"}`)
	}
	s.putEvent("s", 3, "") // without the index key: not in the index
	query := func(more string) object {
		return s.ok("Query", `{"TableName":"events","IndexName":"by-at","ConsistentRead":true,"KeyConditionExpression":"#s = :s",
			"ExpressionAttributeNames":{"#s":"stream"},"ExpressionAttributeValues":{":s":{"S":"s"}}`+more+`}`)
	}
	out := query("")
	assert.Equal(t, []int{1, 2, 0}, versions(out))
	assert.NotContains(t, as[[]any](out["Items"])[0], "note", "only keys are projected")
	out = query(`,"Select":"ALL_ATTRIBUTES","ReturnConsumedCapacity":"INDEXES"`)
	assert.Equal(t, object{"S": "n1"}, as[object](as[[]any](out["Items"])[0])["note"], "the rest is fetched from the table")
	assert.Equal(t, object{"by-at": object{"CapacityUnits": 1.0}}, as[object](out["ConsumedCapacity"])["LocalSecondaryIndexes"])
	assert.Equal(t, object{"CapacityUnits": 3.0}, as[object](out["ConsumedCapacity"])["Table"], "a read for each item")
	out = query(`,"ProjectionExpression":"note"`)
	assert.Equal(
		t, []any{object{"note": object{"S": "n1"}}, object{"note": object{"S": "n2"}}, object{"note": object{"S": "n0"}}}, out["Items"],
	)
	out = query(`,"Limit":1`)
	assert.Equal(t, object{"stream": object{"S": "s"}, "version": object{"N": "1"}, "at": object{"S": "a"}}, out["LastEvaluatedKey"])
	assert.Equal(t, []int{2, 0}, versions(query(`,"ExclusiveStartKey":`+s.json(out["LastEvaluatedKey"]))))
	out = query(`,"Select":"COUNT"`)
	assert.NotContains(t, out, "Items")
	assert.EqualValues(t, 3, out["Count"])
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.FilterExpression.html
func TestFiltersApplyAfterTheLimit(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	for v := range 5 {
		s.putEvent("s", v, fmt.Sprintf(`,"even":{"BOOL":%t}`, v%2 == 0))
	}
	out := s.ok("Query", `{"TableName":"events","KeyConditionExpression":"#s = :s","FilterExpression":"even = :t","Limit":4,
		"ExpressionAttributeNames":{"#s":"stream"},"ExpressionAttributeValues":{":s":{"S":"s"},":t":{"BOOL":true}}}`)
	assert.Equal(t, []int{0, 2}, versions(out))
	assert.EqualValues(t, 2, out["Count"])
	assert.EqualValues(t, 4, out["ScannedCount"])
	assert.Equal(t, object{"stream": object{"S": "s"}, "version": object{"N": "3"}}, out["LastEvaluatedKey"])
}

func TestIndexesAreSparse(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	for v := range 6 {
		s.putEvent("s", v, map[bool]string{true: `,"kind":{"S":"k"},"note":{"S":"x"},"other":{"S":"y"}`}[v%2 == 0])
	}
	out := s.ok("Scan", `{"TableName":"events","IndexName":"by-kind"}`)
	assert.ElementsMatch(t, []int{0, 2, 4}, versions(out))
	for _, item := range as[[]any](out["Items"]) {
		assert.Equal(t, []string{"kind", "note", "stream", "version"}, slices.Sorted(maps.Keys(as[object](item))))
	}
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
func TestBatchGetStopsAt16MB(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	const size = 399 << 10
	keys := make([]object, 0, 45)
	for i := range 45 {
		id := fmt.Sprint("u", i)
		s.putLargeUser(id, size)
		keys = append(keys, object{"id": object{"S": id}})
	}
	out := s.ok("BatchGetItem", `{"RequestItems":{"users":{"ProjectionExpression":"id","Keys":`+s.json(keys)+`}}}`)
	fit := 16 << 20 / (size + 4) // "id" and "d" and the value of id count, too
	assert.Len(t, as[object](out["Responses"])["users"], fit)
	left := as[object](as[object](out["UnprocessedKeys"])["users"])
	assert.Len(t, left["Keys"], 45-fit)
	assert.Equal(t, "id", left["ProjectionExpression"], "it can be sent again as it is")
}

// putLargeUser puts a user with an attribute of n bytes without JSON, which is slow under the race detector.
func (s *server) putLargeUser(id string, n int) {
	s.t.Helper()
	_, err := s.putItem(s.t.Context(), &putItemInput{
		writeOptions: writeOptions{TableName: "users"},
		Item:         attr.Item{"id": attr.StringValue(id), "d": attr.StringValue(text(n))},
	})
	require.NoError(s.t, err)
}

func TestTransactGetItemsAnswersInOrder(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.putUser("a", `,"n":{"N":"1"}`)
	s.putEvent("s", 1, "")
	out := s.ok("TransactGetItems", `{"TransactItems":[
		{"Get":{"TableName":"events","Key":{"stream":{"S":"s"},"version":{"N":"1"}}}},
		{"Get":{"TableName":"users","Key":{"id":{"S":"none"}}}},
		{"Get":{"TableName":"users","Key":{"id":{"S":"a"}},"ProjectionExpression":"n"}}]}`)
	assert.Equal(t, []any{
		object{"Item": object{"stream": object{"S": "s"}, "version": object{"N": "1"}}},
		object{},
		object{"Item": object{"n": object{"N": "1"}}},
	}, out["Responses"])
}

// A container has the same contents as a sorted map after any puts and removes.
func TestContainersAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	type named struct{ part, sort string }
	rapid.Check(t, func(r *rapid.T) {
		var c container
		model := map[named]int{}
		for range rapid.IntRange(0, 60).Draw(r, "steps") {
			n := named{rapid.StringMatching("[a-d]?").Draw(r, "part"), rapid.StringMatching("[a-f]{0,2}").Draw(r, "sort")}
			part, at := placeOf(n.part), position{sort: n.sort}
			if rapid.Bool().Draw(r, "remove") {
				c.remove(part, at)
				delete(model, n)
				continue
			}
			size := rapid.IntRange(1, 9).Draw(r, "size")
			c.put(part, &entry{at: at, size: size})
			model[n] = size
		}
		want := slices.SortedFunc(maps.Keys(model), func(a, b named) int {
			return cmp.Or(placeOf(a.part).compare(placeOf(b.part)), cmp.Compare(a.sort, b.sort))
		})
		got, bytes := []named{}, 0
		c.walk(cursor{}, func(p place, e *entry) bool {
			got = append(got, named{p.key, e.at.sort})
			bytes += e.size
			return true
		})
		require.ElementsMatch(t, want, got)
		require.True(t, slices.Equal(want, got), "in order: %v, %v", want, got)
		require.EqualValues(t, len(model), c.count.Load())
		require.EqualValues(t, bytes, c.bytes.Load())
		for n, size := range model {
			e := c.stripe(placeOf(n.part)).find(placeOf(n.part), position{sort: n.sort})
			require.NotNil(t, e)
			require.Equal(t, size, e.size)
		}
	})
}
