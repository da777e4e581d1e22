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
		o.MaxPending = rapid.IntRange(1, 200).Draw(t, "max pending")
		o.Budget = ordered.NewBudget(rapid.IntRange(1, 200).Draw(t, "budget"), rapid.IntRange(1, 50).Draw(t, "share"))
		sender := ordered.NewSender(context.Background(), o)
		for piece := range slices.Chunk(entries, rapid.IntRange(1, 80).Draw(t, "added at once")) {
			require.NoError(t, sender.Add(context.Background(), piece...))
		}
		sender.Wait()
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

func TestAPermanentFailureRefusesThatEntryOnly(t *testing.T) {
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
	assert.Equal(t, map[string][]int{"a": {0, 2}, "b": {3, 4}}, s.acked)
}

// TestABatchThatIsRefusedAsAWholeIsNarrowed: an error of the call names no entry.
func TestABatchThatIsRefusedAsAWholeIsNarrowed(t *testing.T) {
	t.Parallel()
	s := newSink(func(batch []entry) (map[int]error, error) {
		if slices.ContainsFunc(batch, func(e entry) bool { return e.n == 3 }) {
			return nil, ordered.Permanent(errFlaky)
		}
		return nil, nil
	})
	var refused []int
	o := options(s)
	o.SetAside = func(_ context.Context, e entry, reason error) error {
		require.ErrorIs(t, reason, errFlaky)
		refused = append(refused, e.n)
		return nil
	}
	entries := append(many(8, func(i int) string { return fmt.Sprint(i) }), entry{"3", 8, 1})
	require.ErrorIs(t, ordered.Send(t.Context(), entries, o), errFlaky)
	assert.Equal(t, []int{3}, refused)
	assert.Equal(t, map[string][]int{"0": {0}, "1": {1}, "2": {2}, "3": {8}, "4": {4}, "5": {5}, "6": {6}, "7": {7}}, s.acked)
}

func TestAnEntryIsDoneOnlyOnceItIsSetAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSink(func(batch []entry) (map[int]error, error) {
			if i := slices.IndexFunc(batch, func(e entry) bool { return e.n == 0 }); i >= 0 {
				return map[int]error{i: ordered.Permanent(errFlaky)}, nil
			}
			return nil, nil
		})
		tries, retries, done := 0, []int{}, []int{}
		var mu sync.Mutex
		o := options(s)
		o.SetAside = func(context.Context, entry, error) error {
			if tries++; tries < 5 {
				return errors.New("the store is unavailable")
			}
			return nil
		}
		o.OnRetry = func(reason error, failures int) {
			require.EqualError(t, reason, "the store is unavailable")
			retries = append(retries, failures)
		}
		o.Done = func(e entry, reason error) {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, e.n)
			assert.Equal(t, e.n == 0, reason != nil)
		}
		require.Error(t, ordered.Send(t.Context(), []entry{{"a", 0, 1}, {"a", 1, 1}, {"b", 2, 1}}, o))
		assert.Equal(t, []int{2, 0, 1}, done, "b does not wait")
		assert.Equal(t, []int{1, 2, 3, 4}, retries)
		assert.Equal(t, map[string][]int{"a": {1}, "b": {2}}, s.acked)
	})
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

func TestAnEntryLargerThanABatchIsRefused(t *testing.T) {
	t.Parallel()
	s := newSink(fine)
	err := ordered.Send(t.Context(), []entry{{"a", 0, 1}, {"b", 1, 101}, {"b", 2, 100}}, options(s))
	require.ErrorIs(t, err, ordered.ErrTooLarge)
	require.ErrorIs(t, err, ordered.ErrPermanent)
	assert.Equal(t, map[string][]int{"a": {0}, "b": {2}}, s.acked)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	assert.Panics(t, func() { ordered.NewSender(t.Context(), ordered.Options[entry]{}) })
}

// bubble runs a test with a sender whose calls take 10 ms of virtual time.
func bubble(t *testing.T, s *sink, tune func(*ordered.Options[entry]), f func(t *testing.T, sender *ordered.Sender[entry])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := options(s)
		o.Put = func(ctx context.Context, batch []entry) (map[int]error, error) {
			_ = retry.Sleep(ctx, 10*time.Millisecond)
			return s.put(ctx, batch)
		}
		tune(&o)
		ctx, cancel := context.WithCancel(t.Context())
		sender := ordered.NewSender(ctx, o)
		f(t, sender)
		cancel()
		sender.Wait()
	})
}

