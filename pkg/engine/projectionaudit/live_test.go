package projectionaudit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// chance draws at random for many goroutines.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// upTo sleeps for a random time.
func (c *chance) upTo(d time.Duration) { time.Sleep(time.Duration(c.n(int(d)))) }

// system is writers and a pipeline that delivers what they write late, more than once, in any order, and by processes that
// are killed; every event is applied within latest.
type system struct {
	*stage
	chance *chance
	slow   *hooks // each call takes a while, so that others come between
	broken atomic.Bool
	halt   atomic.Bool
	work   sync.WaitGroup
}

const latest = 100 * time.Second

func newSystem(s *stage, seed uint64) *system {
	sys := &system{stage: s, chance: &chance{r: rand.New(rand.NewPCG(seed, 0))}}
	pause := func(string) error { sys.chance.upTo(20 * time.Millisecond); return nil }
	sys.slow = &hooks{before: pause, after: pause}
	return sys
}

// start lets that many writers write until stop.
func (sys *system) start(writers int) {
	for w := range writers {
		sys.work.Go(func() {
			for !sys.halt.Load() {
				stream := bookStream(fmt.Sprintf("b%d-%d", w, sys.chance.n(5)))
				if sys.chance.n(6) == 0 {
					stream = shelfStream(fmt.Sprint("s", w))
				}
				before := len(sys.loggedOf(stream))
				records := sys.append(stream, sys.events(stream)...)
				sys.work.Go(func() { sys.deliver(records[before:]) })
				sys.chance.upTo(6 * time.Second)
			}
		})
	}
	sys.work.Go(func() { // the operators
		p := sys.projectorOf(sys.client(sys.slow), new(atomic.Bool))
		for !sys.halt.Load() {
			sys.chance.upTo(10 * time.Second)
			sys.broken.Store(sys.chance.n(4) == 0)
			stream := bookStream(fmt.Sprintf("b%d-%d", sys.chance.n(writers), sys.chance.n(5)))
			run := p.Rebuild
			if sys.chance.n(2) == 0 {
				run = p.Redrive
			}
			if _, err := run(sys.t.Context(), stream); !errors.Is(err, projection.ErrNoStream) {
				assert.NoError(sys.t, err)
			}
		}
	})
}

func (sys *system) loggedOf(stream eventsourcing.StreamID) []eventsourcing.Record {
	sys.mu.Lock()
	defer sys.mu.Unlock()
	return sys.logged[stream]
}

func (sys *system) events(stream eventsourcing.StreamID) (events []event) {
	if stream.Category == "test/shelf" {
		return []event{named{fmt.Sprint("secret", sys.chance.n(100))}}
	}
	for range 1 + sys.chance.n(3) {
		shelf := fmt.Sprint("s", sys.chance.n(4))
		events = append(events, []event{
			titled{fmt.Sprint("secret", sys.chance.n(100))}, placed{shelf}, placed{shelf}, withdrawn{shelf}, torn{},
		}[sys.chance.n(5)])
	}
	return events
}

// deliver applies the records, at the latest after some kills, and perhaps once more.
func (sys *system) deliver(records []eventsourcing.Record) {
	p := sys.projectorOf(sys.client(sys.slow), &sys.broken)
	deadline := time.Now().Add(latest / 2)
	sys.chance.upTo(3 * time.Second)
	for time.Now().Before(deadline) && sys.chance.n(3) == 0 { // a task that is killed; its messages are visible again later
		ctx, kill := context.WithTimeout(sys.t.Context(), time.Duration(sys.chance.n(int(150*time.Millisecond))))
		_, _ = p.Apply(ctx, records)
		kill()
		sys.chance.upTo(30 * time.Second)
	}
	for range 1 + sys.chance.n(2) {
		for rest := records; len(rest) > 0; {
			done, err := p.Apply(sys.t.Context(), rest)
			assert.True(sys.t, err == nil || errors.Is(err, eventsourcing.ErrUnavailable), "%v", err)
			rest = rest[done:]
		}
		sys.chance.upTo(10 * time.Second)
	}
}

// stop ends the traffic, and takes up what is parked.
func (sys *system) stop() {
	sys.halt.Store(true)
	sys.work.Wait()
	sys.broken.Store(false)
	for stream := range sys.logged {
		_, err := sys.projector(sys.db).Redrive(sys.t.Context(), stream)
		require.NoError(sys.t, err)
	}
}

// beside makes an audit run beside the system, with calls that take a while.
func (sys *system) beside(c *projectionaudit.Config) {
	db := sys.client(sys.slow)
	c.Projector, c.Log = sys.projectorOf(db, new(atomic.Bool)), dynamostore.NewStore(db, dynamostore.Config{})
	c.Settle, c.MaxAttempts = latest, 1000
	c.PageSize = int32(1 + sys.chance.n(100))
}

