package shards_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// fleet starts and stops readers of one consumer.
type fleet struct {
	t      *testing.T
	stream *stream
	leases *memory
	log    *log

	mu   sync.Mutex
	gone []string // shards given to Republish
}

func (f *fleet) lost() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.gone)
}

func (f *fleet) republish(_ context.Context, shard string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = append(f.gone, shard)
	return nil
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, stream: newStream(), leases: newMemory(), log: newLog()}
}

type reader struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func (f *fleet) start(owner string, tune ...func(*shards.Config[string])) *reader {
	f.t.Helper()
	cfg := shards.Config[string]{
		Consumer: "c", Owner: owner, Stream: f.stream, Leases: f.leases, Handle: f.log.handle(owner), Now: time.Now,
		Republish: f.republish,
	}
	for _, t := range tune {
		t(&cfg)
	}
	r, err := shards.NewReader(cfg)
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(f.t.Context())
	out := &reader{t: f.t, stop: cancel, done: make(chan error, 1)}
	go func() { out.done <- r.Run(ctx) }()
	return out
}

func (r *reader) end() {
	r.t.Helper()
	r.stop()
	require.NoError(r.t, <-r.done)
}

// mortal is leases that one reader cannot reach once it is dead.
type mortal struct {
	*memory
	alive *atomic.Bool
}

var errDead = errors.New("dead")

func (m *mortal) Put(ctx context.Context, next, expected shards.Lease) error {
	if !m.alive.Load() {
		return errDead
	}
	return m.memory.Put(ctx, next, expected)
}

func (m *mortal) List(ctx context.Context, consumer string) ([]shards.Lease, error) {
	if !m.alive.Load() {
		return nil, errDead
	}
	return m.memory.List(ctx, consumer)
}

func (m *mortal) Delete(ctx context.Context, l shards.Lease) error {
	if !m.alive.Load() {
		return errDead
	}
	return m.memory.Delete(ctx, l)
}

func bubble(t *testing.T, f func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFleet(t)) })
}

// after waits in virtual time.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
