package dynamodb

import (
	"cmp"
	"container/heap"
	"math"
	"math/big"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// Items whose time is further in the past are never deleted, so a mistaken unit does not empty a table.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
const oldestExpiry = 5 * 365 * 24 * time.Hour

// expiryDelay is how long an expired item is still read, written and billed. AWS deletes it "within a few days"; every delay is
// right, and none would hide that clients must not rely on the deletion.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html
const expiryDelay = time.Hour

// expiry orders the items of a table by when they expire. Its entries are not updated when an item changes: a popped entry
// is compared with the current item instead.
type expiry struct {
	attribute string // "" while TTL is disabled
	next      atomic.Int64
	mu        sync.Mutex
	due       dueHeap
}

type dueItem struct {
	at int64
	id primaryKey
}

type dueHeap []dueItem

func (h dueHeap) Len() int { return len(h) }

// Less orders items that are due together by their keys, so that a restart does not change the order.
func (h dueHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].at, h[j].at), cmp.Compare(h[i].id.hash, h[j].id.hash), cmp.Compare(h[i].id.sort, h[j].id.sort)) < 0
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(dueItem)) } //nolint:errcheck,forcetypeassert // watch pushes nothing else
func (h *dueHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// expiresAt returns the second after which an item is due; false for an item without a valid time.
func (x *expiry) expiresAt(item attr.Item) (int64, bool) {
	v := item[x.attribute]
	if x.attribute == "" || v.Kind() != attr.Number {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(v.Text())
	if !ok {
		return 0, false
	}
	seconds := new(big.Int).Quo(r.Num(), r.Denom())
	return seconds.Int64(), seconds.IsInt64()
}

func (x *expiry) watch(id primaryKey, item attr.Item) {
	at, ok := x.expiresAt(item)
	if !ok {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	heap.Push(&x.due, dueItem{at, id})
	x.next.Store(x.due[0].at)
}

// take removes and returns the entries that were due before a second.
func (x *expiry) take(before int64) []dueItem {
	if x.attribute == "" || x.next.Load() >= before {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []dueItem
	for len(x.due) > 0 && x.due[0].at < before {
		out = append(out, heap.Pop(&x.due).(dueItem)) //nolint:errcheck,forcetypeassert // watch pushes nothing else
	}
	x.settle()
	return out
}

func (x *expiry) putBack(d dueItem) {
	x.mu.Lock()
	defer x.mu.Unlock()
	heap.Push(&x.due, d)
	x.settle()
}

func (x *expiry) settle() {
	if len(x.due) == 0 {
		x.next.Store(math.MaxInt64)
		return
	}
	x.next.Store(x.due[0].at)
}

// byService is the identity of a deletion by the service.
var byService = &identity{PrincipalID: "dynamodb.amazonaws.com", Type: "Service"}

// startExpiry schedules the expiry of every item by an attribute. It requires the gate exclusively.
func (t *table) startExpiry(attribute string) {
	t.expiry.attribute = attribute
	t.expiry.due = nil
	t.expiry.next.Store(math.MaxInt64)
	t.each(func(item attr.Item) { t.expiry.watch(t.keys.bytes(item), item) })
}

func (t *table) stopExpiry() {
	t.expiry.attribute, t.expiry.due = "", nil
}

// expire deletes the items that expired more than expiryDelay ago, as the service does. It is called before any other access
// to the table.
func (t *table) expire(now time.Time) {
	for _, d := range t.expiry.take(now.Add(-expiryDelay).Unix()) {
		t.expireItem(d, now)
	}
}

func (t *table) expireItem(d dueItem, now time.Time) {
	s := t.stripe(placeOf(d.id.hash))
	s.mu.Lock()
	defer s.mu.Unlock()
	item := t.item(d.id)
	at, ok := t.expiry.expiresAt(item)
	if !ok || at != d.at || at < now.Add(-oldestExpiry).Unix() {
		return
	}
	if _, busy := s.marked[d.id]; busy {
		t.expiry.putBack(d)
		return
	}
	t.kept.journal.Section(func(b *journal.Batch) { t.store(d.id, item, nil, now, byService, b) })
}
