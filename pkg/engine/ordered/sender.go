package ordered

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// sender is one Send. Only the goroutine of run touches it; Puts report through a channel.
type sender[E any] struct {
	options  Options[E]
	entries  []E
	ready    lanes
	inFlight int   // batches
	waiting  int   // entries that stand behind one in flight
	unsent   int   // entries not acknowledged and not given up
	bytes    int   // of them
	lengths  []int // how many lanes are that long
	refused  []error
}

// lane is the entries of one key that are not acknowledged, oldest first, as indexes.
type lane struct {
	queue    []int
	failures int // of the first entry, in a row
}

// lanes is a heap, longest first: a key with many entries needs as many batches, so it must be in every one of them
// for the batches to be full and few. Equally long ones go in the order of their entries.
type lanes []*lane

func (l lanes) Len() int { return len(l) }
func (l lanes) Less(i, j int) bool {
	if len(l[i].queue) != len(l[j].queue) {
		return len(l[i].queue) > len(l[j].queue)
	}
	return l[i].queue[0] < l[j].queue[0]
}
func (l lanes) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *lanes) Push(x any)   { *l = append(*l, x.(*lane)) } //nolint:errcheck,forcetypeassert // only lanes are pushed
func (l *lanes) Pop() any {
	last := len(*l) - 1
	x := (*l)[last]
	*l = (*l)[:last]
	return x
}

type answer struct {
	lanes  []*lane
	failed map[int]error
	err    error
}

// sort puts the entries into the lanes of their keys.
func (s *sender[E]) sort() error {
	byKey := map[string]*lane{}
	for i, e := range s.entries {
		size := s.options.Size(e)
		if size > s.options.MaxBytes {
			return fmt.Errorf("entry %d: %w: %d bytes, the limit is %d", i, ErrTooLarge, size, s.options.MaxBytes)
		}
		s.bytes += size
		key := s.options.Key(e)
		l, ok := byKey[key]
		if !ok {
			l = &lane{}
			byKey[key] = l
			s.ready = append(s.ready, l)
		}
		l.queue = append(l.queue, i)
	}
	heap.Init(&s.ready)
	s.unsent = len(s.entries)
	for _, l := range s.ready {
		for len(s.lengths) <= len(l.queue) {
			s.lengths = append(s.lengths, 0)
		}
		s.lengths[len(l.queue)]++
	}
	return nil
}

func (s *sender[E]) run(ctx context.Context) error {
	answers := make(chan answer)
	rested := make(chan []*lane, len(s.ready)) // never blocks: a lane rests once at a time
	for s.unsent > 0 {
		if ctx.Err() == nil {
			s.send(ctx, answers)
		} else if s.inFlight == 0 {
			return fmt.Errorf("send: %d of %d entries left: %w", s.unsent, len(s.entries), context.Cause(ctx))
		}
		done := ctx.Done()
		if s.inFlight > 0 {
			done = nil // the Puts know of ctx and report soon
		}
		select {
		case a := <-answers:
			s.take(a, rested)
		case back := <-rested:
			s.free(back)
		case <-done:
		}
	}
	return errors.Join(s.refused...)
}

// send starts batches while there are entries for one and it is no waste.
func (s *sender[E]) send(ctx context.Context, answers chan<- answer) {
	for s.inFlight < s.options.InFlight && len(s.ready) > 0 && (s.inFlight == 0 || !s.wasteful()) {
		taken := s.cut()
		batch := make([]E, len(taken))
		for i, l := range taken {
			batch[i] = s.entries[l.queue[0]]
			s.waiting += len(l.queue) - 1
		}
		s.inFlight++
		go func() {
			failed, err := s.options.Put(ctx, batch)
			answers <- answer{lanes: taken, failed: failed, err: err}
		}()
	}
}

// wasteful reports that a batch beside those in flight would be better sent after them: it is not full, but entries that
// stand behind those in flight could fill it; or the longest lane will need as many batches as there will be at
// all, so that sending at once would save no time and leave its last batches empty.
func (s *sender[E]) wasteful() bool {
	needed := max(ceil(s.unsent, s.options.MaxCount), ceil(s.bytes, s.options.MaxBytes))
	return (s.waiting > 0 && len(s.ready) < s.options.MaxCount) || len(s.lengths)-1 >= max(needed, 2)
}

func ceil(n, d int) int { return (n + d - 1) / d }

// shrink books that a lane lost its first entries.
func (s *sender[E]) shrink(l *lane, by int) {
	for _, i := range l.queue[:by] {
		s.bytes -= s.options.Size(s.entries[i])
	}
	s.unsent -= by
	s.lengths[len(l.queue)]--
	l.queue = l.queue[by:]
	s.lengths[len(l.queue)]++
	for len(s.lengths) > 1 && s.lengths[len(s.lengths)-1] == 0 {
		s.lengths = s.lengths[:len(s.lengths)-1]
	}
}

// cut takes the lanes of the next batch; what does not fit any more leaves its place to smaller ones.
func (s *sender[E]) cut() []*lane {
	var taken, tooBig []*lane
	room := s.options.MaxBytes
	for len(s.ready) > 0 && len(taken) < s.options.MaxCount && len(tooBig) < s.options.MaxCount {
		l := heap.Pop(&s.ready).(*lane) //nolint:errcheck,forcetypeassert // only lanes are pushed
		if size := s.options.Size(s.entries[l.queue[0]]); size <= room {
			room -= size
			taken = append(taken, l)
		} else {
			tooBig = append(tooBig, l)
		}
	}
	for _, l := range tooBig {
		heap.Push(&s.ready, l)
	}
	return taken
}

// take books a batch's outcome: lanes go on, rest before a retry, or end.
func (s *sender[E]) take(a answer, rested chan<- []*lane) {
	s.inFlight--
	var goOn, retry []*lane
	var reason error
	for i, l := range a.lanes {
		s.waiting -= len(l.queue) - 1
		err := a.err
		if err == nil {
			err = a.failed[i]
		}
		switch {
		case err == nil:
			s.shrink(l, 1)
			l.failures = 0
			if len(l.queue) > 0 {
				goOn = append(goOn, l)
			}
		case errors.Is(err, ErrPermanent):
			s.refused = append(s.refused, fmt.Errorf("entry %d: %w", l.queue[0], err))
			s.shrink(l, len(l.queue))
		default:
			l.failures++
			reason = err
			retry = append(retry, l)
		}
	}
	s.free(goOn)
	if len(retry) > 0 {
		s.rest(retry, reason, rested)
	}
}

func (s *sender[E]) free(back []*lane) {
	for _, l := range back {
		heap.Push(&s.ready, l)
	}
}

// rest keeps failed lanes back for a while. Lanes that failed together return together: batches stay full.
func (s *sender[E]) rest(retry []*lane, reason error, rested chan<- []*lane) {
	if s.options.OnRetry != nil {
		s.options.OnRetry(len(retry), reason)
	}
	most := slices.MaxFunc(retry, func(a, b *lane) int { return a.failures - b.failures })
	time.AfterFunc(s.options.Backoff.Delay(most.failures), func() { rested <- retry })
}
