package dynamodb

import (
	"context"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/expr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

// Sources: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html and …/API_BatchWriteItem.html
const (
	maxBatchGet      = 100
	maxBatchGetBytes = 16 << 20
	maxBatchWrite    = 25
)

type keysAndAttributes struct {
	Keys                     []attr.Item
	ConsistentRead           bool              `json:",omitempty"`
	ProjectionExpression     *string           `json:",omitempty"`
	ExpressionAttributeNames map[string]string `json:",omitempty"`
}

type batchGetItemInput struct {
	RequestItems           map[string]keysAndAttributes
	ReturnConsumedCapacity capacityChoice
}

type batchGetItemOutput struct {
	Responses        map[string][]attr.Item
	UnprocessedKeys  map[string]keysAndAttributes
	ConsumedCapacity []consumedCapacity `json:",omitempty"`
}

func (in *batchGetItemInput) check() error {
	k := &constraints{}
	in.ReturnConsumedCapacity.check(k)
	if k.required(in.RequestItems != nil, "requestItems"); in.RequestItems != nil {
		k.length(len(in.RequestItems), "{}", "requestItems", 1, 0)
	}
	n := 0
	for name, r := range in.RequestItems {
		k.table(name)
		k.length(len(r.Keys), "[…]", "requestItems."+name+".member.keys", 1, maxBatchGet)
		n += len(r.Keys)
	}
	if err := k.err(); err != nil {
		return err
	}
	if n > maxBatchGet {
		return invalid("Too many items requested for the BatchGetItem call")
	}
	return nil
}

func (db *DB) batchGetItem(ctx context.Context, in *batchGetItemInput) (*batchGetItemOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	projections := map[string]*expr.Projection{}
	for name, r := range in.RequestItems {
		p, err := parseProjection(r.ProjectionExpression, r.ExpressionAttributeNames)
		if err != nil {
			return nil, err
		}
		projections[name] = p
	}
	tables, err := db.openAll(sortedKeys(in.RequestItems))
	if err != nil {
		return nil, err
	}
	defer tables.close()
	for _, name := range sortedKeys(in.RequestItems) {
		if err := distinctKeys(tables[tableName(name)], in.RequestItems[name].Keys); err != nil {
			return nil, err
		}
	}
	outcomes := faults.Batch(ctx, in.size())
	if outcomes.NoneDone() {
		return nil, throughputExceeded()
	}
	out := &batchGetItemOutput{Responses: map[string][]attr.Item{}, UnprocessedKeys: map[string]keysAndAttributes{}}
	bytes, costs := 0, bill{}
	for _, name := range sortedKeys(in.RequestItems) {
		r, t := in.RequestItems[name], tables[tableName(name)]
		out.Responses[name] = []attr.Item{}
		left := r
		left.Keys = nil
		for _, key := range r.Keys {
			item := t.read(t.keys.bytes(key))
			if outcomes.Next() != faults.Done || bytes+item.Size() > maxBatchGetBytes {
				left.Keys = append(left.Keys, key)
				continue
			}
			bytes += item.Size()
			costs.add(t.name, consumption{table: readUnits(item.Size(), r.ConsistentRead)})
			if item != nil {
				out.Responses[name] = append(out.Responses[name], project(item, projections[name]))
			}
		}
		if left.Keys != nil {
			out.UnprocessedKeys[name] = left
		}
	}
	units.Read(ctx, costs.total())
	out.ConsumedCapacity = costs.report(in.ReturnConsumedCapacity)
	return out, nil
}

func (in *batchGetItemInput) size() (n int) {
	for _, r := range in.RequestItems {
		n += len(r.Keys)
	}
	return n
}

// throughputExceeded is the error of a batch in which nothing could be processed.
func throughputExceeded() *awsjson.Error {
	return awsjson.Errorf("ProvisionedThroughputExceededException",
		"The level of configured provisioned throughput for the table was exceeded. "+
			"Consider increasing your provisioning level with the UpdateTable API.")
}

func distinctKeys(t *table, keys []attr.Item) error {
	seen := map[primaryKey]bool{}
	for _, key := range keys {
		if err := t.keys.checkKey(key, t.defs); err != nil {
			return err
		}
		id := t.keys.bytes(key)
		if seen[id] {
			return duplicateKeys()
		}
		seen[id] = true
	}
	return nil
}

func duplicateKeys() *awsjson.Error { return invalid("Provided list of item keys contains duplicates") }

type writeRequest struct {
	PutRequest    *putRequest    `json:",omitempty"`
	DeleteRequest *deleteRequest `json:",omitempty"`
}

type putRequest struct{ Item attr.Item }

type deleteRequest struct{ Key attr.Item }

type batchWriteItemInput struct {
	RequestItems                map[string][]writeRequest
	ReturnConsumedCapacity      capacityChoice
	ReturnItemCollectionMetrics string
}

type batchWriteItemOutput struct {
	UnprocessedItems      map[string][]writeRequest
	ItemCollectionMetrics map[string][]*itemCollectionMetrics `json:",omitempty"`
	ConsumedCapacity      []consumedCapacity                  `json:",omitempty"`
}

func (in *batchWriteItemInput) check() error {
	k := &constraints{}
	in.ReturnConsumedCapacity.check(k)
	k.oneOf(in.ReturnItemCollectionMetrics, "returnItemCollectionMetrics", "SIZE", "NONE")
	if k.required(in.RequestItems != nil, "requestItems"); in.RequestItems != nil {
		k.length(len(in.RequestItems), "{}", "requestItems", 1, 0)
	}
	n := 0
	for name, requests := range in.RequestItems {
		k.table(name)
		k.length(len(requests), "[…]", "requestItems."+name+".member", 1, maxBatchWrite)
		n += len(requests)
		for _, r := range requests {
			if (r.PutRequest == nil) == (r.DeleteRequest == nil) {
				return invalid("Supplied AttributeValue has more than one datatypes set, " +
					"must contain exactly one of the supported datatypes")
			}
		}
	}
	if err := k.err(); err != nil {
		return err
	}
	if n > maxBatchWrite {
		return invalid("Too many items requested for the BatchWriteItem call")
	}
	return nil
}

func (r writeRequest) write(t *table) (*write, error) {
	if r.PutRequest != nil {
		return t.newPut(r.PutRequest.Item, conditional{}, parsed{})
	}
	return t.newDelete(r.DeleteRequest.Key, conditional{}, parsed{})
}

// batchWriteItem checks the whole batch before it writes item by item. An item in an ongoing transaction stays unprocessed.
func (db *DB) batchWriteItem(ctx context.Context, in *batchWriteItemInput) (*batchWriteItemOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	names := sortedKeys(in.RequestItems)
	tables, err := db.openAll(names)
	if err != nil {
		return nil, err
	}
	defer tables.close()
	writes, n := map[string][]*write{}, 0
	for _, name := range names {
		seen := map[primaryKey]bool{}
		for _, r := range in.RequestItems[name] {
			w, err := r.write(tables[tableName(name)])
			if err != nil {
				return nil, err
			}
			if seen[w.id] {
				return nil, duplicateKeys()
			}
			seen[w.id] = true
			writes[name] = append(writes[name], w)
			n++
		}
	}
	outcomes := faults.Batch(ctx, n)
	if outcomes.NoneDone() {
		return nil, throughputExceeded()
	}
	out := &batchWriteItemOutput{UnprocessedItems: map[string][]writeRequest{}}
	costs, metrics := bill{}, map[string][]*itemCollectionMetrics{}
	for _, name := range names {
		for i, w := range writes[name] {
			c, done := change{}, outcomes.Next() == faults.Done
			if done {
				c, err = db.write(w)
				done = err == nil
			}
			if !done {
				out.UnprocessedItems[name] = append(out.UnprocessedItems[name], in.RequestItems[name][i])
				continue
			}
			costs.add(w.table.name, c.spent)
			if m := w.table.metrics(in.ReturnItemCollectionMetrics, w.key); m != nil {
				metrics[name] = append(metrics[name], m)
			}
		}
	}
	out.ItemCollectionMetrics = metrics
	units.Write(ctx, costs.total())
	out.ConsumedCapacity = costs.report(in.ReturnConsumedCapacity)
	return out, nil
}
