package e2e_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// programs builds the services, without the race detector, as they run in production. It returns their directory.
func programs(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds the services and runs them as processes")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command here to build the services with")
	}
	dir, err := filepath.Abs(filepath.Join(root, "bin", "processes"))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, processes.Build(t.Context(), dir))
	return dir
}

// TestProcessesKilledAtRandomLoseNothing tests the contract with operating system processes: three of each service are killed by
// SIGKILL at random while commands come in. LEFTFOLD_CHAOS is for how long, 8s by default.
func TestProcessesKilledAtRandomLoseNothing(t *testing.T) {
	duration := 8 * time.Second
	if text := os.Getenv("LEFTFOLD_CHAOS"); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err, "LEFTFOLD_CHAOS")
	}
	fleet := systemtest.NewFleet(t, programs(t), map[string]string{
		"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0",
		"LEASE_DURATION": "2s", "QUEUE_VISIBILITY": "3s", "STREAM_POLL": "50ms", "STOP_TIMEOUT": "5m",
	})
	replicas := fleet.Add(3, processes.ServiceNames()...)
	// So many users that for most the last event comes during the kills: no later event would reveal its loss.
	tr := newTraffic(fleet.Client, 150*int(duration.Seconds()+1), 15)
	tr.down = func(ctx context.Context) error { return fleet.AwaitUp(ctx, "command-api") }

	chaos, end := context.WithTimeout(t.Context(), duration)
	defer end()
	sending, abort := context.WithCancelCause(t.Context())
	defer abort(nil)
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		if err := killAtRandom(chaos, replicas, tr.seed); err != nil {
			abort(err)
		}
	}()
	outcomes := tr.sendUntil(sending, t, 24, killed)
	require.NoError(t, context.Cause(sending))
	sent := time.Now()
	fold, err := fleet.Audit(t.Context())
	require.NoError(t, err)
	t.Logf("%d commands, settled and compared %s after the last: %d events of %d users and %d roles",
		len(outcomes), time.Since(sent).Round(time.Millisecond), fold.Events, len(fold.Users), len(fold.Roles))
	records, err := fleet.Records(t.Context())
	require.NoError(t, err)
	inLog(t, outcomes, records)
	lives := map[string]int{}
	for _, p := range replicas {
		lives[p.Service] += p.Starts()
		assert.Greater(t, p.Starts(), 1, "a %s was never killed", p.Service)
	}
	t.Logf("processes by service: %v", lives)
}

// killAtRandom kills and starts processes in three goroutines, each its own third of them, so that up to three are down at a time.
// Once ctx has ended and each was killed, it starts all of them and returns.
func killAtRandom(ctx context.Context, replicas []*processes.Process, seed uint64) error {
	const hands = 3
	deck := rand.New(rand.NewPCG(seed, hands)).Perm(len(replicas))
	var killing errgroup.Group
	for hand := range hands {
		mine := deck[hand*len(deck)/hands : (hand+1)*len(deck)/hands]
		dice := rand.New(rand.NewPCG(seed, uint64(hand)))
		pause := func() {
			short, cancel := context.WithTimeout(ctx, time.Duration(dice.Int64N(int64(time.Second))))
			defer cancel()
			<-short.Done()
		}
		killing.Go(func() error {
			for i := 0; i < len(mine) || ctx.Err() == nil; i++ {
				victim := replicas[mine[dice.IntN(len(mine))]]
				if i < len(mine) { // first each once
					victim = replicas[mine[i]]
				}
				if err := victim.Kill(); err != nil {
					return err
				}
				pause()
				if err := victim.Start(context.WithoutCancel(ctx)); err != nil {
					return err
				}
				pause()
			}
			return nil
		})
	}
	return killing.Wait()
}

// TestThreeJoiningThreeShareTheShards lets processes share shards, join, die and leave, at the default lease duration. Times are only
// logged, as they depend on the machine; tests of pkg/engine/shards hold them to the promises, on virtual time.
func TestThreeJoiningThreeShareTheShards(t *testing.T) {
	const count = 12
	fleet := systemtest.NewFleet(t, programs(t), map[string]string{"STREAM_EVENTS": "wide", "STOP_TIMEOUT": "5m"})
	require.NoError(t, provision.Run(t.Context(), fleet.Config, provision.Config{Names: fleet.Names, StreamShards: count}))
	table := shards.NewDynamoDBLeases(dynamodb.NewFromConfig(fleet.Config), fleet.Names.Leases)
	even := func(what, consumer string, readers, shards int, since time.Time) {
		t.Helper()
		waittest.Until(t, what, func() (any, bool) {
			owners := ownersOf(t, table, consumer)
			return owners, isEven(owners, readers, shards)
		})
		t.Logf("%s after %s", what, time.Since(since).Round(10*time.Millisecond))
	}
	began := time.Now()
	first := fleet.Add(3, "streamer", "broker")
	even("3 brokers share the shards", "broker", 3, count, began)
	streamShards := shardsOfTheLog(t, table)

	began = time.Now()
	fleet.Add(3, "streamer", "broker")
	t.Logf("3 more are ready after %s", time.Since(began).Round(10*time.Millisecond))
	even("6 brokers share the shards", "broker", 6, count, began)
	even("6 streamers share the shards", "streamer", 6, streamShards, began)

	began = time.Now()
	require.NoError(t, first[1].Kill())
	even("5 brokers share the shards of one that was killed", "broker", 5, count, began)

	began = time.Now()
	require.NoError(t, first[3].Stop())
	t.Logf("a broker stopped after %s", time.Since(began).Round(10*time.Millisecond))
	even("4 brokers share the shards of one that was stopped", "broker", 4, count, began)
}

// ownersOf counts open leases by owner; those without an owner are under "".
func ownersOf(t *testing.T, table shards.Leases, consumer string) map[string]int {
	t.Helper()
	leases, err := table.List(t.Context(), consumer)
	require.NoError(t, err)
	owners := map[string]int{}
	for _, l := range leases {
		if l.State == shards.StateOpen {
			owners[l.Owner]++
		}
	}
	return owners
}

func shardsOfTheLog(t *testing.T, table shards.Leases) (n int) {
	t.Helper()
	for _, leases := range ownersOf(t, table, "streamer") {
		n += leases
	}
	require.NotZero(t, n)
	return n
}

func isEven(owners map[string]int, readers, shards int) bool {
	if len(owners) != min(readers, shards) {
		return false
	}
	sum := 0
	for owner, n := range owners {
		if owner == "" || n < shards/readers || n > (shards+readers-1)/readers {
			return false
		}
		sum += n
	}
	return sum == shards
}