// TestABusyKeyDelaysNoOther: others arrive while 10,000 entries of each of 20 keys wait, and are as early as without them.
func TestABusyKeyDelaysNoOther(t *testing.T) {
	t.Parallel()
	for _, busy := range []int{0, 1, 20} {
		var mu sync.Mutex
		var slowest time.Duration
		addedAt := map[string]time.Time{}
		bubble(t, newSink(fine), func(o *ordered.Options[entry]) {
			o.Done = func(e entry, _ error) {
				mu.Lock()
				defer mu.Unlock()
				if at, ok := addedAt[e.key]; ok {
					slowest = max(slowest, time.Since(at))
				}
			}
		}, func(t *testing.T, s *ordered.Sender[entry]) {
			for i := range busy {
				require.NoError(t, s.Add(t.Context(), many(10_000, func(int) string { return fmt.Sprint("busy", i) })...))
			}
			for i := range 200 {
				<-time.After(7 * time.Millisecond)
				key := fmt.Sprint("other", i)
				mu.Lock()
				addedAt[key] = time.Now()
				mu.Unlock()
				require.NoError(t, s.Add(t.Context(), entry{key, 0, 1}))
			}
			<-time.After(time.Second)
		})
		mu.Lock()
		assert.LessOrEqual(t, slowest, 20*time.Millisecond, "%d busy keys: at most one call before its own", busy)
		assert.Positive(t, slowest)
		mu.Unlock()
	}
}

// Senders that share a budget stop adding when it is used up; one that is stuck keeps no other from sending, since each may have its
// share, and what a Sender has when its context ends is free again.
func TestSendersThatShareABudgetHoldNoMoreTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := ordered.NewBudget(100, 10)
		start := func(s *sink) (*ordered.Sender[entry], context.CancelFunc) {
			ctx, end := context.WithCancel(t.Context())
			o := options(s)
			o.Budget, o.Backoff = budget, retry.Backoff{First: time.Second, Max: time.Second}
			return ordered.NewSender(ctx, o), end
		}
		waits := func(s *ordered.Sender[entry]) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.ErrorIs(t, s.Add(ctx, entry{"c", 0, 1}), context.DeadlineExceeded)
		}
		broken := newSink(func([]entry) (map[int]error, error) { return nil, errFlaky })
		stuck, lost := start(broken)
		require.NoError(t, stuck.Add(t.Context(), many(100, func(int) string { return "stuck" })...))
		waits(stuck)

		well := newSink(fine)
		other, end := start(well)
		for i := range 50 {
			require.NoError(t, other.Add(t.Context(), entry{"b", i, 1}), "its share")
			other.Wait()
		}
		third, endToo := start(broken)
		require.NoError(t, third.Add(t.Context(), many(10, func(int) string { return "stuck" })...))
		waits(third)

		added := make(chan error)
		go func() { added <- third.Add(t.Context(), entry{"stuck", 10, 1}) }()
		synctest.Wait()
		lost()
		require.NoError(t, <-added, "what a Sender had whose context has ended is free")
		end()
		endToo()
		for _, s := range []*ordered.Sender[entry]{stuck, other, third} {
			s.Wait()
		}
	})
}

func TestAKeyThatIsRetriedForEverDelaysOthersOnlyOnceTooMuchIsPending(t *testing.T) {
	t.Parallel()
	s := newSink(func(batch []entry) (map[int]error, error) {
		if i := slices.IndexFunc(batch, func(e entry) bool { return e.key == "stuck" }); i >= 0 {
			return map[int]error{i: errFlaky}, nil
		}
		return nil, nil
	})
	bubble(t, s, func(o *ordered.Options[entry]) { o.MaxPending = 100 }, func(t *testing.T, sender *ordered.Sender[entry]) {
		require.NoError(t, sender.Add(t.Context(), many(99, func(int) string { return "stuck" })...))
		for i := range 50 {
			require.NoError(t, sender.Add(t.Context(), entry{"b", i, 1}))
			<-time.After(time.Second)
		}
		s.mu.Lock()
		assert.Len(t, s.acked["b"], 50)
		s.mu.Unlock()
		require.NoError(t, sender.Add(t.Context(), entry{"stuck", 99, 1}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, sender.Add(ctx, entry{"b", 50, 1}), context.DeadlineExceeded)
		s.mu.Lock()
		s.fate = fine
		s.mu.Unlock()
		require.NoError(t, sender.Add(t.Context(), entry{"b", 50, 1}), "there is room again")
		sender.Wait()
		assert.Len(t, s.acked["b"], 51)
		assert.Len(t, s.acked["stuck"], 100)
	})
}
