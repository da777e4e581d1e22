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
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
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

// struckConflict is a fault: somebody else's transaction holds one of n items.
func struckConflict(ctx context.Context, n int) error {
	fault := faults.On(ctx, faults.TransactionConflict)
	if !fault.Take() {
		return nil
	}
	reasons := newCancellation(n)
	reasons.conflict(fault.Pick(n))
	return reasons.err()
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
