package claimsaudit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// busy sends a command of a few users and roles, which keep changing their addresses and names for those of others. It
// reports whether it was accepted.
func (s *stage) busy() bool {
	n, name := rand.IntN(60), fmt.Sprint("name", rand.IntN(90))
	var err error
	switch rand.IntN(5) {
	case 0:
		err = s.user(fmt.Sprint("u", n), user.Register{ID: user.ID(fmt.Sprint("u", n)), Email: email(name)})
	case 1:
		err = s.role(fmt.Sprint("r", n), role.Create{Name: role.Name(name)})
	case 2:
		err = s.role(fmt.Sprint("r", n), role.Rename{Name: role.Name(name)})
	default:
		err = s.user(fmt.Sprint("u", n), user.ChangeEmail{Email: email(name)})
	}
	_, refused := errors.AsType[*eventsourcing.Refusal](err)
	if !refused && !errors.Is(err, eventsourcing.ErrClaimTaken) && !errors.Is(err, eventsourcing.ErrConflict) &&
		!errors.Is(err, eventsourcing.ErrUnavailable) {
		assert.NoError(s.t, err)
	}
	return err == nil
}

// traffic is busy with many clients until stop is called.
func (s *stage) traffic(clients int) (stop func() (accepted int64)) {
	var accepted atomic.Int64
	var halt atomic.Bool
	var sending sync.WaitGroup
	for range clients {
		sending.Go(func() {
			for !halt.Load() {
				if s.busy() {
					accepted.Add(1)
				}
			}
		})
	}
	return func() int64 {
		halt.Store(true)
		sending.Wait()
		return accepted.Load()
	}
}

// Commands run all the time, some of them between two calls of the audit: it must suspect, check again and report nothing.
func TestALiveSystemCausesNoFalseDifference(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	stop := s.traffic(1)
	suspicions, rounds := 0, 0
	between := hooks{after: func(string) error {
		if rand.IntN(4) == 0 {
			s.busy()
		}
		return nil
	}}
	for round := 0; round < 8 || suspicions <= 10; round++ { // few of the first rounds meet much to suspect
		require.Less(t, round, 200, "the traffic causes no suspicion")
		rounds++
		result, lines := s.audited(s.through(between), func(c *claimsaudit.Config) {
			c.PageSize = int32(1 + round%4*60)
			c.Repair = round%2 == 1
			c.MaxAttempts = 1000
		})
		require.Empty(t, lines, "round %d", round)
		require.True(t, result.Equal(), "round %d", round)
		suspicions += result.Suspicions
	}
	accepted := stop()
	t.Logf("%d commands accepted, %d suspicions checked in %d rounds", accepted, suspicions, rounds)
	result, lines := s.audited()
	assert.Empty(t, lines)
	assert.True(t, result.Equal())
}

// Rows are lost and planted by hand while commands run and audits repair, several at once.
func TestRepairsRaceWithCommands(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	for n := range 10 { // these do not change, and their claims are lost again and again; no other user takes their addresses
		s.registered(fmt.Sprint("still", n), fmt.Sprint("still", n))
	}
	stop := s.traffic(2)
	for round := range 4 {
		for n := range 3 {
			s.lose(key(fmt.Sprint("still", (round+n)%10)))
			s.plant(key(fmt.Sprint("orphan", n)), text(userStream(fmt.Sprint("u", round%20)))) // that one is busy
			s.plant(key(fmt.Sprint("still", (round+n+5)%10)), text(userStream(fmt.Sprint("u", round%20))))
		}
		var audits errgroup.Group
		for range 2 {
			audits.Go(func() error {
				_, found, err := s.audit(repairing, func(c *claimsaudit.Config) { c.MaxAttempts = 1000 })
				for _, d := range found {
					assert.True(t, d.Repaired, d.String())
				}
				return err
			})
		}
		require.NoError(t, audits.Wait())
		result, lines := s.audited(func(c *claimsaudit.Config) { c.MaxAttempts = 1000 })
		require.Empty(t, lines, "round %d", round)
		require.True(t, result.Equal())
	}
	stop()
	result, lines := s.audited()
	assert.Empty(t, lines)
	assert.True(t, result.Equal())
}

