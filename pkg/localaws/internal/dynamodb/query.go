package dynamodb

import (
	"context"
	"sort"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/expr"
)

type queryInput struct {
	pageOptions
	KeyConditionExpression *string
	ScanIndexForward       *bool
}

func (db *DB) query(ctx context.Context, in *queryInput) (*pageOutput, error) {
	if err := in.constraints().err(); err != nil {
		return nil, err
	}
	if in.KeyConditionExpression == nil {
		return nil, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	if err := in.checkSelect(); err != nil {
		return nil, err
	}
	placeholders, err := expr.NewPlaceholders(in.ExpressionAttributeNames, in.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	t, err := db.open(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	v, err := in.view(t)
	if err != nil {
		return nil, err
	}
	cond, err := expr.ParseKeyCondition(*in.KeyConditionExpression, placeholders, v.keys.hash, v.keys.sort)
	if err != nil {
		return nil, err
	}
	out, err := in.output(v, placeholders)
	if err != nil {
		return nil, err
	}
	if err := placeholders.CheckUsed(); err != nil {
		return nil, err
	}
	if err := v.checkQuery(cond, out.filter); err != nil {
		return nil, err
	}
	r := keyRange{view: v, cond: cond, backward: in.ScanIndexForward != nil && !*in.ScanIndexForward}
	if in.ExclusiveStartKey != nil {
		if err := r.startAfter(in.ExclusiveStartKey); err != nil {
			return nil, err
		}
	}
	p := in.page()
	r.read(p)
	return in.answer(ctx, v, p, out), nil
}

// checkQuery checks a query's expressions against the schema.
func (v view) checkQuery(cond *expr.KeyCondition, filter *expr.Condition) error {
	if cond.Hash.TypeName() != v.table.defs[v.keys.hash] {
		return conditionTypeMismatch()
	}
	if err := checkKeyValue(v.keys.hash, cond.Hash, true); err != nil {
		return err
	}
	if cond.Range != nil {
		for _, bound := range cond.Range.Operands {
			if bound.TypeName() != v.table.defs[v.keys.sort] {
				return conditionTypeMismatch()
			}
		}
	}
	if filter == nil {
		return nil
	}
	for _, name := range filter.TopLevel() {
		if v.keys.has(name) {
			return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
	}
	return nil
}

func conditionTypeMismatch() error {
	return invalidParameter("Condition parameter type does not match schema type")
}

// keyRange is the part of one partition that a query reads.
type keyRange struct {
	view     view
	cond     *expr.KeyCondition
	backward bool
	start    *position // exclusive
}

func (r *keyRange) startAfter(key attr.Item) error {
	keys := r.view.keys
	if !r.view.isKey(key) {
		return invalid("The provided starting key is invalid")
	}
	if !key[keys.hash].Equal(r.cond.Hash) {
		return invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	if r.cond.Range != nil && !r.cond.Range.Matches(key[keys.sort]) {
		return invalid("The provided starting key does not match the range key predicate")
	}
	_, at := r.view.locate(key)
	r.start = &at
	return nil
}

// read fills the page from the range.
func (r *keyRange) read(p *page) {
	part := placeOf(string(r.cond.Hash.KeyBytes()))
	s := r.view.container.stripe(part)
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := s.partition(part)
	if found == nil {
		return
	}
	from, to := r.window(found.entries)
	for i := range to - from {
		e := found.entries[from+i]
		if r.backward {
			e = found.entries[to-1-i]
		}
		if !p.take(e) {
			return
		}
	}
}

// window narrows the entries to [from, to) by binary search: the matches come first after a range's lower bound.
func (r *keyRange) window(entries []*entry) (from, to int) {
	from, to = 0, len(entries)
	if cond := r.cond.Range; cond != nil {
		if low, _, inclusive, _ := cond.Bounds(); low != nil {
			key := string(low.KeyBytes())
			from = sort.Search(to, func(i int) bool {
				return entries[i].at.sort > key || inclusive && entries[i].at.sort == key
			})
		}
		to = from + sort.Search(to-from, func(i int) bool {
			return !cond.Matches(entries[from+i].full[r.view.keys.sort])
		})
	}
	if r.start == nil {
		return from, to
	}
	before := func(i int) bool { return entries[i].at.compare(*r.start) >= 0 }
	behind := func(i int) bool { return entries[i].at.compare(*r.start) > 0 }
	if r.backward {
		return from, max(from, min(to, sort.Search(len(entries), before)))
	}
	return min(to, max(from, sort.Search(len(entries), behind))), to
}
