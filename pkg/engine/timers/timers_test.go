package timers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clockwork is a table of timers, and a handler that deletes each that it is called with.
type clockwork struct {
	t      *testing.T
	server *localaws.Server
	db     *dynamodb.Client
	table  timers.Table

	mu    sync.Mutex
	fired []string // names, with the whole seconds since the start
	start time.Time
	fail  map[string]bool // streams whose timers cannot be fired
}

func newClockwork(t *testing.T) *clockwork {
	t.Helper()
	c := &clockwork{t: t, server: localaws.New(localaws.Options{}), start: time.Now(), fail: map[string]bool{}}
	c.db = dynamodb.NewFromConfig(c.server.Config())
	c.table = timers.Table{DB: c.db}
	for _, in := range []*dynamodb.CreateTableInput{c.table.CreateTableInput(), shards.CreateTableInput("leases")} {
		_, err := c.db.CreateTable(t.Context(), in)
		require.NoError(t, err)
	}
	return c
}

// timer is due so long after the start.
func (c *clockwork) timer(stream, name string, after time.Duration) timers.Timer {
	return timers.Timer{
		Stream: eventsourcing.StreamID{Category: "test/process", ID: stream}, Name: name, Due: c.start.Add(after).UTC(), Version: 3,
	}
}

// write makes the writes of one transaction.
func (c *clockwork) write(writes ...types.TransactWriteItem) {
	c.t.Helper()
	_, err := c.db.TransactWriteItems(c.t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	require.NoError(c.t, err)
}

func (c *clockwork) stored() (all []timers.Timer) {
	c.t.Helper()
	for timer, err := range c.table.All(c.t.Context()) {
		require.NoError(c.t, err)
		all = append(all, timer)
	}
	return all
}

func (c *clockwork) handle(ctx context.Context, stream eventsourcing.StreamID, due []timers.Timer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range due {
		c.fired = append(c.fired, fmt.Sprintf("%s@%d", t.Name, int(time.Since(c.start).Seconds())))
		if c.fail[stream.ID] {
			return errors.New("cannot be fired")
		}
		if err := c.table.Discard(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (c *clockwork) poller(change func(*timers.Config)) *timers.Poller {
	c.t.Helper()
	cfg := timers.Config{Table: c.table, Handle: c.handle, Leases: shards.NewDynamoDBLeases(c.db, "leases")}
	if change != nil {
		change(&cfg)
	}
	p, err := timers.NewPoller(cfg)
	require.NoError(c.t, err)
	return p
}

// runFor runs pollers at once.
func (c *clockwork) runFor(d time.Duration, pollers ...*timers.Poller) {
	ctx, cancel := context.WithTimeout(c.t.Context(), d)
	defer cancel()
	var running sync.WaitGroup
	for _, p := range pollers {
		running.Go(func() { assert.NoError(c.t, p.Run(ctx)) })
	}
	running.Wait()
}

func TestATimerIsKeptAsItWasSet(t *testing.T) {
	t.Parallel()
	c := newClockwork(t)
	defer c.server.Close()
	a, b := c.timer("p", "a", time.Hour), c.timer("p", "b", time.Minute)
	a.Due, b.Due = a.Due.Truncate(time.Millisecond), b.Due.Truncate(time.Millisecond)
	c.write(c.table.Set(a), c.table.Set(b))
	assert.Equal(t, []timers.Timer{b, a}, c.stored(), "the first due first")
	c.write(c.table.Cancel(a))
	assert.Equal(t, []timers.Timer{b}, c.stored())

	again := b
	again.Version = 9
	c.write(c.table.Set(again))
	require.NoError(t, c.table.Discard(t.Context(), b))
	assert.Equal(t, []timers.Timer{again}, c.stored(), "another one is in its place")
	require.NoError(t, c.table.Discard(t.Context(), again))
	require.NoError(t, c.table.Discard(t.Context(), again), "gone already")
	assert.Empty(t, c.stored())
}

func TestWhatCannotBeStoredIsNoTimer(t *testing.T) {
	t.Parallel()
	good := timers.Timer{Stream: eventsourcing.StreamID{Category: "c", ID: "i"}, Name: "n", Due: time.UnixMilli(1)}
	require.NoError(t, good.Validate())
	for what, spoil := range map[string]func(*timers.Timer){
		"without a name": func(t *timers.Timer) { t.Name = "" },
		"a long name":    func(t *timers.Timer) { t.Name = strings.Repeat("n", timers.MaxName+1) },
		"before 1970":    func(t *timers.Timer) { t.Due = time.Time{} },
		"in far times":   func(t *timers.Timer) { t.Due = time.UnixMilli(1e15) },
	} {
		bad := good
		spoil(&bad)
		require.Error(t, bad.Validate(), what)
	}
}

func TestTimersFireWithinASecondAndNotEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClockwork(t)
		defer c.server.Close()
		for i := range 40 {
			after := time.Duration(i) * 1500 * time.Millisecond
			timer := c.timer(fmt.Sprint("p", i%7), fmt.Sprint(i), after)
			c.write(c.table.Set(timer))
		}
		var wrong []string
		c.runFor(2*time.Minute, c.poller(func(cfg *timers.Config) {
			cfg.Handle = func(ctx context.Context, s eventsourcing.StreamID, due []timers.Timer) error {
				for _, timer := range due {
					if late := time.Since(timer.Due); late < 0 || late > 2*time.Second {
						wrong = append(wrong, fmt.Sprintf("%s by %v", timer.Name, late))
					}
				}
				return c.handle(ctx, s, due)
			}
		}))
		assert.Empty(t, wrong)
		assert.Len(t, c.fired, 40)
		assert.Empty(t, c.stored())
	})
}

func TestOnePollerWorksAndTheNextOneTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClockwork(t)
		defer c.server.Close()
		var by sync.Map
		named := func(name string) *timers.Poller {
			return c.poller(func(cfg *timers.Config) {
				cfg.Owner = name
				cfg.Handle = func(ctx context.Context, s eventsourcing.StreamID, due []timers.Timer) error {
					by.Store(due[0].Name, name)
					return c.handle(ctx, s, due)
				}
			})
		}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan struct{})
		go func() { defer close(stopped); _ = named("first").Run(ctx) }()
		synctest.Wait()
		c.write(c.table.Set(c.timer("p", "a", 5*time.Second)), c.table.Set(c.timer("p", "b", 15*time.Second)),
			c.table.Set(c.timer("p", "c", 60*time.Second)))
		go func() { time.Sleep(10 * time.Second); stop() }()
		before := c.server.Calls()["DynamoDB.Query"]
		c.runFor(30*time.Second, named("second"))
		<-stopped
		who := func(timer string) any { name, _ := by.Load(timer); return name }
		assert.Equal(t, "first", who("a"))
		assert.Equal(t, "second", who("b"), "within the third of a lease after a clean stop")
		assert.Less(t, c.server.Calls()["DynamoDB.Query"]-before, int64(30*4+20), "one poller queries, the other waits")

		// A poller that crashed has released nothing.
		leases := shards.NewDynamoDBLeases(c.db, "leases")
		stored, err := leases.List(t.Context(), "timers")
		require.NoError(t, err)
		dead := stored[0]
		dead.Owner, dead.Counter = "dead", dead.Counter+1
		require.NoError(t, leases.Put(t.Context(), dead, stored[0]))
		c.runFor(time.Minute, named("third"))
		assert.Equal(t, "third", who("c"))
	})
}

