package dynamodb

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const (
	maxTransactItems = 100
	maxTransactBytes = 4 << 20
)

// opened are the tables of a request, by name, each with its gate held shared.
type opened map[string]*table

// openAll opens each table once, in the order of their names, which prevents deadlocks.
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

// item identifies an item of any table.
type item struct {
	table *table
	id    primaryKey
}

// stripesOf returns each stripe of the items once, in the order in which several must be locked.
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

// transaction writes all of its items or none. It marks them, decides on their current state, and then makes all changes
// while it holds the locks of all their stripes. A marked item refuses every other write until the transaction has ended,
// but no read.
type transaction struct {
	writes  []*write
	items   []item
	stripes []*stripe
}

func newTransaction(tables opened, steps []step) (*transaction, error) {
	tx := &transaction{writes: make([]*write, len(steps)), items: make([]item, len(steps))}
	reasons := newCancellation(len(steps))
	bytes := 0
	for i, s := range steps {
		w, err := s.build(tables[tableName(s.table)])
		if isEmptyKey(err) {
			return nil, err
		}
		if err != nil {
			reasons.fail(i, err)
			continue
		}
		tx.writes[i], tx.items[i] = w, item{w.table, w.id}
		bytes += w.size
	}
	if err := reasons.err(); err != nil {
		return nil, err
	}
	if err := distinctItems(tx.items); err != nil {
		return nil, err
	}
	tx.stripes = stripesOf(tx.items)
	return tx, checkAggregate(bytes)
}

func checkAggregate(bytes int) error {
	if bytes > maxTransactBytes {
		return invalid("Aggregate size of items in the transaction cannot exceed 4 MB")
	}
	return nil
}

// run calls done with the changes that were made, to journal what belongs to them.
func (tx *transaction) run(db *DB, done func([]change, *journal.Batch)) ([]change, error) {
	if err := tx.mark(); err != nil {
		return nil, err
	}
	changes, err := tx.plan()
	if err != nil {
		tx.locked(tx.unmark)
		return nil, err
	}
	tx.locked(func() {
		db.kept.journal.Section(func(b *journal.Batch) {
			tx.commit(changes, db.options.Now(), b)
			done(changes, b)
		})
		tx.unmark()
	})
	return changes, nil
}

func (tx *transaction) locked(f func()) {
	for _, s := range tx.stripes {
		s.mu.Lock()
	}
	f()
	for _, s := range tx.stripes {
		s.mu.Unlock()
	}
}

// mark marks all items, or none if another transaction has marked one.
func (tx *transaction) mark() error {
	reasons := newCancellation(len(tx.items))
	var err error
	tx.locked(func() {
		for i, it := range tx.items {
			if _, busy := it.stripe().marked[it.id]; busy {
				reasons.conflict(i)
			}
		}
		if err = reasons.err(); err != nil {
			return
		}
		for _, it := range tx.items {
			s := it.stripe()
			if s.marked == nil {
				s.marked = map[primaryKey]struct{}{}
			}
			s.marked[it.id] = struct{}{}
		}
	})
	return err
}

func (it item) stripe() *stripe { return it.table.stripe(placeOf(it.id.hash)) }

func (tx *transaction) unmark() {
	for _, it := range tx.items {
		delete(it.stripe().marked, it.id)
	}
}

// plan decides every write. The marks prevent other writes to the items.
func (tx *transaction) plan() ([]change, error) {
	changes := make([]change, len(tx.writes))
	reasons := newCancellation(len(tx.writes))
	bytes := 0
	for i, w := range tx.writes {
		before := w.table.read(w.id)
		after, err := w.plan(before)
		if err != nil {
			reasons.fail(i, err)
			continue
		}
		changes[i] = change{before: before, after: after}
		if !w.checkOnly {
			bytes += max(w.size, after.Size())
		}
	}
	if err := reasons.err(); err != nil {
		return nil, err
	}
	return changes, checkAggregate(bytes)
}

func (tx *transaction) commit(changes []change, now time.Time, b *journal.Batch) {
	for i, w := range tx.writes {
		c := &changes[i]
		if w.checkOnly {
			c.spent = consumption{table: writeUnits(c.before.Size())}
			continue
		}
		c.spent = w.table.store(w.id, c.before, c.after, now, nil, b)
	}
}

// repeatedCost is what repeating the transaction will cost: reading its items.
func (tx *transaction) repeatedCost(changes []change) bill {
	costs := bill{}
	for i, c := range changes {
		costs.add(tx.writes[i].table.name, consumption{table: 2 * readUnits(c.after.Size(), true)})
	}
	return costs
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