// Events are written, delivered late, twice and by tasks that are killed, parked, redriven and rebuilt all the time, also
// between two calls of the audit: it must suspect, check again and report no difference.
func TestALiveSystemCausesNoFalseFinding(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.server.Close()
				sys := newSystem(s, seed)
				sys.start(3)
				var sum projectionaudit.Result
				for round := 0; round < 2 || sum.Suspicions <= 10; round++ {
					require.Less(t, round, 50, "the traffic causes no suspicion")
					time.Sleep(10 * time.Second)
					result, found, err := s.audit(sys.beside, func(c *projectionaudit.Config) { c.Repair = round%2 == 1 })
					require.NoError(t, err)
					for _, f := range found {
						require.Equal(t, projectionaudit.Parked, f.Kind, f.String())
					}
					require.True(t, result.Equal())
					sum.Suspicions += result.Suspicions
					sum.Parked += result.Parked
				}
				t.Logf("%d suspicions, %d parked", sum.Suspicions, sum.Parked)
				sys.stop()
				_, lines := s.audited()
				assert.Empty(t, lines)
				s.requireFolded()
			})
		})
	}
}

// Rows are lost, edited and planted by hand while events are applied and audits repair, several at once.
func TestRepairsRaceWithEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.server.Close()
				sys := newSystem(s, 100+seed)
				sys.start(3)
				time.Sleep(time.Minute)
				for range 2 {
					for range 10 {
						sys.harm()
					}
					var audits sync.WaitGroup
					for range 2 {
						audits.Go(func() {
							_, _, err := s.audit(sys.beside, repairing)
							assert.NoError(t, err)
						})
					}
					audits.Wait()
				}
				sys.stop()
				result, lines := s.audited(repairing)
				assert.True(t, result.Equal(), "%s", lines)
				_, lines = s.audited()
				assert.Empty(t, lines)
				s.requireFolded()
			})
		})
	}
}

// harm changes a row that is there, or plants one, by hand.
func (sys *system) harm() {
	book, shelf := fmt.Sprintf("b%d-%d", sys.chance.n(3), sys.chance.n(5)), fmt.Sprint("s", sys.chance.n(4))
	rows := sys.rows()
	_, hasBook := rows[book+"|book"]
	_, hasCopy := rows[shelf+"|book#"+book]
	switch sys.chance.n(5) {
	case 0:
		sys.lose(shelf, "book#"+book)
	case 1:
		sys.lose(book, "book")
	case 2:
		if hasCopy {
			sys.plant(shelf, "book#"+book, projection.Item{"title": text("edited")})
		}
	case 3:
		if hasBook {
			sys.plant(book, "book", projection.Item{"price": number("7")})
		}
	default:
		sys.plant(shelf, "book#"+book, projection.Item{"stream": text("test/book/" + book), "title": text("planted")})
	}
}

// An event is applied right before the first write of a repair: then it must write nothing of what it has read, and do what is
// right then. A difference that was confirmed is reported as it was judged, even if another writer put it right.
func TestARepairYieldsToAnEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant, event func(s *stage)
		found        []string
	}{
		"a stale stream arrives": {
			func(s *stage) { s.append(bookStream("b7"), titled{"new"}) },
			func(s *stage) { s.happened(bookStream("b7"), withdrawn{"s1"}) },
			[]string{"stale: book/b7 is at version 4; the log is at version 5: repaired"},
		},
		"an edited row's stream moves on": {
			func(s *stage) { s.plant("s0", "book#b7", projection.Item{"title": text("secret")}) },
			func(s *stage) { s.happened(bookStream("b7"), withdrawn{"s1"}) },
			[]string{"edited: book/b7 differs from the fold at version 4 in row book#b7 of s0: repaired"},
		},
		"an edited row is put right by its stream": {
			func(s *stage) { s.plant("s0", "book#b7", projection.Item{"title": text("secret")}) },
			func(s *stage) { s.happened(bookStream("b7"), titled{"new"}) },
			[]string{"edited: book/b7 differs from the fold at version 4 in row book#b7 of s0: repaired"},
		},
		"a lost own row comes again": {
			func(s *stage) { s.lose("b7", "book") },
			func(s *stage) { s.happened(bookStream("b7"), placed{"s3"}) },
			[]string{"missing: book/b7 has no row; the log is at version 4: repaired"},
		},
		"the owner derives the foreign row": {
			func(s *stage) { s.plant("s3", "book#b7", projection.Item{"stream": text("test/book/b7")}) },
			func(s *stage) { s.happened(bookStream("b7"), placed{"s3"}) },
			[]string{},
		},
		"the owner of the foreign row does something else": {
			func(s *stage) { s.plant("s3", "book#b7", projection.Item{"stream": text("test/book/b7")}) },
			func(s *stage) { s.happened(bookStream("b7"), withdrawn{"s1"}) },
			[]string{"foreign: row book#b7 of s3: book/b7 does not derive it at version 5: repaired"},
		},
		"the foreign row is given to a stream that derives it": {
			func(s *stage) { s.plant("s3", "book#b5", projection.Item{"stream": text("test/book/b7")}) },
			func(s *stage) {
				s.lose("s3", "book#b5")
				s.happened(bookStream("b5"), placed{"s3"})
			},
			[]string{},
		},
		"a stream that was not there derives the foreign row": {
			func(s *stage) { s.plant("s3", "book#new", projection.Item{"stream": text("test/book/new")}) },
			func(s *stage) { s.happened(bookStream("new"), placed{"s3"}) },
			[]string{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			s.crowd()
			c.plant(s)
			var once sync.Once
			var reached atomic.Int64
			_, lines := s.audited(repairingEmptied, s.through(&hooks{before: func(op string) error {
				if op == "PutItem" || op == "DeleteItem" || op == "TransactWriteItems" {
					once.Do(func() { c.event(s); reached.Store(s.versions()) })
				}
				return nil
			}, after: func(string) error {
				least := reached.Load() // before the rows are read
				assert.GreaterOrEqual(t, s.versions(), least, "no row goes back")
				return nil
			}}))
			assert.Equal(t, c.found, lines)
			_, lines = s.audited()
			assert.Empty(t, lines)
			s.requireFolded()
		})
	}
}

