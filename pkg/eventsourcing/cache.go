package eventsourcing

import (
	"container/list"
	"sync"
)

// Cache keeps the newest states that a Repository has seen, as many as it has room for; the least recently used one
// goes first. What it holds was true once and may be old: streams only grow. Safe for concurrent use; a nil Cache holds
// nothing. States are shared, so Evolve must never change the one it is given.
type Cache[S any] struct {
	size int

	mu     sync.Mutex
	order  *list.List // of moment[S], the one used last in front
	places map[string]*list.Element
}

// moment is the state of an aggregate at a version.
type moment[S any] struct {
	id      string
	state   S
	version Version
}

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
func (c *Cache[S]) newest(id string) (m moment[S], known bool) {
	m.id = id
	if c == nil {
		return m, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	place, known := c.places[id]
	if known {
		m, _ = place.Value.(moment[S])
	}
	return m, known
}

// keep makes m the newest state, unless a newer one is known. Whatever uses a state keeps it in the end.
func (c *Cache[S]) keep(m moment[S]) {
	if c == nil || c.size <= 0 || m.version == 0 {
		return // whoever asks for what does not exist must not push out what does
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if place, known := c.places[m.id]; known {
		if old, _ := place.Value.(moment[S]); m.version > old.version {
			place.Value = m
		}
		c.order.MoveToFront(place)
		return
	}
	c.places[m.id] = c.order.PushFront(m)
	if c.order.Len() > c.size {
		oldest, _ := c.order.Remove(c.order.Back()).(moment[S])
		delete(c.places, oldest.id)
	}
}
