package dynamodb

import (
	"context"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

type transactGet struct {
	Key                      attr.Item
	TableName                string
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
}

type transactGetItemsInput struct {
	TransactItems          []struct{ Get *transactGet }
	ReturnConsumedCapacity capacityChoice
}

type transactGetItemsOutput struct {
	Responses        []itemResponse
	ConsumedCapacity []consumedCapacity `json:",omitempty"`
}

type itemResponse struct {
	Item attr.Item `json:",omitzero"`
}

func (in *transactGetItemsInput) check() error {
	k := &constraints{}
	checkTransactItems(k, len(in.TransactItems))
	in.ReturnConsumedCapacity.check(k)
	for _, it := range in.TransactItems {
		k.required(it.Get != nil, "transactItems.member.get")
		if it.Get != nil {
			k.table(it.Get.TableName)
			k.required(it.Get.Key != nil, "transactItems.member.get.key")
		}
	}
	return k.err()
}

// transactGetItems reads all items at one point in time, or is cancelled because of an ongoing transaction.
func (db *DB) transactGetItems(ctx context.Context, in *transactGetItemsInput) (*transactGetItemsOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	names := make([]string, len(in.TransactItems))
	for i, it := range in.TransactItems {
		names[i] = it.Get.TableName
	}
	tables, err := db.openAll(names)
	if err != nil {
		return nil, err
	}
	defer tables.close()
	items := make([]item, len(in.TransactItems))
	reasons := newCancellation(len(items))
	for i, it := range in.TransactItems {
		t := tables[tableName(it.Get.TableName)]
		if err := t.keys.checkKey(it.Get.Key, t.defs); isEmptyKey(err) {
			return nil, err
		} else if err != nil {
			reasons.fail(i, err)
			continue
		}
		items[i] = item{t, t.keys.bytes(it.Get.Key)}
	}
	if err := reasons.err(); err != nil {
		return nil, err
	}
	if err := distinctItems(items); err != nil {
		return nil, err
	}
	if err := injectedConflict(ctx, len(items)); err != nil {
		return nil, err
	}
	found := readTogether(items, reasons)
	if err := reasons.err(); err != nil {
		return nil, err
	}
	return in.answer(ctx, items, found)
}

// readTogether reads while it holds all stripes, and adds a conflict for every item in an ongoing transaction.
func readTogether(items []item, reasons cancellation) []attr.Item {
	stripes := stripesOf(items)
	for _, s := range stripes {
		s.mu.RLock()
		defer s.mu.RUnlock()
	}
	found := make([]attr.Item, len(items))
	for i, it := range items {
		found[i] = it.table.item(it.id)
		if _, busy := it.table.stripe(placeOf(it.id.hash)).marked[it.id]; busy {
			reasons.conflict(i)
		}
	}
	return found
}

func (in *transactGetItemsInput) answer(ctx context.Context, items []item, found []attr.Item) (*transactGetItemsOutput, error) {
	out := &transactGetItemsOutput{Responses: make([]itemResponse, len(items))}
	costs, bytes := bill{}, 0
	for i, it := range in.TransactItems {
		p, err := parseProjection(it.Get.ProjectionExpression, it.Get.ExpressionAttributeNames)
		if err != nil {
			return nil, err
		}
		out.Responses[i].Item = project(found[i], p)
		bytes += found[i].Size()
		costs.add(items[i].table.name, consumption{table: 2 * readUnits(found[i].Size(), true)})
	}
	if bytes > maxTransactBytes {
		return nil, invalid("Aggregate size of items in the transaction cannot exceed 4 MB")
	}
	units.Read(ctx, costs.total())
	out.ConsumedCapacity = transactional(costs.report(in.ReturnConsumedCapacity), false)
	return out, nil
}
