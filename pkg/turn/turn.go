// Package turn is a mutex for whoever holds one across calls of AWS.
package turn

// Mutex is a channel, because testing/synctest sees waiting for a sync.Mutex as being busy: time would stand still.
type Mutex chan struct{}

// New returns a Mutex that is free.
func New() Mutex { return make(Mutex, 1) }

// Lock waits until the Mutex is free and takes it.
func (m Mutex) Lock() { m <- struct{}{} }

// Unlock gives the Mutex back.
func (m Mutex) Unlock() { <-m }