// Two pollers that both take themselves for the only one, as after a pause of a process, fire twice at most.
func TestTwoPollersAtOnceDoNoHarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClockwork(t)
		defer c.server.Close()
		c.write(c.table.Set(c.timer("p", "a", 5*time.Second)))
		c.runFor(20*time.Second, c.poller(func(cfg *timers.Config) { cfg.Consumer = "one" }),
			c.poller(func(cfg *timers.Config) { cfg.Consumer = "other" }))
		assert.NotEmpty(t, c.fired)
		assert.Empty(t, c.stored())
	})
}

func TestWhatFailsIsTriedAgainAndDelaysNoOtherStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClockwork(t)
		defer c.server.Close()
		registry, loops := prometheus.NewRegistry(), new(progress.Loops)
		c.fail["bad"] = true
		c.write(c.table.Set(c.timer("bad", "bad", time.Second)), c.table.Set(c.timer("good", "good", 100*time.Second)))
		_, err := c.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("timers"), Item: map[string]types.AttributeValue{
			"bucket": &types.AttributeValueMemberS{Value: "1"}, "due": &types.AttributeValueMemberS{Value: "0 of another hand"},
		}})
		require.NoError(t, err)
		go func() {
			time.Sleep(12 * time.Minute)
			assert.Empty(t, loops.Stuck())
			assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP timers_stuck Timers that are overdue for longer than they may be, as the poller that works saw them last.
# TYPE timers_stuck gauge
timers_stuck{category="test/process"} 1
`), "timers_stuck"))
			c.mu.Lock()
			defer c.mu.Unlock()
			assert.Contains(t, strings.Join(c.fired, " "), " good@10")
			assert.Greater(t, len(c.fired), 10, "at least once a minute")
			assert.Less(t, len(c.fired), 60, "and not every second")
			c.fail["bad"] = false
		}()
		c.runFor(15*time.Minute, c.poller(func(cfg *timers.Config) { cfg.Metrics, cfg.Loops = registry, loops }))
		n, err := testutil.GatherAndCount(registry, "timers_due")
		require.NoError(t, err)
		assert.Zero(t, n, "nothing is due any more")
	})
}

// A call that takes long makes room for others, as long as there is room for such calls.
func TestWhatTakesLongDelaysNoOtherStream(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		streams, fired int
	}{
		"with room for all that take long": {2, 1},
		"with more than that":              {3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newClockwork(t)
				defer c.server.Close()
				for i := range tt.streams {
					c.write(c.table.Set(c.timer(fmt.Sprint("long", i), "long", time.Second)))
				}
				c.write(c.table.Set(c.timer("short", "short", 30*time.Second)))
				begun := 0
				c.runFor(time.Minute, c.poller(func(cfg *timers.Config) {
					cfg.Parallel, cfg.Long = 1, 2
					cfg.Handle = func(ctx context.Context, s eventsourcing.StreamID, due []timers.Timer) error {
						if s.ID == "short" {
							return c.handle(ctx, s, due)
						}
						c.mu.Lock()
						begun++
						c.mu.Unlock()
						<-ctx.Done()
						return context.Cause(ctx)
					}
				}))
				assert.Equal(t, tt.streams, begun)
				assert.Len(t, c.fired, tt.fired)
			})
		})
	}
}

// A timer that never fires lists a stream that is parked. Each poller counts it, and none handles it.
func TestWhatIsParkedIsCountedAndNotFired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClockwork(t)
		defer c.server.Close()
		var parked []timers.Timer
		for i := range 3 {
			timer := c.timer(fmt.Sprint(i), "parked", 0)
			timer.Due = timers.Never()
			require.NoError(t, timer.Validate())
			c.write(c.table.Set(timer))
			parked = append(parked, timer)
		}
		registry := prometheus.NewRegistry()
		counted := func(n string) {
			assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(n), "timers_parked"))
		}
		go func() {
			time.Sleep(90 * time.Second)
			counted(`
# HELP timers_parked Streams that are parked, as the poller that works counted them last, once a minute.
# TYPE timers_parked gauge
timers_parked{category="test/process"} 3
`)
			for _, timer := range parked {
				assert.NoError(t, c.table.Discard(t.Context(), timer))
			}
			time.Sleep(2 * time.Minute)
			counted("")
		}()
		c.runFor(5*time.Minute, c.poller(func(cfg *timers.Config) { cfg.Metrics = registry }))
		assert.Empty(t, c.fired)
	})
}

// What two processors cost while nothing happens, as docs/costs.md says of an hour.
func TestCallsOfTenIdleMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClockwork(t)
		defer c.server.Close()
		before := c.server.Calls()
		c.runFor(10*time.Minute, c.poller(nil), c.poller(nil))
		after := c.server.Calls()
		assert.LessOrEqual(t, after["DynamoDB.Query"]-before["DynamoDB.Query"], int64(4*600+200+4*10+10))
		assert.LessOrEqual(t, after["DynamoDB.PutItem"]-before["DynamoDB.PutItem"], int64(200+10))
	})
}

func TestMistakesOfAConfigAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := timers.NewPoller(timers.Config{Parallel: -1, Long: -1})
	for _, part := range []string{"Table.DB", "Handle", "Leases", "Parallel", "Long"} {
		require.ErrorContains(t, err, part)
	}
	handle := timers.Handler()
	require.ErrorContains(t, handle(t.Context(), eventsourcing.StreamID{Category: "x", ID: "y"}, nil), "nothing of that category")
}