// versions is the sum of the versions of all own rows.
func (s *stage) versions() (sum int64) {
	for _, row := range s.rows() {
		if n, ok := row["version"].(*types.AttributeValueMemberN); ok {
			version, err := strconv.ParseInt(n.Value, 10, 64)
			require.NoError(s.t, err)
			sum += version
		}
	}
	return sum
}

// A stream may be behind for as long as a healthy pipeline needs, and a stream that moves is not stale.
func TestAStreamIsStaleOnlyIfItStaysBehind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration
		apply int // events of the two
		found []string
	}{
		"in time":         {time.Minute - time.Second, 2, []string{}},
		"a part, in time": {time.Minute - time.Second, 1, []string{}},
		"too late":        {time.Minute + time.Second, 2, []string{"stale: book/b7 is at version 4; the log is at version 6"}},
	} {
		for _, sample := range []float64{1, 1e-9} {
			t.Run(fmt.Sprint(name, ", ", sample), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newStage(t)
					defer s.server.Close()
					s.crowd()
					records := s.append(bookStream("b7"), titled{"new"}, withdrawn{"s1"})[4:]
					var late sync.WaitGroup
					late.Go(func() {
						time.Sleep(c.after)
						_, err := s.projector(s.db).Apply(t.Context(), records[:c.apply])
						assert.NoError(t, err)
					})
					_, lines := s.audited(func(cfg *projectionaudit.Config) { cfg.Sample, cfg.Settle = sample, time.Minute })
					assert.Equal(t, c.found, lines)
					late.Wait()
				})
			})
		}
	}
}

// An event is applied during each comparison, so that none finds the stream unchanged.
func TestAStreamThatKeepsChangingIsUndecided(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.happened(bookStream("b"), titled{"a"})
	attempts := 0
	result, lines := s.audited(repairing, s.through(&hooks{before: func(op string) error {
		if op == "BatchGetItem" {
			attempts++
			s.happened(bookStream("b"), titled{fmt.Sprint(attempts)})
		}
		return nil
	}}), func(c *projectionaudit.Config) { c.MaxAttempts = 7 })
	assert.Empty(t, lines)
	assert.Equal(t, 1, result.Undecided)
	assert.Equal(t, 1+7, attempts, "among others, then alone")
	assert.False(t, result.Equal())
}

// Each call fails in turn, before it is made or with its answer lost. Another run repairs what is left.
func TestACrashLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	errCrash := errors.New("crash")
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost answers: ", lost), func(t *testing.T) {
			t.Parallel()
			for crashAt := 1; ; crashAt++ {
				s := newStage(t)
				s.happened(shelfStream("s0"), named{"a"})
				s.happened(bookStream("b"), titled{"b"}, placed{"s0"}, placed{"s1"})
				s.happened(bookStream("c"), titled{"c"}, placed{"s0"})
				s.lose("c", "book")
				s.plant("s1", "book#b", projection.Item{"title": text("edited")})
				s.plant("s1", "book#c", projection.Item{"stream": text("test/book/c")})
				calls := 0
				crash := func(string) error {
					if calls++; calls == crashAt {
						return errCrash
					}
					return nil
				}
				h := &hooks{before: crash}
				if lost {
					h = &hooks{after: crash}
				}
				_, _, err := s.audit(repairing, s.through(h), func(c *projectionaudit.Config) { c.Parallel = 1 })
				result, lines := s.audited(repairing)
				assert.True(t, result.Equal(), "%d: %s", crashAt, strings.Join(lines, "\n"))
				s.requireFolded()
				s.server.Close()
				if calls < crashAt {
					require.NoError(t, err)
					require.Greater(t, crashAt, 20, "it makes more calls than that")
					break
				}
				require.ErrorIs(t, err, errCrash, "call %d", crashAt)
			}
		})
	}
}
