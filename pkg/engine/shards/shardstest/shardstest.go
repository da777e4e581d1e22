// Package shardstest is the conformance suite of shards.Stream and shards.Leases: what a sharded stream and the leases of
// its readers have to promise, on whatever AWS they are.
package shardstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// Subject is a stream without records, and the leases of its readers.
type Subject[T any] struct {
	Stream shards.Stream[T]
	Leases shards.Leases
	// Put returns once the stream has taken the entries, those of a key in the order given.
	Put func(context.Context, []Entry) error
	// Entry is what a record was put as.
	Entry func(shards.Record[T]) (Entry, error)
	// Ordered says that the stream keeps the order of a key's entries.
	Ordered bool
	// Reshard replaces some of the stream's shards by others and returns once those take records. Defaults to leaving that out.
	Reshard func(context.Context) error
}

// Entry is the Nth record of a key, from 0.
type Entry struct {
	Key string
	N   int
}

// patience bounds the wait for what takes seconds.
const patience = 3 * time.Minute

// Run holds a stream to its promises. in is called once per test, from parallel tests; it calls play with a new Subject,
// within synctest.Test if that is wanted.
func Run[T any](t *testing.T, in func(t *testing.T, play func(*testing.T, Subject[T]))) {
	t.Helper()
	for name, test := range map[string]func(*fixture[T]){
		"what was put before the first reader came is read, and what comes after": (*fixture[T]).fromTheBeginning,
		"a stop hands over and repeats nothing":                                   (*fixture[T]).handOver,
		"readers that join share and repeat nothing":                              (*fixture[T]).join,
		"a crash loses nothing":                                                   (*fixture[T]).crash,
		"a reshard loses nothing and repeats nothing":                             (*fixture[T]).reshard,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, s Subject[T]) {
				t.Helper()
				ctx, stop := context.WithTimeout(t.Context(), patience)
				defer stop()
				test(&fixture[T]{T: t, Subject: s, ctx: ctx, consumer: "conformance-" + rand.Text(), seen: NewSeen()})
			})
		})
	}
}

// fixture is one test's stream, and what its readers saw of it.
type fixture[T any] struct {
	*testing.T
	Subject[T]

	ctx      context.Context // the test's, bounded
	consumer string
	seen     *Seen
	sent     int // of each key
}

const keys = 20

func (f *fixture[T]) fromTheBeginning() {
	f.send(5)
	x := f.start(f.Leases)
	f.await()
	f.send(5)
	f.await()
	x.end(f)
	f.once()
}

func (f *fixture[T]) handOver() {
	x := f.start(f.Leases)
	f.send(5)
	f.await()
	x.end(f)
	f.send(5)
	y := f.start(f.Leases)
	f.await()
	y.end(f)
	f.once()
}

func (f *fixture[T]) join() {
	var readers []*reader
	for range 3 {
		readers = append(readers, f.start(f.Leases))
		f.send(5)
		f.await()
	}
	for _, r := range readers {
		r.end(f)
		f.send(1) // the last ones wait for a reader
	}
	last := f.start(f.Leases)
	f.await()
	last.end(f)
	f.once()
}

// A reader that dies neither keeps its position nor gives its leases back.
func (f *fixture[T]) crash() {
	f.send(5)
	line := &cut{Leases: f.Leases}
	x := f.start(line)
	f.await()
	line.dead.Store(true)
	x.end(f)
	f.send(5)
	y := f.start(f.Leases)
	f.await()
	y.end(f)
	f.complete()
}

func (f *fixture[T]) reshard() {
	if f.Reshard == nil {
		f.Skip("this stream is not resharded at will")
	}
	x := f.start(f.Leases)
	f.send(5)
	require.NoError(f, f.Reshard(f.ctx))
	f.send(5)
	y := f.start(f.Leases)
	require.NoError(f, f.Reshard(f.ctx))
	f.send(5)
	x.end(f)
	f.await()
	y.end(f)
	f.once()
}

// send puts the next n entries of each key.
func (f *fixture[T]) send(n int) {
	f.Helper()
	var entries []Entry
	for i := f.sent; i < f.sent+n; i++ {
		for key := range keys {
			entries = append(entries, Entry{Key: fmt.Sprint("k", key), N: i})
		}
	}
	require.NoError(f, f.Put(f.ctx, entries))
	f.sent += n
}

// await returns once all that was sent was seen.
func (f *fixture[T]) await() {
	f.Helper()
	require.NoError(f, f.seen.Await(f.ctx, keys*f.sent))
}

// complete says that all that was sent was seen, in order where there is one.
func (f *fixture[T]) complete() {
	f.Helper()
	assert.Equal(f, keys*f.sent, f.seen.Total())
	if f.Ordered {
		assert.Empty(f, f.seen.Jumps())
	}
}

// once is complete, and nothing was repeated.
func (f *fixture[T]) once() {
	f.Helper()
	f.complete()
	assert.Zero(f, f.seen.Repeats(), "repeated")
}

func (f *fixture[T]) handle(_ context.Context, _ string, records []shards.Record[T]) error {
	for _, r := range records {
		e, err := f.Entry(r)
		if err != nil {
			return err
		}
		f.seen.Add(e)
	}
	return nil
}

// reader is a running shards.Reader.
type reader struct {
	stop context.CancelFunc
	done chan error
}

func (f *fixture[T]) start(leases shards.Leases) *reader {
	f.Helper()
	r, err := shards.NewReader(shards.Config[T]{
		Consumer: f.consumer, Stream: f.Stream, Leases: leases, Handle: f.handle, Now: time.Now, //nolint:forbidigo // streams go by real time
		LeaseDuration: 2 * time.Second, ListEvery: 2 * time.Second,
		Republish: func(_ context.Context, shard string) error { f.Errorf("%s was trimmed", shard); return nil },
	})
	require.NoError(f, err)
	ctx, stop := context.WithCancel(f.Context())
	out := &reader{stop: stop, done: make(chan error, 1)}
	go func() { out.done <- r.Run(ctx) }()
	return out
}

func (r *reader) end(t testing.TB) {
	t.Helper()
	r.stop()
	require.NoError(t, <-r.done)
}

// cut is leases that a dead reader no longer reaches.
type cut struct {
	shards.Leases
	dead atomic.Bool
}

var errCut = errors.New("dead")

func (c *cut) Put(ctx context.Context, next, seen shards.Lease) error {
	if c.dead.Load() {
		return errCut
	}
	return c.Leases.Put(ctx, next, seen)
}

func (c *cut) Delete(ctx context.Context, seen shards.Lease) error {
	if c.dead.Load() {
		return errCut
	}
	return c.Leases.Delete(ctx, seen)
}
