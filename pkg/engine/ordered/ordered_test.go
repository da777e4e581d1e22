package ordered_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type entry struct {
	key  string
	n    int
	size int
}

// sink is a service that may fail in part. It checks the rule that no key is in flight twice at once.
type sink struct {
	mu       sync.Mutex
	busy     map[string]bool
	batches  [][]entry
	acked    map[string][]int
	violated []string
	fate     func(batch []entry) (failed map[int]error, err error)
}

func newSink(fate func([]entry) (map[int]error, error)) *sink {
	return &sink{busy: map[string]bool{}, acked: map[string][]int{}, fate: fate}
}

func (s *sink) put(_ context.Context, batch []entry) (map[int]error, error) {
	s.mu.Lock()
	s.batches = append(s.batches, slices.Clone(batch))
	for _, e := range batch {
		if s.busy[e.key] {
			s.violated = append(s.violated, fmt.Sprintf("%s is in flight twice, at %d", e.key, e.n))
		}
		s.busy[e.key] = true
	}
	failed, err := s.fate(batch)
	s.mu.Unlock()
	letOtherPutsStart()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range batch {
		s.busy[e.key] = false
		if err == nil && failed[i] == nil {
			s.acked[e.key] = append(s.acked[e.key], e.n)
		}
	}
	return failed, err
}

// letOtherPutsStart returns after other goroutines had a chance to run.
func letOtherPutsStart() {
	done := make(chan struct{})
	time.AfterFunc(0, func() { close(done) })
	<-done
}

func options(s *sink) ordered.Options[entry] {
	return ordered.Options[entry]{
		Key: func(e entry) string { return e.key }, Size: func(e entry) int { return e.size },
		MaxCount: 10, MaxBytes: 100, Put: s.put,
		Backoff: retry.Backoff{First: 1, Max: 1},
	}
}

var errFlaky = errors.New("flaky")

func TestOrderHoldsWhateverFails(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 12).Draw(t, "max count")
		bytes := rapid.IntRange(10, 60).Draw(t, "max bytes")
		inFlight := rapid.IntRange(1, 5).Draw(t, "in flight")
		entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) entry {
			return entry{key: rapid.StringMatching("[a-f]").Draw(t, "key"), size: rapid.IntRange(0, bytes).Draw(t, "size")}
		}), 0, 80).Draw(t, "entries")
		want := map[string][]int{}
		for i := range entries {
			entries[i].n = i
			want[entries[i].key] = append(want[entries[i].key], i)
		}
		fates := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 40).Draw(t, "fates")
		turn := 0
		s := newSink(func(batch []entry) (map[int]error, error) {
			next := func() int { turn++; return fates[turn%len(fates)] + turn/500 } // in the end all calls succeed
			if next() == 0 {
				return nil, errFlaky
			}
			failed := map[int]error{}
			for i := range batch {
				if next() < 3 {
					failed[i] = errFlaky
				}
			}
			return failed, nil
		})
		o := options(s)
		o.MaxCount, o.MaxBytes, o.InFlight = count, bytes, inFlight
		require.NoError(t, ordered.Send(context.Background(), entries, o))
		require.Empty(t, s.violated)
		require.Equal(t, want, s.acked)
		for _, b := range s.batches {
			keys, size := map[string]bool{}, 0
			for _, e := range b {
				keys[e.key] = true
				size += e.size
			}
			require.Len(t, keys, len(b), "two entries of one key in a batch")
			require.LessOrEqual(t, len(b), count)
			require.LessOrEqual(t, size, bytes)
			require.NotEmpty(t, b)
		}
	})
}

func fine([]entry) (map[int]error, error) { return nil, nil }

func TestBatchesAreAsFullAsTheRuleAllows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		entries []entry
		batches int
	}{
		{"all different", many(95, func(i int) string { return fmt.Sprint(i) }), 10},
		{"ten keys in turn", many(100, func(i int) string { return fmt.Sprint(i % 10) }), 10},
		{"ten keys, one after the other", many(100, func(i int) string { return fmt.Sprint(i / 10) }), 10},
		{"one hot key behind the others", many(100, func(i int) string { return fmt.Sprint(min(i, 90)) }), 10},
		{"fifteen keys in turn", many(60, func(i int) string { return fmt.Sprint(i % 15) }), 6},
		{"one key", many(7, func(int) string { return "k" }), 7},
		{"none", nil, 0},
	}
	for _, tt := range tests {
		for _, inFlight := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, %d in flight", tt.name, inFlight), func(t *testing.T) {
				t.Parallel()
				s := newSink(fine)
				o := options(s)
				o.InFlight = inFlight
				require.NoError(t, ordered.Send(t.Context(), tt.entries, o))
				assert.Len(t, s.batches, tt.batches)
			})
		}
	}
}

