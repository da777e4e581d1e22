package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// ledger is where all workers take what they read: it keeps which records came, in which order and from whom.
type ledger struct {
	mu      sync.Mutex
	changed chan struct{} // closed by the next record
	seen    map[record]bool
	keys    map[string]*progress
	counts  counts
}

// record is one that was written: the n-th of its key, counted from zero.
type record struct {
	key string
	n   int
}

// progress is how far a key was read.
type progress struct {
	next   int    // all before it were read
	worker string // that read it last
}

// counts are what a ledger has seen.
type counts struct {
	Read       int `json:"read"`       // once or more often
	Repeated   int `json:"repeated"`   // again
	OutOfOrder int `json:"outOfOrder"` // before one that precedes it in its key
}

func newLedger() *ledger {
	return &ledger{changed: make(chan struct{}), seen: map[record]bool{}, keys: map[string]*progress{}}
}

// ServeHTTP takes a batch of the worker that the path names, a record in each line: its key and its number.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var batch []record
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var one record
		if _, err := fmt.Sscan(lines.Text(), &one.key, &one.n); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		batch = append(batch, one)
	}
	l.take(strings.TrimPrefix(r.URL.Path, "/"), batch)
	w.WriteHeader(http.StatusNoContent)
}

func (l *ledger) take(worker string, batch []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range batch {
		if l.seen[one] {
			l.counts.Repeated++
			continue
		}
		l.seen[one] = true
		l.counts.Read++
		of := l.keys[one.key]
		if of == nil {
			of = &progress{}
			l.keys[one.key] = of
		}
		if one.n > of.next {
			l.counts.OutOfOrder++
		}
		for l.seen[record{one.key, of.next}] {
			of.next++
		}
		of.worker = worker
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// snapshot returns a copy of what was seen so far, and a channel that is closed when there is more.
func (l *ledger) snapshot() (counts, map[string]progress, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := map[string]progress{}
	for key, of := range l.keys {
		keys[key] = *of
	}
	return l.counts, keys, l.changed
}
