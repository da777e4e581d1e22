// Package shardstest is the conformance suite of shards.Stream and shards.Leases. It runs against the embedded AWS and
// against AWS itself.
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

// Subject is an empty stream, and the leases of its readers.
type Subject[T any] struct {
	Stream shards.Stream[T]
	Leases shards.Leases
	// Put appends the entries to the stream, those of a key in the given order.
	Put func(context.Context, []Entry) error
	// Entry returns the entry that a record was made of.
	Entry func(shards.Record[T]) (Entry, error)
	// Ordered: the stream keeps the order of a key's entries.
	Ordered bool
	// Reshard replaces some shards by others and waits until those accept records. If nil, its test is skipped.
	Reshard func(context.Context) error
}

// Entry is the Nth record of a key, from 0.
type Entry struct {
	Key string
	N   int
}

// patience bounds each wait; most take seconds.
const patience = 3 * time.Minute

// Run tests that a stream keeps its contract. setUp is called once per test, from parallel tests; it calls test with a new
// Subject, inside synctest.Test if it uses virtual time.
func Run[T any](t *testing.T, setUp func(t *testing.T, test func(*testing.T, Subject[T]))) {
	t.Helper()
	for name, test := range map[string]func(*fixture[T]){
		"records from before the first reader and after it are read": (*fixture[T]).fromTheOldest,
		"a stop hands off and repeats nothing":                       (*fixture[T]).handOff,
		"readers that join take a share and repeat nothing":          (*fixture[T]).join,
		"a crash loses nothing":                                      (*fixture[T]).crash,
		"a reshard loses nothing and repeats nothing":                (*fixture[T]).reshard,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			setUp(t, func(t *testing.T, s Subject[T]) {
				t.Helper()
				ctx, stop := context.WithTimeout(t.Context(), patience)
				defer stop()
				test(&fixture[T]{T: t, Subject: s, ctx: ctx, consumer: "conformance-" + rand.Text(), handled: NewRecorder()})
			})
		})
	}
}

// fixture is one test's stream, and what its readers handled.
type fixture[T any] struct {
	*testing.T
	Subject[T]

	ctx      context.Context // the test's, bounded
	consumer string
	handled  *Recorder
	sent     int // of each key
}

const keys = 20

func (f *fixture[T]) fromTheOldest() {
	f.send(5)
	x := f.start(f.Leases)
	f.await()
	f.send(5)
	f.await()
	x.end(f)
	f.once()
}

func (f *fixture[T]) handOff() {
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

// A reader that dies neither stores its position nor releases its leases.
func (f *fixture[T]) crash() {
	f.send(5)
	own := &unreachable{Leases: f.Leases}
	x := f.start(own)
	f.await()
	own.dead.Store(true)
	x.end(f)
	f.send(5)
	y := f.start(f.Leases)
	f.await()
	y.end(f)
	f.complete()
}

func (f *fixture[T]) reshard() {
	if f.Reshard == nil {
		f.Skip("this stream cannot be resharded by its users")
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

// await waits until all that was sent is handled.
func (f *fixture[T]) await() {
	f.Helper()
	require.NoError(f, f.handled.Await(f.ctx, keys*f.sent))
}

// complete asserts that all that was sent is handled, and in order if the stream keeps one.
func (f *fixture[T]) complete() {
	f.Helper()
	assert.Equal(f, keys*f.sent, f.handled.Total())
	if f.Ordered {
		assert.Empty(f, f.handled.Skips())
	}
}

// once asserts complete and that nothing was repeated.
func (f *fixture[T]) once() {
	f.Helper()
	f.complete()
	assert.Zero(f, f.handled.Repeats(), "repeated")
}

func (f *fixture[T]) handle(_ context.Context, _ string, records []shards.Record[T]) error {
	for _, r := range records {
		e, err := f.Entry(r)
		if err != nil {
			return err
		}
		f.handled.Add(e)
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

// unreachable is leases that a dead reader cannot reach.
type unreachable struct {
	shards.Leases
	dead atomic.Bool
}

var errDead = errors.New("reader is dead")

func (u *unreachable) Put(ctx context.Context, next, expected shards.Lease) error {
	if u.dead.Load() {
		return errDead
	}
	return u.Leases.Put(ctx, next, expected)
}

func (u *unreachable) Delete(ctx context.Context, expected shards.Lease) error {
	if u.dead.Load() {
		return errDead
	}
	return u.Leases.Delete(ctx, expected)
}
