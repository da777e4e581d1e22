package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const (
	maxTransactItems = 100
	maxTransactBytes = 4 << 20
)

// opened are the tables of a request, by name, each with its gate held shared.
type opened map[string]*table

// openAll opens tables in the order of their names, each once, so that requests never wait in a circle.
func (db *DB) openAll(namesOrARNs []string) (opened, error) {
	out := opened{}
	names := make([]string, len(namesOrARNs))
	for i, n := range namesOrARNs {
		names[i] = tableName(n)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		t, err := db.open(name)
		if err != nil {
			out.close()
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

func (o opened) close() {
	for _, t := range o {
		t.gate.RUnlock()
	}
}

// item names an item of any table.
type item struct {
	table *table
	id    primaryKey
}

// stripesOf are the stripes of items, each once, in the one order in which anybody locks several.
func stripesOf(items []item) []*stripe {
	type located struct {
		table  string
		number int
		stripe *stripe
	}
	found := map[*stripe]located{}
	for _, it := range items {
		part := placeOf(it.id.hash)
		s := it.table.stripe(part)
		found[s] = located{it.table.name, part.stripe(), s}
	}
	ordered := slices.SortedFunc(maps.Values(found), func(a, b located) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.number, b.number))
	})
	out := make([]*stripe, len(ordered))
	for i, l := range ordered {
		out[i] = l.stripe
	}
	return out
}

// cancellationReason tells of one item of a cancelled transaction, in the order of the request.
type cancellationReason struct {
	Code    string
	Message string    `json:",omitempty"`
	Item    attr.Item `json:",omitempty"`
}

type cancellation []cancellationReason

func newCancellation(n int) cancellation {
	c := make(cancellation, n)
	for i := range c {
		c[i].Code = "None"
	}
	return c
}

// blame puts an item's error among the reasons.
func (c cancellation) blame(i int, err error) {
	e, ok := errors.AsType[*awsjson.Error](err)
	if !ok {
		e = awsjson.Errorf("InternalServerError", "%s", err.Error())
	}
	reason := cancellationReason{Code: e.Code, Message: e.Message}
	switch e.Code {
	case "ConditionalCheckFailedException":
		reason.Code = "ConditionalCheckFailed"
	case "ValidationException":
		reason.Code = "ValidationError"
	}
	reason.Item, _ = e.Fields["Item"].(attr.Item)
	c[i] = reason
}

func (c cancellation) conflict(i int) {
	c[i] = cancellationReason{Code: "TransactionConflict", Message: "Transaction is ongoing for the item"}
}

// err is nil unless some item is to blame.
func (c cancellation) err() error {
	codes := make([]string, len(c))
	cancelled := false
	for i, r := range c {
		codes[i] = r.Code
		cancelled = cancelled || r.Code != "None"
	}
	if !cancelled {
		return nil
	}
	e := awsjson.Errorf("TransactionCanceledException",
		"Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	e.Fields = map[string]any{"CancellationReasons": []cancellationReason(c)}
	return e
}

func distinctItems(items []item) error {
	seen := map[item]bool{}
	for _, it := range items {
		if seen[it] {
			return invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[it] = true
	}
	return nil
}

func checkTransactItems(k *constraints, n int) {
	k.length(n, "[…]", "transactItems", 1, maxTransactItems)
}

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

// transactGetItems reads all items as of one moment, or is cancelled by an ongoing transaction.
func (db *DB) transactGetItems(_ context.Context, in *transactGetItemsInput) (*transactGetItemsOutput, error) {
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
		if err := t.keys.checkKey(it.Get.Key, t.defs); err != nil {
			reasons.blame(i, err)
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
	found := readTogether(items, reasons)
	if err := reasons.err(); err != nil {
		return nil, err
	}
	return in.answer(items, found)
}

// readTogether reads while it holds all stripes, and blames items that an ongoing transaction holds.
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

func (in *transactGetItemsInput) answer(items []item, found []attr.Item) (*transactGetItemsOutput, error) {
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
	out.ConsumedCapacity = transactional(costs.report(in.ReturnConsumedCapacity), false)
	return out, nil
}
