package dynamodb

import (
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/expr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
const maxItem = 400 << 10

// conditional is the members that every write may have besides the item.
type conditional struct {
	ConditionExpression                 *string           `json:",omitempty"`
	ExpressionAttributeNames            map[string]string `json:",omitempty"`
	ExpressionAttributeValues           expr.Values       `json:",omitempty"`
	ReturnValuesOnConditionCheckFailure string            `json:",omitempty"`
}

func (c *conditional) check(k *constraints) {
	k.oneOf(c.ReturnValuesOnConditionCheckFailure, "returnValuesOnConditionCheckFailure", "ALL_OLD", "NONE")
}

// source is an expression of a request and its member's name; a nil text means that it is absent.
type source struct {
	member string
	text   *string
}

// placeholders returns the placeholders for the given expressions. Without any expression, names and values are refused.
func placeholders(names map[string]string, values expr.Values, sources ...source) (*expr.Placeholders, error) {
	absent := make([]string, 0, len(sources))
	for _, s := range sources {
		if s.text == nil {
			absent = append(absent, s.member)
		}
	}
	if len(absent) == len(sources) {
		if names != nil {
			return nil, invalid("ExpressionAttributeNames can only be specified when using expressions")
		}
		if values != nil {
			is := " is null"
			if len(absent) > 1 {
				is = " are null"
			}
			return nil, invalid("ExpressionAttributeValues can only be specified when using expressions: %s%s",
				strings.Join(absent, " and "), is)
		}
	}
	return expr.NewPlaceholders(names, values)
}

// parsed holds a write's expressions, either of which may be nil.
type parsed struct {
	condition *expr.Condition
	update    *expr.Update
}

// parse parses a write's expressions. updating is true if the operation can have an update expression.
func (c *conditional) parse(update *string, updating bool) (parsed, error) {
	sources := []source{{"ConditionExpression", c.ConditionExpression}}
	if updating {
		sources = append([]source{{"UpdateExpression", update}}, sources...)
	}
	p, err := placeholders(c.ExpressionAttributeNames, c.ExpressionAttributeValues, sources...)
	if err != nil {
		return parsed{}, err
	}
	var out parsed
	if update != nil {
		if out.update, err = expr.ParseUpdate(*update, p); err != nil {
			return parsed{}, err
		}
	}
	if c.ConditionExpression != nil {
		if out.condition, err = expr.ParseCondition("ConditionExpression", *c.ConditionExpression, p); err != nil {
			return parsed{}, err
		}
	}
	return out, p.CheckUsed()
}

// write is the change of one item, checked as far as possible without the item.
type write struct {
	table     *table
	id        primaryKey
	key       attr.Item
	condition *expr.Condition
	returnOld bool // in the error of a failed condition
	checkOnly bool
	size      int // of the request's key or item, for the limit of a transaction
	next      func(old attr.Item) (attr.Item, error)
}

func (t *table) newWrite(key attr.Item, c conditional, p parsed) *write {
	return &write{
		table: t, id: t.keys.bytes(key), key: key, condition: p.condition, size: key.Size(),
		returnOld: c.ReturnValuesOnConditionCheckFailure == "ALL_OLD",
	}
}

func (t *table) newPut(item attr.Item, c conditional, p parsed) (*write, error) {
	if err := t.keys.checkItemKey(item, t.defs); err != nil {
		return nil, err
	}
	for _, ix := range t.indexes {
		if err := ix.check(item, t.defs, false); err != nil {
			return nil, err
		}
	}
	w := t.newWrite(t.keys.of(item), c, p)
	if w.size = item.Size(); w.size > maxItem {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	w.next = func(attr.Item) (attr.Item, error) { return item, nil }
	return w, nil
}

func (t *table) newDelete(key attr.Item, c conditional, p parsed) (*write, error) {
	if err := t.keys.checkKey(key, t.defs); err != nil {
		return nil, err
	}
	w := t.newWrite(key, c, p)
	w.next = func(attr.Item) (attr.Item, error) { return nil, nil }
	return w, nil
}

func (t *table) newCheck(key attr.Item, c conditional, p parsed) (*write, error) {
	if err := t.keys.checkKey(key, t.defs); err != nil {
		return nil, err
	}
	w := t.newWrite(key, c, p)
	w.checkOnly = true
	w.next = func(old attr.Item) (attr.Item, error) { return old, nil }
	return w, nil
}

func (t *table) newUpdate(key attr.Item, c conditional, p parsed) (*write, error) {
	if err := t.keys.checkKey(key, t.defs); err != nil {
		return nil, err
	}
	if p.update != nil {
		for _, name := range p.update.TopLevel() {
			if t.keys.has(name) {
				return nil, invalidParameter("Cannot update attribute %s. This attribute is part of the key", name)
			}
		}
	}
	w := t.newWrite(key, c, p)
	w.next = func(old attr.Item) (attr.Item, error) { return t.updated(key, old, p.update) }
	return w, nil
}

func (t *table) updated(key, old attr.Item, update *expr.Update) (attr.Item, error) {
	next := old
	if old == nil {
		next = key
	}
	if update != nil {
		var err error
		if next, err = update.Apply(next); err != nil {
			return nil, err
		}
		if old == nil && !update.Creates() {
			return nil, nil
		}
	}
	for _, ix := range t.indexes {
		if err := ix.check(next, t.defs, true); err != nil {
			return nil, err
		}
	}
	if next.Size() > maxItem {
		return nil, invalid("Item size to update has exceeded the maximum allowed size")
	}
	return next, nil
}

// plan returns the item's next state, or an error if the condition or the update fails.
func (w *write) plan(old attr.Item) (attr.Item, error) {
	if !w.condition.Matches(old) {
		e := awsjson.Errorf("ConditionalCheckFailedException", "The conditional request failed")
		if w.returnOld && old != nil {
			e.Fields = map[string]any{"Item": old}
		}
		return nil, e
	}
	return w.next(old)
}

func transactionConflict() *awsjson.Error {
	return awsjson.Errorf("TransactionConflictException", "Transaction is ongoing for the item")
}

// change is an item before and after a write; nil means no item.
type change struct {
	before, after attr.Item
	spent         consumption
}

// write does one write outside of a transaction.
func (db *DB) write(w *write) (change, error) {
	s := w.table.stripe(placeOf(w.id.hash))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.marked[w.id]; busy {
		return change{}, transactionConflict()
	}
	before := w.table.item(w.id)
	after, err := w.plan(before)
	if err != nil {
		return change{}, err
	}
	done := change{before: before, after: after}
	db.kept.journal.Section(func(b *journal.Batch) {
		done.spent = w.table.store(w.id, before, after, db.options.Now(), nil, b)
	})
	return done, nil
}
