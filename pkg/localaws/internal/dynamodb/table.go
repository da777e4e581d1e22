package dynamodb

import (
	"math"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// table is one table. Every operation on its items holds gate shared; a change of the table itself holds it exclusively.
type table struct {
	kept      kept
	name      string
	arn, id   string
	createdAt time.Time
	keys      keySchema

	gate     sync.RWMutex
	deleted  bool
	defs     definitions
	indexes  []*index
	stream   *stream // nil while disabled
	lastARN  string  // ARN of the newest stream, enabled or not
	expiry   expiry
	settings settings
	tags     map[string]string

	container
}

func notFound() *awsjson.Error {
	return awsjson.Errorf("ResourceNotFoundException", "Requested resource not found")
}

func tableNotFound(name string) *awsjson.Error {
	return awsjson.Errorf("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
}

// table returns a table without locking it; nil if there is none.
func (db *DB) table(nameOrARN string) *table {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.tables[tableName(nameOrARN)]
}

// open returns a table for an operation on its items, after deleting expired ones. The caller must call t.gate.RUnlock.
func (db *DB) open(nameOrARN string) (*table, error) {
	t := db.table(nameOrARN)
	if t == nil {
		return nil, notFound()
	}
	t.gate.RLock()
	if t.deleted {
		t.gate.RUnlock()
		return nil, notFound()
	}
	t.expire(db.options.Now())
	return t, nil
}

func (t *table) index(name string) *index {
	for _, ix := range t.indexes {
		if ix.name == name {
			return ix
		}
	}
	return nil
}

// locate returns where an item is stored.
func (t *table) locate(id primaryKey) (place, position) {
	return placeOf(id.hash), position{sort: id.sort}
}

// item returns the current item, or nil if there is none. It requires the lock of the item's stripe.
func (t *table) item(id primaryKey) attr.Item {
	part, at := t.locate(id)
	if e := t.container.stripe(part).find(part, at); e != nil {
		return e.item
	}
	return nil
}

// read is item under the lock.
func (t *table) read(id primaryKey) attr.Item {
	s := t.stripe(placeOf(id.hash))
	s.mu.RLock()
	defer s.mu.RUnlock()
	return t.item(id)
}

// store changes an item from before to after (nil means no item), with its index entries, and appends to the stream. It
// requires the write lock of the item's stripe, so the stream has an item's records in the order of its writes. It adds the change
// to b, if there is one, which must be journaled under the same lock.
func (t *table) store(
	id primaryKey, before, after attr.Item, now time.Time, by *identity, b *journal.Batch,
) consumption {
	spent := consumption{table: writeUnits(max(before.Size(), after.Size()))}
	if before == nil && after == nil || before != nil && after != nil && before.Equal(after) {
		return spent
	}
	t.saveItem(id, after, b)
	part, at := t.locate(id)
	if after == nil {
		t.remove(part, at)
	} else {
		t.insert(id, after)
	}
	for _, ix := range t.indexes {
		spent.index(ix, ix.apply(before, after))
	}
	if t.stream != nil {
		t.stream.append(part, t.keys, before, after, now, by, b)
	}
	return spent
}

// insert puts an item in the table alone, neither in its indexes nor in its stream.
func (t *table) insert(id primaryKey, item attr.Item) {
	part, at := t.locate(id)
	t.put(part, &entry{at: at, item: item, full: item, size: item.Size()})
	t.expiry.watch(id, item)
}

// each visits every item. It requires the gate exclusively.
func (t *table) each(visit func(attr.Item)) {
	for i := range t.stripes {
		for _, p := range t.stripes[i].partitions {
			for _, e := range p.entries {
				visit(e.item)
			}
		}
	}
}

// collectionSize returns the size of all items with one partition key, in the table and its local indexes.
func (t *table) collectionSize(hash string) int {
	part := placeOf(hash)
	total := 0
	measure := func(c *container) {
		s := c.stripe(part)
		s.mu.RLock()
		defer s.mu.RUnlock()
		if p := s.partition(part); p != nil {
			total += p.bytes
		}
	}
	measure(&t.container)
	for _, ix := range t.indexes {
		if ix.local {
			measure(&ix.container)
		}
	}
	return total
}

type itemCollectionMetrics struct {
	ItemCollectionKey   attr.Item
	SizeEstimateRangeGB [2]float64
}

// metrics returns the ItemCollectionMetrics of a response. Only tables with local indexes have item collections.
func (t *table) metrics(choice string, key attr.Item) *itemCollectionMetrics {
	if choice != "SIZE" || t.localIndexes() == 0 {
		return nil
	}
	hash := key[t.keys.hash]
	gigabytes := math.Floor(float64(t.collectionSize(string(hash.KeyBytes()))) / (1 << 30))
	return &itemCollectionMetrics{attr.Item{t.keys.hash: hash}, [2]float64{gigabytes, gigabytes + 1}}
}
