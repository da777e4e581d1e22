package dynamodb

import (
	"context"
	"crypto/sha256"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

// transactWriteItem has exactly one of its members set.
type transactWriteItem struct {
	ConditionCheck *transactAction `json:",omitempty"`
	Put            *transactAction `json:",omitempty"`
	Delete         *transactAction `json:",omitempty"`
	Update         *transactAction `json:",omitempty"`
}

// transactAction is any of the four: a Put has an Item, the others a Key, and an Update also its expression.
type transactAction struct {
	TableName string
	conditional
	Item             attr.Item `json:",omitempty"`
	Key              attr.Item `json:",omitempty"`
	UpdateExpression *string   `json:",omitempty"`
}

type transactWriteItemsInput struct {
	TransactItems               []transactWriteItem
	ClientRequestToken          *string
	ReturnConsumedCapacity      capacityChoice
	ReturnItemCollectionMetrics string
}

type transactWriteItemsOutput struct {
	ConsumedCapacity      []consumedCapacity                  `json:",omitempty"`
	ItemCollectionMetrics map[string][]*itemCollectionMetrics `json:",omitempty"`
}

// step is a transactWriteItem, parsed as far as possible without its table.
type step struct {
	table string
	build func(*table) (*write, error)
}

func (it transactWriteItem) action() (*transactAction, error) {
	var chosen *transactAction
	for _, a := range []*transactAction{it.ConditionCheck, it.Put, it.Delete, it.Update} {
		if a == nil {
			continue
		}
		if chosen != nil {
			return nil, oneAction()
		}
		chosen = a
	}
	if chosen == nil {
		return nil, oneAction()
	}
	return chosen, nil
}

func oneAction() error {
	return invalid("TransactItems can only contain one of Check, Put, Update or Delete")
}

func (it transactWriteItem) check(k *constraints) error {
	a, err := it.action()
	if err != nil {
		return err
	}
	k.table(a.TableName)
	a.check(k)
	if it.Put != nil {
		k.required(a.Item != nil, "transactItems.member.put.item")
	} else {
		k.required(a.Key != nil, "transactItems.member.key")
	}
	if it.Update != nil {
		k.required(a.UpdateExpression != nil, "transactItems.member.update.updateExpression")
	}
	if it.ConditionCheck != nil {
		k.required(a.ConditionExpression != nil, "transactItems.member.conditionCheck.conditionExpression")
	}
	return nil
}

// step requires a checked item.
func (it transactWriteItem) step() (step, error) {
	a, err := it.action()
	if err != nil {
		return step{}, err
	}
	p, err := a.parse(a.UpdateExpression, it.Update != nil)
	s := step{table: a.TableName}
	switch {
	case it.Put != nil:
		s.build = func(t *table) (*write, error) { return t.newPut(a.Item, a.conditional, p) }
	case it.Delete != nil:
		s.build = func(t *table) (*write, error) { return t.newDelete(a.Key, a.conditional, p) }
	case it.Update != nil:
		s.build = func(t *table) (*write, error) { return t.newUpdate(a.Key, a.conditional, p) }
	default:
		s.build = func(t *table) (*write, error) { return t.newCheck(a.Key, a.conditional, p) }
	}
	return s, err
}

// steps checks and parses the request as far as possible without its tables.
func (in *transactWriteItemsInput) steps() ([]step, error) {
	k := &constraints{}
	checkTransactItems(k, len(in.TransactItems))
	in.ReturnConsumedCapacity.check(k)
	k.oneOf(in.ReturnItemCollectionMetrics, "returnItemCollectionMetrics", "SIZE", "NONE")
	if in.ClientRequestToken != nil {
		k.length(len(*in.ClientRequestToken), *in.ClientRequestToken, "clientRequestToken", 1, 36)
	}
	for _, it := range in.TransactItems {
		if err := it.check(k); err != nil {
			return nil, err
		}
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	out := make([]step, len(in.TransactItems))
	for i, it := range in.TransactItems {
		var err error
		if out[i], err = it.step(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (db *DB) transactWriteItems(ctx context.Context, in *transactWriteItemsInput) (*transactWriteItemsOutput, error) {
	steps, err := in.steps()
	if err != nil {
		return nil, err
	}
	if in.ClientRequestToken == nil {
		out, _, err := db.transact(ctx, in, steps, nil)
		return out, err
	}
	request, err := awsjson.Marshal(in.TransactItems) // maps are sorted, so equal requests have equal texts
	if err != nil {
		return nil, err
	}
	claim, err := db.tokens.begin(*in.ClientRequestToken, sha256.Sum256(request), db.options.Now())
	if err != nil {
		return nil, err
	}
	if claim.done { // no effect, and the cost of reading the items
		units.Read(ctx, claim.cost.total())
		return &transactWriteItemsOutput{ConsumedCapacity: transactional(claim.cost.report(in.ReturnConsumedCapacity), false)}, nil
	}
	out, cost, err := db.transact(ctx, in, steps, claim)
	db.tokens.end(claim, err == nil, cost, db.options.Now())
	return out, err
}

// transact also returns what repeating the request will cost. The claim is the request's token, nil if it has none.
func (db *DB) transact(
	ctx context.Context, in *transactWriteItemsInput, steps []step, claim *token,
) (*transactWriteItemsOutput, bill, error) {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.table
	}
	tables, err := db.openAll(names)
	if err != nil {
		return nil, nil, err
	}
	defer tables.close()
	tx, err := newTransaction(tables, steps)
	if err != nil {
		return nil, nil, err
	}
	if err := injectedConflict(ctx, len(steps)); err != nil {
		return nil, nil, err
	}
	changes, err := tx.run(db, func(changes []change, b *journal.Batch) {
		db.tokens.save(claim, tx.repeatedCost(changes), db.options.Now(), b)
	})
	if err != nil {
		return nil, nil, err
	}
	costs, metrics := bill{}, map[string][]*itemCollectionMetrics{}
	for i, c := range changes {
		w := tx.writes[i]
		c.spent.scale(2)
		costs.add(w.table.name, c.spent)
		if m := w.table.metrics(in.ReturnItemCollectionMetrics, w.key); m != nil && !w.checkOnly {
			metrics[w.table.name] = append(metrics[w.table.name], m)
		}
	}
	units.Write(ctx, costs.total())
	return &transactWriteItemsOutput{
		ConsumedCapacity:      transactional(costs.report(in.ReturnConsumedCapacity), true),
		ItemCollectionMetrics: metrics,
	}, tx.repeatedCost(changes), nil
}
