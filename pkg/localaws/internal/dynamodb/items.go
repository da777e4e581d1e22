package dynamodb

import (
	"context"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/expr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

// writeOptions are the request members that all single-item writes share.
type writeOptions struct {
	TableName string
	conditional
	legacyConditions
	ReturnValues                string
	ReturnConsumedCapacity      capacityChoice
	ReturnItemCollectionMetrics string
}

func (o *writeOptions) constraints() *constraints {
	k := &constraints{}
	k.table(o.TableName)
	o.check(k)
	o.checkLegacy(k)
	o.ReturnConsumedCapacity.check(k)
	k.oneOf(o.ReturnValues, "returnValues", "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
	k.oneOf(o.ReturnItemCollectionMetrics, "returnItemCollectionMetrics", "SIZE", "NONE")
	return k
}

type writeOutput struct {
	Attributes            attr.Item              `json:",omitempty"`
	ConsumedCapacity      *consumedCapacity      `json:",omitempty"`
	ItemCollectionMetrics *itemCollectionMetrics `json:",omitempty"`
}

// single does a write of one item. build makes the write when the table is open; attributes selects the returned attributes.
func (db *DB) single(
	ctx context.Context, o *writeOptions, build func(*table) (*write, error), attributes func(change) attr.Item,
) (*writeOutput, error) {
	t, err := db.open(o.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	w, err := build(t)
	if err != nil {
		return nil, err
	}
	if faults.On(ctx, faults.TransactionConflict).Take() {
		return nil, transactionConflict()
	}
	c, err := db.write(w)
	if err != nil {
		return nil, err
	}
	units.Write(ctx, c.spent.total())
	return &writeOutput{
		Attributes:            attributes(c),
		ConsumedCapacity:      c.spent.report(t.name, o.ReturnConsumedCapacity),
		ItemCollectionMetrics: t.metrics(o.ReturnItemCollectionMetrics, w.key),
	}, nil
}

// oldOnly checks the ReturnValues of writes that can only return the old item.
func (o *writeOptions) oldOnly() error {
	switch o.ReturnValues {
	case "", "NONE", "ALL_OLD":
		return nil
	default:
		return invalid("ReturnValues can only be ALL_OLD or NONE")
	}
}

func (o *writeOptions) old(c change) attr.Item {
	if o.ReturnValues == "ALL_OLD" {
		return c.before
	}
	return nil
}

type putItemInput struct {
	writeOptions
	Item attr.Item
}

func (db *DB) putItem(ctx context.Context, in *putItemInput) (*writeOutput, error) {
	k := in.constraints()
	k.required(in.Item != nil, "item")
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := in.oldOnly(); err != nil {
		return nil, err
	}
	if _, err := in.translate(nil, nil); err != nil {
		return nil, err
	}
	p, err := in.parse(nil, false)
	if err != nil {
		return nil, err
	}
	return db.single(ctx, &in.writeOptions, func(t *table) (*write, error) { return t.newPut(in.Item, in.conditional, p) }, in.old)
}

type deleteItemInput struct {
	writeOptions
	Key attr.Item
}

func (db *DB) deleteItem(ctx context.Context, in *deleteItemInput) (*writeOutput, error) {
	k := in.constraints()
	k.required(in.Key != nil, "key")
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := in.oldOnly(); err != nil {
		return nil, err
	}
	if _, err := in.translate(nil, nil); err != nil {
		return nil, err
	}
	p, err := in.parse(nil, false)
	if err != nil {
		return nil, err
	}
	return db.single(ctx, &in.writeOptions, func(t *table) (*write, error) { return t.newDelete(in.Key, in.conditional, p) }, in.old)
}

type updateItemInput struct {
	writeOptions
	Key              attr.Item
	UpdateExpression *string
	AttributeUpdates map[string]attributeUpdate
}

func (db *DB) updateItem(ctx context.Context, in *updateItemInput) (*writeOutput, error) {
	k := in.constraints()
	k.required(in.Key != nil, "key")
	if err := k.err(); err != nil {
		return nil, err
	}
	update, err := in.translate(in.AttributeUpdates, in.UpdateExpression)
	if err != nil {
		return nil, err
	}
	p, err := in.parse(update, true)
	if err != nil {
		return nil, err
	}
	build := func(t *table) (*write, error) { return t.newUpdate(in.Key, in.conditional, p) }
	return db.single(ctx, &in.writeOptions, build, func(c change) attr.Item { return updatedAttributes(in.ReturnValues, c, p.update) })
}

func updatedAttributes(choice string, c change, update *expr.Update) attr.Item {
	switch choice {
	case "ALL_OLD":
		return c.before
	case "ALL_NEW":
		return c.after
	case "UPDATED_OLD":
		if update != nil && c.before != nil {
			return update.Project(c.before)
		}
	case "UPDATED_NEW":
		if update != nil && c.after != nil {
			return update.Project(c.after)
		}
	}
	return nil
}

type getItemInput struct {
	TableName                string
	Key                      attr.Item
	ConsistentRead           bool
	ReturnConsumedCapacity   capacityChoice
	ProjectionExpression     *string
	ExpressionAttributeNames map[string]string
}

type getItemOutput struct {
	Item             attr.Item         `json:",omitzero"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

func (db *DB) getItem(ctx context.Context, in *getItemInput) (*getItemOutput, error) {
	k := &constraints{}
	k.table(in.TableName)
	k.required(in.Key != nil, "key")
	in.ReturnConsumedCapacity.check(k)
	if err := k.err(); err != nil {
		return nil, err
	}
	projection, err := parseProjection(in.ProjectionExpression, in.ExpressionAttributeNames)
	if err != nil {
		return nil, err
	}
	t, err := db.open(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	if err := t.keys.checkKey(in.Key, t.defs); err != nil {
		return nil, err
	}
	item := t.read(t.keys.bytes(in.Key))
	spent := consumption{table: readUnits(item.Size(), in.ConsistentRead)}
	units.Read(ctx, spent.total())
	return &getItemOutput{
		Item:             project(item, projection),
		ConsumedCapacity: spent.report(t.name, in.ReturnConsumedCapacity),
	}, nil
}

// parseProjection parses the only expression of a request; nil if there is none.
func parseProjection(text *string, names map[string]string) (*expr.Projection, error) {
	p, err := placeholders(names, nil, source{"ProjectionExpression", text})
	if err != nil || text == nil {
		return nil, err
	}
	out, err := expr.ParseProjection(*text, p)
	if err != nil {
		return nil, err
	}
	return out, p.CheckUsed()
}

func project(item attr.Item, p *expr.Projection) attr.Item {
	if item == nil || p == nil {
		return item
	}
	return p.Apply(item)
}
