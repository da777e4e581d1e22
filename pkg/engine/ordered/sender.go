package ordered

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Sender sends what is added to it, for as long as its context lasts. It is safe for concurrent use; the entries of a key
// keep the order of the calls of Add.
type Sender[E any] struct {
	ctx context.Context // of all calls; nothing is begun after its end
	o   Options[E]

	mu       sync.Mutex
	lanes    map[string]*lane[E] // by key: those with entries that are not done
	ready    []*lane[E]          // may send an entry; in turn, so that none starves
	inFlight int                 // calls
	refill   int                 // lanes in flight that will be ready again
	left     int                 // entries that are not done
	bytes    int                 // of them
	released bool                // the Budget does not count them any more
	failures int                 // batches that failed at least in part, since nothing was left
	changed  chan struct{}       // closed at the end of the next call; nil: nobody waits for it
}

// lane is the queue of one key.
type lane[E any] struct {
	key      string
	queue    []E // entries that are not done, oldest first
	inFlight bool

	// of the first entry; while that is in flight, its call has them
	done     bool
	failures int   // in a row
	alone    bool  // to be sent alone, since its batch was refused as a whole
	refused  error // why it is to be set aside
}

// Add queues entries and returns. If too much is pending, it waits until there is room, or fails when ctx or the
// context of the Sender ends.
func (s *Sender[E]) Add(ctx context.Context, entries ...E) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil && s.ctx.Err() == nil {
		freed, full := s.o.Budget.full(s.bytes)
		if !full && s.bytes < s.o.MaxPending {
			break
		}
		s.wait(ctx.Done(), s.ctx.Done(), freed)
	}
	if err := errors.Join(context.Cause(ctx), context.Cause(s.ctx)); err != nil { //nolint:contextcheck // either ends the call
		return err
	}
	for _, e := range entries {
		key := s.o.Key(e)
		l, ok := s.lanes[key]
		if !ok {
			l = &lane[E]{key: key}
			s.lanes[key] = l
			s.ready = append(s.ready, l)
		}
		l.queue = append(l.queue, e)
		if l.inFlight && len(l.queue) == 2 {
			s.refill++
		}
		s.left++
		s.hold(s.o.Size(e))
	}
	s.send()
	return nil
}

// Wait returns when everything added is done or, once the Sender's context has ended, when no call is in flight.
func (s *Sender[E]) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.left > 0 && s.ctx.Err() == nil {
		s.wait(s.ctx.Done(), nil, nil)
	}
	for s.inFlight > 0 {
		s.wait(nil, nil, nil)
	}
}

// hold counts bytes that became pending, or that are not any more.
func (s *Sender[E]) hold(bytes int) {
	s.bytes += bytes
	if !s.released {
		s.o.Budget.take(bytes)
	}
}

// release gives back to the Budget what is pending at the end of the context: nobody will send it.
func (s *Sender[E]) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
	s.o.Budget.take(-s.bytes)
}

// wait waits, without the lock, for the end of a call or for one of the channels.
func (s *Sender[E]) wait(either, or, also <-chan struct{}) {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-either:
	case <-or:
	case <-also:
	}
}

// send begins calls while that is worthwhile.
func (s *Sender[E]) send() {
	for s.ctx.Err() == nil && s.inFlight < s.o.InFlight && len(s.ready) > 0 && !s.shouldWait() {
		taken := s.cut()
		batch := make([]E, len(taken))
		for i, l := range taken {
			batch[i], l.inFlight = l.queue[0], true
			if len(l.queue) > 1 {
				s.refill++
			}
		}
		s.inFlight++
		go s.call(taken, batch)
	}
}

// shouldWait reports whether the next batch should wait for a call in flight: it is not full, and as many keys again are
// about to be ready. That keeps batches full. One busy key alone does not make the others wait.
func (s *Sender[E]) shouldWait() bool {
	return s.inFlight > 0 && len(s.ready) < s.o.MaxCount && s.refill >= max(len(s.ready), 2)
}

// single reports whether the lane's first entry cannot share a call.
func (s *Sender[E]) single(l *lane[E]) bool {
	if l.refused == nil {
		l.refused = s.o.Check(l.queue[0])
	}
	if size := s.o.Size(l.queue[0]); l.refused == nil && size > s.o.MaxBytes {
		l.refused = fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, size, s.o.MaxBytes)
	}
	return l.alone || l.refused != nil
}

// cut takes the lanes of the next batch out of ready, in turn. An entry that does not fit leaves its place to smaller ones.
func (s *Sender[E]) cut() []*lane[E] {
	taken := make([]*lane[E], 0, min(len(s.ready), s.o.MaxCount))
	var passed []*lane[E]
	n := 0
	if s.single(s.ready[0]) {
		taken, n = append(taken, s.ready[0]), 1
	} else {
		for room := s.o.MaxBytes; n < len(s.ready) && len(taken) < s.o.MaxCount && len(passed) < s.o.MaxCount; n++ {
			l := s.ready[n]
			if size := s.o.Size(l.queue[0]); size <= room && !s.single(l) {
				room -= size
				taken = append(taken, l)
			} else {
				passed = append(passed, l)
			}
		}
	}
	clear(s.ready[:n])
	n -= len(passed)
	copy(s.ready[n:], passed)
	s.ready = s.ready[n:]
	return taken
}

// call sends a batch, or sets its single entry aside, and notes the outcome in each lane.
func (s *Sender[E]) call(taken []*lane[E], batch []E) {
	var failed map[int]error
	var err, retried error
	if refused := taken[0].refused; refused != nil {
		err = s.o.SetAside(s.ctx, batch[0], refused)
	} else {
		failed, err = s.o.Put(s.ctx, batch)
	}
	for i, l := range taken {
		reason := err
		if reason == nil {
			reason = failed[i]
		}
		switch {
		case reason == nil:
			l.done = true
			s.o.Done(batch[i], l.refused)
		case l.refused != nil || !errors.Is(reason, ErrPermanent):
			l.failures++
			retried = reason
		case err != nil && len(batch) > 1:
			l.alone = true
		default:
			l.refused = reason
		}
	}
	s.end(taken, retried)
}

// end takes back the lanes of a call: each continues, or is retried after a pause.
func (s *Sender[E]) end(taken []*lane[E], retried error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	var failed []*lane[E]
	most := 0
	for _, l := range taken {
		if l.inFlight = false; len(l.queue) > 1 {
			s.refill--
		}
		switch {
		case l.done:
			s.remove(l)
		case l.failures > 0:
			failed, most = append(failed, l), max(most, l.failures)
		default:
			s.ready = append(s.ready, l)
		}
	}
	if len(failed) > 0 && s.ctx.Err() == nil { // lanes that failed together return together, so batches stay full
		s.failures++
		s.o.OnRetry(retried, s.failures)
		time.AfterFunc(s.o.Backoff.Delay(most), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ready = append(s.ready, failed...)
			s.send()
		})
	}
	if s.left == 0 {
		s.failures = 0
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	s.send()
}

// remove takes the first entry, which is done, out of a lane.
func (s *Sender[E]) remove(l *lane[E]) {
	s.left--
	s.hold(-s.o.Size(l.queue[0]))
	clear(l.queue[:1])
	l.queue = l.queue[1:]
	l.done, l.failures, l.alone, l.refused = false, 0, false, nil
	if len(l.queue) > 0 {
		s.ready = append(s.ready, l)
	} else {
		delete(s.lanes, l.key)
	}
}
