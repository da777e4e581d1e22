package eventstoretest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// races are the tests of many at once.
var races = map[string]func(fixture){
	"of many writers racing on one stream exactly one wins each version": racingWriters,
	"of many streams racing for one claim exactly one holds it":          racingClaims,
	"of many repetitions of one command exactly one is written":          racingCommands,
	"nothing is granted after it was disabled":                           racingGuard,
	"of two commits that guard each other's streams at most one passes":  writeSkew,
	"one commit sent many times at once is written once":                 racingRepetitions,
}

// racingWriters alternates plain commits with ones that take a claim, which a store may write in another way.
func racingWriters(f fixture) {
	const writers, each = 8, 6
	var wins [writers*each + 1]atomic.Int32
	var conflicts atomic.Int32
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for won := 0; won < each && !f.Failed(); {
				head := eventsourcing.Version(len(f.read(f.stream("s"), 0)))
				c := f.commit("s", head, 1)
				if w%2 == 1 {
					c.Take = []eventsourcing.Claim{f.claim(c.Records[0].ID)}
				}
				switch err := f.retry(c); {
				case err == nil:
					won++
					wins[head+1].Add(1)
				case errors.Is(err, eventsourcing.ErrConflict):
					conflicts.Add(1)
				default:
					f.Errorf("err = %v, want none or ErrConflict", err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Len(f, f.ids(f.stream("s")), writers*each)
	for version := 1; version <= writers*each; version++ {
		assert.Equal(f, int32(1), wins[version].Load(), "winners of version %d", version)
	}
	f.Logf("%d conflicts", conflicts.Load())
}

func racingClaims(f fixture) {
	const streams = 12
	v := f.claim("wanted")
	for round := range 3 {
		id := func(n int) string { return fmt.Sprintf("%d-%d", round, n) }
		winner := f.one(streams, eventsourcing.ErrClaimTaken, func(n int) eventsourcing.Commit {
			c := f.commit(id(n), 0, 1)
			c.Take = []eventsourcing.Claim{v}
			return c
		})
		for n := range streams {
			require.Equal(f, n == winner, len(f.ids(f.stream(id(n)))) == 1, "stream %d of round %d", n, round)
		}
		release := f.commit(id(winner), 1, 1)
		release.Release = []eventsourcing.Claim{v}
		f.append(release)
	}
}

func racingCommands(f fixture) {
	winner := f.one(8, eventsourcing.ErrCommandRepeated, func(n int) eventsourcing.Commit {
		c := f.commit(fmt.Sprint(n), 0, 1)
		c.Result = f.result("c")
		c.Result.Outcome = fmt.Append(nil, n)
		return c
	})
	got, err := f.store.Result(f.Context(), f.result("c").ID)
	require.NoError(f, err)
	assert.Equal(f, fmt.Sprint(winner), string(got.Outcome))
}

// one appends n commits at once and expects one to succeed and the others to get the refusal.
func (f fixture) one(n int, refusal error, commit func(int) eventsourcing.Commit) (winner int) {
	f.Helper()
	start := make(chan struct{})
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			c := commit(i)
			<-start
			errs[i] = f.retry(c)
		})
	}
	close(start)
	wg.Wait()
	winner = -1
	for i, err := range errs {
		if err != nil {
			require.ErrorIs(f, err, refusal)
			continue
		}
		require.Equal(f, -1, winner, "a second winner: %d", i)
		winner = i
	}
	require.NotEqual(f, -1, winner, "no winner")
	return winner
}

// racingGuard grants a role to users for as long as that goes, and disables the role meanwhile.
func racingGuard(f fixture) {
	role := f.stream("role")
	f.append(f.commit("role", 0, 1))
	var disabled atomic.Bool
	var granting, done sync.WaitGroup
	for n := range 4 {
		granting.Add(1)
		done.Go(func() {
			begun := sync.OnceFunc(granting.Done)
			defer begun()
			for round := 0; !f.Failed(); round++ {
				late := disabled.Load() // before the append begins
				c := f.commit(fmt.Sprintf("user-%d-%d", n, round), 0, 1)
				c.Guards = []eventsourcing.Guard{{Stream: role, Version: 1}}
				err := f.retry(c)
				begun()
				granted := len(f.read(c.Stream, 0)) == 1
				switch {
				case err == nil && (late || !granted), errors.Is(err, eventsourcing.ErrGuardMoved) && granted:
					f.Errorf("late = %t, granted = %t, err = %v", late, granted, err)
					return
				case errors.Is(err, eventsourcing.ErrGuardMoved):
					return
				case err != nil:
					f.Errorf("err = %v, want none or ErrGuardMoved", err)
					return
				}
			}
		})
	}
	granting.Wait()
	if err := f.retry(f.commit("role", 1, 1)); err != nil {
		f.Errorf("disable: %v", err)
	}
	disabled.Store(true)
	done.Wait()
}

// writeSkew would pass twice if guards were looked at before, and not together with, the write.
func writeSkew(f fixture) {
	for round := range 20 {
		pair := [2]string{fmt.Sprintf("x%d", round), fmt.Sprintf("y%d", round)}
		errs := [2]error{}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range pair {
			wg.Go(func() {
				c := f.commit(pair[i], 0, 1)
				c.Guards = []eventsourcing.Guard{{Stream: f.stream(pair[1-i])}}
				<-start
				errs[i] = f.retry(c)
			})
		}
		close(start)
		wg.Wait()
		written := 0
		for i, err := range errs {
			if err != nil {
				require.ErrorIs(f, err, eventsourcing.ErrGuardMoved)
			} else {
				written++
			}
			require.Equal(f, err == nil, len(f.ids(f.stream(pair[i]))) == 1)
		}
		require.Equal(f, 1, written)
	}
}

func racingRepetitions(f fixture) {
	plain, whole := f.commit("plain", 0, 1), f.commit("whole", 0, 2)
	whole.Take, whole.Result = []eventsourcing.Claim{f.claim("v")}, f.result("c")
	var wg sync.WaitGroup
	for range 8 {
		for _, c := range []eventsourcing.Commit{plain, whole} {
			wg.Go(func() { assert.NoError(f, f.retry(c)) })
		}
	}
	wg.Wait()
	assert.Equal(f, idsOf(plain), f.ids(plain.Stream))
	assert.Equal(f, idsOf(whole), f.ids(whole.Stream))
}
