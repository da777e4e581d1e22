package eventsourcing

import (
	"container/list"
	"sync"
)

// Cache keeps the newest states that a Repository has seen and evicts the least recently used. A state in it was true
// once and may be old. Safe for concurrent use; a nil Cache holds nothing. States are shared, so Evolve must never change
// the one it is given.
type Cache[S any] struct {
	size int

	mu     sync.Mutex
	order  *list.List // of versioned[S], the one used last in front
	places map[string]*list.Element
}

// versioned is the state of an aggregate at a version.
type versioned[S any] struct {
	id      string
	state   S
	version Version
	last    string // the ID of the event at that version
}

// CacheUse says what the cache did for a command.
type CacheUse string

// The uses of a Cache.
const (
	CacheHit   CacheUse = "hit"   // the command needed no read
	CacheStale CacheUse = "stale" // the cached state was old: the later events were read
	CacheMiss  CacheUse = "miss"  // nothing was known: the stream was read
)

// NewCache returns a Cache with room for that many aggregates.
func NewCache[S any](size int) *Cache[S] {
	return &Cache[S]{size: size, order: list.New(), places: map[string]*list.Element{}}
}

// Len counts the aggregates held.
func (c *Cache[S]) Len() int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.places)
}

// newest returns what is known of the aggregate, or its absence: the zero state at version 0.
func (c *Cache[S]) newest(id string) (m versioned[S], known bool) {
	m.id = id
	if c == nil {
		return m, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	place, known := c.places[id]
	if known {
		m, _ = place.Value.(versioned[S])
	}
	return m, known
}

// keep makes m the newest state, unless a newer one is known.
func (c *Cache[S]) keep(m versioned[S]) {
	if c == nil || c.size <= 0 || m.version == 0 {
		return // an absent stream must not evict one that exists
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, known := c.places[m.id]; known {
		if old, _ := place.Value.(versioned[S]); m.version > old.version {
			place.Value = m
		}
		c.order.MoveToFront(place)
		return
	}
	c.places[m.id] = c.order.PushFront(m)
	if c.order.Len() > c.size {
		oldest, _ := c.order.Remove(c.order.Back()).(versioned[S])
		delete(c.places, oldest.id)
	}
}
