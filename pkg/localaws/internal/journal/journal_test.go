package journal

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// memory is a Store that remembers what was written, and fails with err.
type memory struct {
	state   map[string][]byte
	writes  int
	written func() // called after a write, if it is set
	err     error
}

func (m *memory) Each(prefix []byte, f func(key, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(m.state)) {
		if strings.HasPrefix(key, string(prefix)) {
			if err := f([]byte(key), m.state[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Write(changes []Change) error {
	m.writes++
	for _, c := range changes {
		if m.state[string(c.Key)] = c.Value; c.Value == nil {
			delete(m.state, string(c.Key))
		}
	}
	if m.written != nil {
		m.written()
	}
	return m.err
}

func batch(k Key, value any) (b Batch) {
	b.Put(k, value)
	return b
}

func TestWhatWasAddedIsWrittenByTheNextFlush(t *testing.T) {
	t.Parallel()
	store := &memory{state: map[string][]byte{}}
	j := New(store)
	kind := Key(nil).With("kind")
	j.Add(batch(kind.With("a"), 1))
	j.Add(batch(kind.With("b"), 2))
	assert.Empty(t, store.state)
	require.NoError(t, j.Flush())
	assert.Equal(t, 1, store.writes, "in one write")
	j.Section(func(b *Batch) { b.Delete(kind.With("a")) })
	require.NoError(t, j.Flush())
	require.NoError(t, j.Flush())
	assert.Equal(t, 2, store.writes, "and nothing is written twice")
	got := map[string]int{}
	require.NoError(t, Each(j, kind, func(id []string, v int) error {
		got[id[0]] = v
		return nil
	}))
	assert.Equal(t, map[string]int{"b": 2}, got)
}

// A client may see what a section changes before the section has ended, and is answered after a flush.
func TestAFlushWaitsForTheSectionsThatHaveBegun(t *testing.T) {
	t.Parallel()
	store := &memory{state: map[string][]byte{}}
	j := New(store)
	for n := range 500 {
		k := Key(nil).With(Number(uint64(n)))
		var visible atomic.Bool
		var section sync.WaitGroup
		section.Go(func() {
			j.Section(func(b *Batch) {
				visible.Store(true)
				runtime.Gosched()
				b.Put(k, n)
			})
		})
		for !visible.Load() {
			runtime.Gosched()
		}
		require.NoError(t, j.Flush())
		require.Contains(t, store.state, string(k))
		section.Wait()
	}
}

func TestASectionIsWrittenAsAWhole(t *testing.T) {
	t.Parallel()
	a, b := Key(nil).With("a"), Key(nil).With("b")
	store := &memory{state: map[string][]byte{}}
	store.written = func() { assert.Equal(t, store.state[string(a)], store.state[string(b)]) }
	j := New(store)
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range 500 {
			j.Section(func(both *Batch) {
				both.Put(a, n)
				both.Put(b, n)
			})
			runtime.Gosched()
		}
	})
	for range 500 {
		require.NoError(t, j.Flush())
		runtime.Gosched()
	}
	writer.Wait()
}

func TestAfterAWriteThatFailedEveryFlushFails(t *testing.T) {
	t.Parallel()
	store := &memory{state: map[string][]byte{}, err: errors.New("no space left")}
	j := New(store)
	require.NoError(t, j.Flush(), "there is nothing to write")
	j.Add(batch(Key("a"), 1))
	require.EqualError(t, j.Flush(), "keep the state: no space left")
	store.err = nil
	require.EqualError(t, j.Flush(), "keep the state: no space left")
	assert.Equal(t, 1, store.writes)
}

func TestWithoutAJournalNothingIsKept(t *testing.T) {
	t.Parallel()
	var j *Journal
	j.Add(batch(Key("a"), 1))
	j.Section(func(b *Batch) { assert.Nil(t, b) })
	require.NoError(t, j.Flush())
}

func TestKeysAreReadAsTheyWereAndDifferentOnesDiffer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.StringN(0, 200, -1))
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		k := Key(nil).With(a...)
		got, err := k.parts()
		require.NoError(t, err)
		require.True(t, slices.Equal(a, got))
		require.Equal(t, slices.Equal(a, b), bytes.Equal(k, Key(nil).With(b...)))
		m, n := rapid.Uint64().Draw(t, "m"), rapid.Uint64().Draw(t, "n")
		require.Equal(t, m, ParseNumber(Number(m)))
		require.Equal(t, cmp.Compare(m, n), cmp.Compare(Number(m), Number(n)))
	})
}
