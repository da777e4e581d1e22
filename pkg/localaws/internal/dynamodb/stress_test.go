package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// stressed does one of many writes on few items. Only errors of concurrent writes are allowed.
func (s *server) stressed(ctx context.Context, r *rand.Rand) error {
	key := func() string {
		return fmt.Sprintf(`"stream":{"S":"s%d"},"version":{"N":"%d"}`, r.IntN(5), r.IntN(4))
	}
	item := func() string {
		return fmt.Sprintf(`"Item":{%s,"kind":{"S":"k%d"},"at":{"S":"a%d"},"note":{"S":"n%d"}}`, key(), r.IntN(3), r.IntN(3), r.IntN(9))
	}
	const table = `"TableName":"events",`
	bodies := []struct{ operation, body string }{
		{"PutItem", `{` + table + item() + `}`},
		{"DeleteItem", `{` + table + `"Key":{` + key() + `}}`},
		{"UpdateItem", `{` + table + `"Key":{` + key() + `},"UpdateExpression":"REMOVE kind"}`},
		{"BatchWriteItem", `{"RequestItems":{"events":[{"PutRequest":{` + item() + `}}]}}`},
		{"TransactWriteItems", `{"TransactItems":[{"Put":{` + table + item() + `}},{"Delete":{` + table + `"Key":{` + key() + `}}}]}`},
		{"Scan", `{"TableName":"events","IndexName":"by-kind"}`},
		{"TransactGetItems", `{"TransactItems":[{"Get":{` + table + `"Key":{` + key() + `}}}]}`},
		{"DescribeTable", `{"TableName":"events"}`},
	}
	c := bodies[r.IntN(len(bodies))]
	_, err := s.Service().Operations[c.operation](ctx, []byte(c.body))
	if e, ok := errors.AsType[*awsjson.Error](err); ok {
		conflict := strings.HasPrefix(e.Code, "Transaction")
		twice := c.operation == "TransactWriteItems" && strings.Contains(e.Message, "multiple operations on one item")
		if conflict || twice {
			return nil
		}
	}
	return err
}

// After concurrent writes and shard rotations, replaying the stream shard by shard gives the table, and the indexes are its
// projections.
func TestStreamsAndIndexesFollowConcurrentWrites(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	var g errgroup.Group
	for seed := range uint64(16) {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(seed, 1))
			for i := range 100 {
				if err := s.stressed(t.Context(), r); err != nil {
					return err
				}
				if seed == 0 && i%20 == 0 {
					if err := s.RotateShards("events"); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	tab := s.table("events")
	want := map[primaryKey]attr.Item{}
	tab.each(func(item attr.Item) { want[tab.keys.bytes(item)] = item })
	require.NotEmpty(t, want)

	replayed := map[primaryKey]attr.Item{}
	last := uint64(0)
	for _, sh := range tab.stream.shards {
		for i, r := range sh.records {
			assert.True(t, i == 0 || r.sequence > last, "in order")
			last = r.sequence
			id := tab.keys.bytes(r.keys)
			_, existed := replayed[id]
			assert.Equal(t, existed, r.eventName() != "INSERT", "%v", r.keys)
			if r.after == nil {
				delete(replayed, id)
			} else {
				replayed[id] = r.after
			}
		}
	}
	assert.Equal(t, asJSON(t, want), asJSON(t, replayed))

	for _, ix := range tab.indexes {
		expected, found := map[primaryKey]attr.Item{}, map[primaryKey]attr.Item{}
		for id, item := range want {
			if _, e := ix.entry(item); e != nil {
				expected[id] = e.item
			}
		}
		ix.walk(cursor{}, func(_ place, e *entry) bool {
			found[e.at.owner] = e.item
			return true
		})
		assert.Equal(t, asJSON(t, expected), asJSON(t, found), ix.name)
		assert.EqualValues(t, len(expected), ix.count.Load())
	}
	for i := range tab.stripes {
		assert.Empty(t, tab.stripes[i].marked, "no transaction leaves a mark")
	}
}

func asJSON(t *testing.T, items map[primaryKey]attr.Item) map[string]string {
	t.Helper()
	out := map[string]string{}
	for id, item := range items {
		b, err := json.Marshal(item)
		require.NoError(t, err)
		out[id.hash+"/"+id.sort] = string(b)
	}
	return out
}