func many(n int, key func(int) string) []entry {
	out := make([]entry, n)
	for i := range out {
		out[i] = entry{key: key(i), n: i, size: 1}
	}
	return out
}

func TestBytesFillUpWithSmallerEntries(t *testing.T) {
	t.Parallel()
	s := newSink(fine)
	o := options(s)
	o.InFlight = 1
	require.NoError(t, ordered.Send(t.Context(), []entry{{"a", 0, 60}, {"b", 1, 60}, {"c", 2, 40}}, o))
	assert.Equal(t, [][]entry{{{"a", 0, 60}, {"c", 2, 40}}, {{"b", 1, 60}}}, s.batches)
}

func TestAFailedEntryDelaysItsOwnKeyOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failures := 0
		s := newSink(func(batch []entry) (map[int]error, error) {
			for i, e := range batch {
				if e.key == "a" && failures < 4 {
					failures++
					return map[int]error{i: errFlaky}, nil
				}
			}
			return nil, nil
		})
		o := options(s)
		o.Backoff = retry.Backoff{First: time.Second, Max: 2 * time.Second, Jitter: func(d time.Duration) time.Duration { return d }}
		startedAt := time.Now()
		entries := []entry{{"a", 0, 1}, {"a", 1, 1}, {"b", 2, 1}, {"b", 3, 1}}
		require.NoError(t, ordered.Send(t.Context(), entries, o))
		assert.Equal(t, 7*time.Second, time.Since(startedAt), "pauses of 1, 2, 2 and 2 seconds")
		assert.Equal(t, []entry{{"b", 3, 1}}, s.batches[1], "b does not wait for a")
		assert.Equal(t, map[string][]int{"a": {0, 1}, "b": {2, 3}}, s.acked)
	})
}

func TestASuccessResetsThePause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		s := newSink(func([]entry) (map[int]error, error) {
			if calls++; calls%3 != 0 { // each entry is accepted at the third attempt
				return nil, errFlaky
			}
			return nil, nil
		})
		o := options(s)
		o.Backoff = retry.Backoff{First: time.Second, Max: time.Minute, Jitter: func(d time.Duration) time.Duration { return d }}
		startedAt := time.Now()
		require.NoError(t, ordered.Send(t.Context(), many(2, func(int) string { return "k" }), o))
		assert.Equal(t, 6*time.Second, time.Since(startedAt), "pauses of 1 and 2 seconds, twice")
	})
}

func TestAPermanentFailureEndsItsKeyOnly(t *testing.T) {
	t.Parallel()
	s := newSink(func(batch []entry) (map[int]error, error) {
		for i, e := range batch {
			if e.n == 1 {
				return map[int]error{i: ordered.Permanent(errFlaky)}, nil
			}
		}
		return nil, nil
	})
	entries := []entry{{"a", 0, 1}, {"a", 1, 1}, {"a", 2, 1}, {"b", 3, 1}, {"b", 4, 1}}
	err := ordered.Send(t.Context(), entries, options(s))
	require.ErrorIs(t, err, ordered.ErrPermanent)
	require.ErrorIs(t, err, errFlaky)
	require.ErrorContains(t, err, "entry 1")
	assert.Equal(t, map[string][]int{"a": {0}, "b": {3, 4}}, s.acked)
}

func TestRetriesEndWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(func([]entry) (map[int]error, error) { return nil, errFlaky })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		o := options(s)
		o.Backoff = retry.Backoff{}
		err := ordered.Send(ctx, many(3, func(i int) string { return fmt.Sprint(i) }), o)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "3 of 3 entries left")
	})
}

func TestSendReturnsOnlyAfterAllCallsOfPut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		returned := false
		o := options(newSink(fine))
		o.Put = func(ctx context.Context, _ []entry) (map[int]error, error) {
			cancel()
			<-ctx.Done()
			_ = retry.Sleep(context.WithoutCancel(ctx), time.Second)
			returned = true
			return nil, ctx.Err()
		}
		require.ErrorIs(t, ordered.Send(ctx, many(1, func(int) string { return "k" }), o), context.Canceled)
		assert.True(t, returned)
	})
}

func TestInvalidInputIsReportedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	s := newSink(fine)
	err := ordered.Send(t.Context(), []entry{{"a", 0, 1}, {"b", 1, 101}}, options(s))
	require.ErrorIs(t, err, ordered.ErrTooLarge)
	require.EqualError(t, err, "entry 1: entry too large: 101 bytes, the limit is 100")
	err = ordered.Send(t.Context(), nil, ordered.Options[entry]{InFlight: -1})
	for _, want := range []string{"Key, Size and Put", "MaxCount and MaxBytes", "InFlight"} {
		require.ErrorContains(t, err, want)
	}
	assert.Empty(t, s.batches)
}
