// Package journal takes the changes of the services' state to a store, in the order in which they are made.
//
// The state is a set of entities, each with a key: an item, a message, the description of a table. Whatever follows from them
// (indexes, counts, heaps) is not stored but made again from them. The rules that make a restart exact:
//
//   - A service adds a change while it holds the lock that guards what has changed, so an entity's changes are in their order.
//   - What belongs together is one batch, which the store applies as a whole.
//   - No answer is sent before Flush has returned, so whatever a client has seen is stored, its own change or not.
//
// A nil Journal keeps nothing: all of its methods can be called, and cost nothing.
package journal

import (
	"fmt"
	"sync"
)

// Change puts an entity, or removes it.
type Change struct {
	Key   []byte
	Value []byte // nil removes the entity
}

// Store is what a Journal writes to; see localaws.Store.
type Store interface {
	Each(prefix []byte, f func(key, value []byte) error) error
	Write(changes []Change) error
}

// Journal takes changes to a store.
type Journal struct {
	store Store

	sections sync.RWMutex // held shared by a Section

	mu      sync.Mutex
	pending []Change

	writing sync.Mutex // held while the store is written
	err     error      // of the first write that failed; nothing is written after it
}

// New returns the journal of a store.
func New(s Store) *Journal { return &Journal{store: s} }

// Add adds a batch. The caller holds the lock that guards what has changed.
func (j *Journal) Add(b Batch) {
	if j == nil || len(b) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending = append(j.pending, b...)
}

// Section adds what f changes as one batch. It is for changes that others can see before all of them are made, and that no single
// lock guards: a Flush that has begun waits until f has returned. The batch is nil if nothing is kept. In f, no lock may be taken
// whose holders call Section or Flush.
func (j *Journal) Section(f func(*Batch)) {
	if j == nil {
		f(nil)
		return
	}
	j.sections.RLock()
	defer j.sections.RUnlock()
	var b Batch
	f(&b)
	j.Add(b)
}

// Flush returns when everything that was added before is in the store. Calls that run at the same time share a write. The caller
// holds no lock. After an error, the state in memory is ahead of the store, so every later Flush returns it as well.
func (j *Journal) Flush() error {
	if j == nil {
		return nil
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	changes := j.take()
	if j.err != nil || len(changes) == 0 {
		return j.err
	}
	if err := j.store.Write(changes); err != nil {
		j.err = fmt.Errorf("keep the state: %w", err)
	}
	return j.err
}

// take takes what was added, after the sections that have begun.
func (j *Journal) take() []Change {
	j.sections.Lock()
	defer j.sections.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	changes := j.pending
	j.pending = nil
	return changes
}