// A command comes right before each call of the repair: then the repair must do nothing, check again, and do what is
// right then.
func TestARepairYieldsToACommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant, command func(s *stage)
		found          []string
	}{
		"the holder of a missing claim moves on": {
			func(s *stage) { s.lose(key("ann")) },
			func(s *stage) { require.NoError(s.t, s.user("a", user.ChangeEmail{Email: email("anna")})) },
			[]string{},
		},
		"the holder of a missing claim does something else": {
			func(s *stage) { s.lose(key("ann")) },
			func(s *stage) { require.NoError(s.t, s.user("a", user.Disable{})) },
			[]string{"missing: user#email is held by user/a and has no owner in the table: repaired"},
		},
		"another one takes the missing claim": {
			func(s *stage) { s.lose(key("ann")) },
			func(s *stage) { s.registered("c", "ann") },
			[]string{"contested: user#email is held by both user/a and user/c, the table's owner: " +
				"let one of them give it up by a command, then repair"},
		},
		"the stream takes the orphan given to it": {
			func(s *stage) { s.plant(key("new"), text(userStream("b"))) },
			func(s *stage) { require.NoError(s.t, s.user("b", user.ChangeEmail{Email: email("new")})) },
			[]string{},
		},
		"a stream that was not there takes the orphan given to it": {
			func(s *stage) { s.plant(key("new"), text(userStream("c"))) },
			func(s *stage) { s.registered("c", "new") },
			[]string{},
		},
		"the wrong owner takes the misplaced claim": {
			func(s *stage) { s.plant(key("ann"), text(userStream("b"))) },
			func(s *stage) { require.NoError(s.t, s.user("b", user.ChangeEmail{Email: email("ann")})) },
			[]string{"contested: user#email is held by both user/a and user/b, the table's owner: " +
				"let one of them give it up by a command, then repair"},
		},
		"the right owner gives the misplaced claim up": {
			func(s *stage) { s.plant(key("ann"), text(userStream("b"))) },
			func(s *stage) { require.NoError(s.t, s.user("a", user.ChangeEmail{Email: email("anna")})) },
			[]string{"orphan: user#email is given to user/b, which does not hold it: repaired"},
		},
		"a repair by hand": {
			func(s *stage) { s.lose(key("ann")) },
			func(s *stage) { s.plant(key("ann"), text(userStream("a"))) },
			[]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			s.registered("a", "ann")
			s.registered("b", "bob")
			c.plant(s)
			var once sync.Once
			_, lines := s.audited(repairing, s.through(hooks{before: func(op string) error {
				if op == "TransactWriteItems" {
					once.Do(func() { c.command(s) })
				}
				return nil
			}}))
			assert.Equal(t, c.found, lines)
			_, lines = s.audited(repairing)
			for _, line := range lines {
				assert.Contains(t, line, "contested", "all others are repaired")
			}
		})
	}
}

// A command runs right before each check, so that none finds the stream unchanged.
func TestAStreamThatKeepsChangingIsUndecided(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.registered("a", "ann")
	s.lose(key("ann"))
	attempts := 0
	move := hooks{before: func(op string) error {
		if op != "TransactGetItems" {
			return nil
		}
		if attempts++; attempts%2 == 1 {
			return s.user("a", user.Disable{})
		}
		return s.user("a", user.Enable{})
	}}
	result, lines := s.audited(repairing, s.through(move), func(c *claimsaudit.Config) { c.MaxAttempts = 7 })
	assert.Empty(t, lines)
	assert.Equal(t, 1, result.Undecided)
	assert.Equal(t, 7, attempts)
	assert.False(t, result.Equal())
}

// Each call fails in turn, before it is made or with its answer lost. Every row must be as before or repaired, and another
// run repairs the remaining differences.
func TestACrashLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	errCrash := &smithy.OperationError{Err: errors.New("crash")} // the SDK wraps every error in one
	for _, lost := range []bool{false, true} {
		for crashAt := 1; ; crashAt++ {
			s := newStage(t)
			s.registered("a", "ann")
			s.registered("b", "bob")
			s.registered("c", "cat")
			want := s.table()
			s.lose(key("ann"))
			s.plant(key("bob"), text(userStream("c")))
			s.plant(key("dan"), text(userStream("b")))
			planted := s.table()
			calls := 0
			crash := func(string) error {
				if calls++; calls == crashAt {
					return errCrash
				}
				return nil
			}
			h := hooks{before: crash}
			if lost {
				h = hooks{after: crash}
			}
			_, _, err := s.audit(repairing, s.through(h), func(c *claimsaudit.Config) { c.Parallel = 1 })
			for key, owner := range s.table() {
				assert.Contains(t, []string{planted[key], want[key]}, owner)
			}
			result, _ := s.audited(repairing)
			assert.True(t, result.Equal())
			assert.Equal(t, want, s.table())
			s.server.Close()
			if calls < crashAt {
				require.NoError(t, err)
				require.Greater(t, crashAt, 15, "it makes more calls than that")
				break
			}
			require.ErrorIs(t, err, errCrash, "call %d", crashAt)
		}
	}
}

func TestAnAuditThatIsStoppedIsAnError(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	ctx, stop := context.WithCancel(t.Context())
	calls := 0
	stopping := hooks{Client: s.client, before: func(string) error {
		if calls++; calls == 10 {
			stop()
		}
		return nil
	}}
	config := claimsaudit.Config{Parallel: 1}
	s.through(stopping)(&config)
	config.Categories = []claimsaudit.Category{claimsaudit.NewCategory(user.Aggregate()), claimsaudit.NewCategory(role.Aggregate())}
	config.OnDifference = func(d claimsaudit.Difference) { t.Error(d) }
	_, err := claimsaudit.Run(ctx, config)
	require.ErrorIs(t, err, context.Canceled)
}
