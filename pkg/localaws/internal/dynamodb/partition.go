package dynamodb

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// primaryKey identifies an item within its table by the order-preserving bytes of its key attributes.
type primaryKey struct{ hash, sort string }

// position is an entry's position within its partition. In an index, items with the same sort key are ordered by the
// table's key.
type position struct {
	sort  string
	owner primaryKey
}

func (p position) compare(o position) int {
	return cmp.Or(
		cmp.Compare(p.sort, o.sort),
		cmp.Compare(p.owner.hash, o.owner.hash),
		cmp.Compare(p.owner.sort, o.owner.sort),
	)
}

// entry is an item in a table or an index; immutable. In an index, item is the projection and full the item of the table; in
// a table both are the same.
type entry struct {
	at         position
	item, full attr.Item
	size       int
}

// partition holds the entries of one partition key in the order of their sort keys.
type partition struct {
	place   place
	entries []*entry
	bytes   int
}

func (p *partition) search(at position) (int, bool) {
	if n := len(p.entries); n > 0 && p.entries[n-1].at.compare(at) < 0 {
		return n, false // appending is the common case
	}
	return slices.BinarySearchFunc(p.entries, at, func(e *entry, at position) int { return e.at.compare(at) })
}

// place orders partitions by a hash of the partition key, as AWS does: scans are stable, and segments and stripes are ranges
// of the hash.
type place struct {
	hash uint64
	key  string
}

func placeOf(key string) place {
	h := uint64(14695981039346656037) // FNV-1a …
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd // … and MurmurHash3's finaliser, for even high bits
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return place{hash: h ^ h>>33, key: key}
}

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.hash, o.hash), cmp.Compare(p.key, o.key))
}

const stripeBits = 6

func (p place) stripe() int { return int(p.hash >> (64 - stripeBits)) }

// stripe is a range of partitions under one lock.
type stripe struct {
	mu         sync.RWMutex
	partitions []*partition            // by place
	marked     map[primaryKey]struct{} // items of ongoing transactions; in tables only
}

func (s *stripe) search(at place) (int, bool) {
	return slices.BinarySearchFunc(s.partitions, at, func(p *partition, at place) int { return p.place.compare(at) })
}

func (s *stripe) partition(at place) *partition {
	if i, ok := s.search(at); ok {
		return s.partitions[i]
	}
	return nil
}

// find requires the lock.
func (s *stripe) find(part place, at position) *entry {
	if p := s.partition(part); p != nil {
		if i, ok := p.search(at); ok {
			return p.entries[i]
		}
	}
	return nil
}

// container holds the entries of a table or an index, in stripes with a lock each.
type container struct {
	stripes [1 << stripeBits]stripe
	count   atomic.Int64
	bytes   atomic.Int64
}

func (c *container) stripe(part place) *stripe { return &c.stripes[part.stripe()] }

// put requires the stripe's write lock.
func (c *container) put(part place, e *entry) {
	s := c.stripe(part)
	i, ok := s.search(part)
	if !ok {
		s.partitions = slices.Insert(s.partitions, i, &partition{place: part})
	}
	p := s.partitions[i]
	j, replaces := p.search(e.at)
	grown := e.size
	if replaces {
		grown -= p.entries[j].size
		p.entries[j] = e
	} else {
		p.entries = slices.Insert(p.entries, j, e)
		c.count.Add(1)
	}
	p.bytes += grown
	c.bytes.Add(int64(grown))
}

// remove requires the stripe's write lock.
func (c *container) remove(part place, at position) {
	s := c.stripe(part)
	i, ok := s.search(part)
	if !ok {
		return
	}
	p := s.partitions[i]
	j, ok := p.search(at)
	if !ok {
		return
	}
	size := p.entries[j].size
	p.entries = slices.Delete(p.entries, j, j+1)
	p.bytes -= size
	c.count.Add(-1)
	c.bytes.Add(-int64(size))
	if len(p.entries) == 0 {
		s.partitions = slices.Delete(s.partitions, i, i+1)
	}
}
