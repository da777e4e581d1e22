package e2e_test

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// quick lets others take over from crashed services within a second or two.
func quick() map[string]string {
	return map[string]string{"LEASE_DURATION": "1s", "QUEUE_VISIBILITY": "2s"}
}

// TestReadModelsEqualTheFoldThroughCrashes tests the contract's third line: whatever crashes and reshards in between, every logged
// event has the effect of exactly one application. It also compares every answer with the log.
func TestReadModelsEqualTheFoldThroughCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := systemtest.New(t, quick())
		require.NoError(t, sys.AWS.SetFaults(likeAWS()))
		commands := 10_000
		if testing.Short() {
			commands = 1_000
		}
		play := newPlay(chaos(t, sys), commands)
		tr := newTraffic(sys.Client, 150, 15)
		tr.down, tr.between = sys.CommandAPI.AwaitUp, play.cue
		go play.run()
		started := time.Now()
		outcomes := tr.send(t.Context(), t, 64, commands)
		play.end()
		for _, s := range sys.Services() {
			require.NoError(t, s.Restart(t.Context()))
		}
		sent := time.Now()
		fold, err := sys.Audit(t.Context())
		require.NoError(t, err)
		t.Logf("%d commands in %s, settled and compared after %s more: %d events of %d users and %d roles",
			commands, sent.Sub(started).Round(time.Millisecond), time.Since(sent).Round(time.Millisecond),
			fold.Events, len(fold.Users), len(fold.Roles))
		records, err := sys.Records(t.Context())
		require.NoError(t, err)
		answers := inLog(t, outcomes, records)
		assert.NotZero(t, answers["unknown but in the log"], "no crash hit a command that was decided")
		for _, s := range used(sys) {
			assert.Greater(t, s.Starts(), 4, "%s was not killed often enough to prove anything", s.Name)
		}
		for _, s := range sys.Projectors() {
			t.Logf("%s: applied %.0f, healed %.0f, duplicates %.0f, parked %.0f", s.Name,
				sum(t, s, "leftfold_projection_applied_total"), sum(t, s, "leftfold_projection_healed_total"),
				sum(t, s, "leftfold_projection_duplicates_total"), sum(t, s, "leftfold_projection_parked_total"))
			assert.Zero(t, sum(t, s, "leftfold_projection_parked_total"))
		}
		published := len(kinesisRecords(t, sys))
		t.Logf("%d records in Kinesis, in %d shards", published, len(shardsOf(t, sys)))
		assert.Greater(t, published, fold.Events, "no crash caused a repeated publication: they prove nothing")
	})
}

// TestTheLastEventsSurviveACrash kills each service right after each kind of call that matters, at the last events of streams: no
// later event would reveal a gap.
func TestTheLastEventsSurviveACrash(t *testing.T) {
	t.Parallel()
	for _, name := range processes.ServiceNames() {
		for _, operations := range crashPoints(t, name) {
			t.Run(name+" after "+strings.Join(operations, " or "), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					a := api{systemtest.New(t, quick()), t}
					role := a.accept(http.MethodPost, "/roles", object{"name": "reader"}).ID
					roleAt(a, role, 1)
					i := slices.IndexFunc(a.Services(), func(s *systemtest.Service) bool { return s.Name == name })
					s := a.Services()[i]
					require.NoError(t, s.Stop())
					for i := range 25 {
						id := a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("user%d@example.com", i)}).ID
						a.accept(http.MethodPost, "/users/"+id+"/roles", object{"roleId": role})
					}
					killed := s.KillAfter(operations...)
					require.NoError(t, s.Start(t.Context()))
					<-killed
					require.NoError(t, s.Start(t.Context()))
					_, err := a.Audit(t.Context())
					require.NoError(t, err)
				})
			})
		}
	}
}

// crashPoints are a service's calls on the way of a user's events: it reads them, passes them on and records that. Where it makes one of
// several calls, these are one point. TestACommandIsCarriedOutOnceWhateverCrashes kills command-api, which has none here.
func crashPoints(t *testing.T, service string) [][]string {
	t.Helper()
	for _, p := range (topology.Names{}).Consumers() {
		switch {
		case p.Service != service:
		case slices.Contains(p.Categories, user.Category):
			return [][]string{{"ReceiveMessage"}, {"GetItem"}, {"PutItem", "TransactWriteItems"}, {"DeleteMessageBatch"}}
		default:
			return nil
		}
	}
	points, known := map[string][][]string{
		topology.CommandAPI: nil,
		"streamer":          {{"GetRecords"}, {"PutRecords"}, {"PutItem"}},
		"broker":            {{"GetRecords"}, {"SendMessageBatch"}, {"PutItem"}},
	}[service]
	require.True(t, known, "which calls of %s matter?", service)
	return points
}

func sum(t testing.TB, s *systemtest.Service, name string, labels ...string) float64 {
	t.Helper()
	v, err := s.Sum(name, labels...)
	require.NoError(t, err)
	return v
}

// chaos is what happens during the traffic, in this order. A killed service stays down until the next act.
func chaos(t *testing.T, sys *systemtest.System) (acts []act) {
	ctx := context.WithoutCancel(t.Context())
	start := func(services ...*systemtest.Service) {
		for _, s := range services {
			assert.NoError(t, s.Restart(ctx))
		}
	}
	killAfter := func(s *systemtest.Service, operation string) act {
		return func(ready func()) {
			start(sys.Services()...)
			killed := s.KillAfter(operation)
			ready()
			patience, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			select {
			case <-killed:
			case <-patience.Done():
				assert.Fail(t, "no chance to kill "+s.Name+" after "+operation)
			}
			start(sys.CommandAPI)
		}
	}
	kill := func(services ...*systemtest.Service) act {
		return func(ready func()) {
			start(sys.Services()...)
			ready()
			for _, s := range services {
				s.Kill()
			}
			start(sys.CommandAPI)
		}
	}
	stop := func(services ...*systemtest.Service) act {
		return func(ready func()) {
			start(sys.Services()...)
			ready()
			for _, s := range services {
				if err := s.Stop(); err != nil {
					t.Error(err) // require would end the wrong goroutine
				}
			}
			start(services...)
		}
	}
	rotates := func(ready func()) { ready(); assert.NoError(t, sys.AWS.RotateShards(sys.Names.EventLog)) }
	splits := func(ready func()) { ready(); split(t, sys) }
	merges := func(ready func()) { ready(); merge(t, sys) }
	return []act{
		killAfter(sys.Streamer, "PutRecords"), // published, not checkpointed
		splits,
		rotates,
		killAfter(sys.Broker, "SendMessageBatch"), // routed, not checkpointed
		killAfter(sys.ProjectorUser, "PutItem"),   // applied, not deleted
		killAfter(sys.ProjectorRole, "TransactWriteItems"),
		killAfter(sys.ProjectorAudit, "TransactWriteItems"),
		killAfter(sys.CommandAPI, "TransactWriteItems"), // decided, not answered
		stop(sys.Streamer, sys.CommandAPI),
		killAfter(sys.ProjectorUser, "ReceiveMessage"), // invisible in the queue, received by no process
		killAfter(sys.CommandAPI, "PutItem"),
		merges,
		kill(sys.Services()...),
		stop(sys.ProjectorUser, sys.ProjectorRole, sys.ProjectorAudit, sys.Broker),
		killAfter(sys.Broker, "PutItem"), // checkpointed, or a lease renewed
		killAfter(sys.Streamer, "PutItem"),
		rotates,
		killAfter(sys.ProjectorRole, "DeleteMessageBatch"), // applied and deleted
		splits,
		killAfter(sys.Streamer, "PutRecords"),
		killAfter(sys.Broker, "SendMessageBatch"),
		merges,
		killAfter(sys.ProjectorRole, "PutItem"),
		killAfter(sys.ProjectorAudit, "DeleteMessageBatch"),
	}
}

func shardsOf(t testing.TB, sys *systemtest.System) []types.Shard {
	t.Helper()
	out, err := kinesis.NewFromConfig(sys.AWS.Config()).ListShards(context.WithoutCancel(t.Context()),
		&kinesis.ListShardsInput{StreamName: aws.String(sys.Names.Stream)})
	require.NoError(t, err)
	require.Nil(t, out.NextToken)
	return out.Shards
}

// openShards returns the shards that take records, in the order of their hash keys.
func openShards(t testing.TB, sys *systemtest.System) []types.Shard {
	t.Helper()
	open := slices.DeleteFunc(shardsOf(t, sys), func(s types.Shard) bool {
		return s.SequenceNumberRange.EndingSequenceNumber != nil
	})
	slices.SortFunc(open, func(a, b types.Shard) int {
		first, _ := hashKeys(a)
		second, _ := hashKeys(b)
		return first.Cmp(second)
	})
	return open
}

func hashKeys(s types.Shard) (from, to *big.Int) {
	from, _ = new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
	to, _ = new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
	return from, to
}

// split cuts the widest shard in two.
func split(t *testing.T, sys *systemtest.System) {
	width := func(s types.Shard) *big.Int {
		from, to := hashKeys(s)
		return new(big.Int).Sub(to, from)
	}
	widest := slices.MaxFunc(openShards(t, sys), func(a, b types.Shard) int { return width(a).Cmp(width(b)) })
	from, to := hashKeys(widest)
	middle := new(big.Int).Add(from, to)
	middle.Rsh(middle, 1)
	_, err := kinesis.NewFromConfig(sys.AWS.Config()).SplitShard(context.WithoutCancel(t.Context()), &kinesis.SplitShardInput{
		StreamName: aws.String(sys.Names.Stream), ShardToSplit: widest.ShardId, NewStartingHashKey: aws.String(middle.String()),
	})
	assert.NoError(t, err)
}

// merge merges the first two shards.
func merge(t *testing.T, sys *systemtest.System) {
	open := openShards(t, sys)
	_, err := kinesis.NewFromConfig(sys.AWS.Config()).MergeShards(context.WithoutCancel(t.Context()), &kinesis.MergeShardsInput{
		StreamName: aws.String(sys.Names.Stream), ShardToMerge: open[0].ShardId, AdjacentShardToMerge: open[1].ShardId,
	})
	assert.NoError(t, err)
}

// kinesisRecords reads the whole stream.
func kinesisRecords(t testing.TB, sys *systemtest.System) (records []types.Record) {
	t.Helper()
	client := kinesis.NewFromConfig(sys.AWS.Config())
	for _, shard := range shardsOf(t, sys) {
		it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: aws.String(sys.Names.Stream), ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		require.NoError(t, err)
		for next := it.ShardIterator; next != nil; {
			out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
			require.NoError(t, err)
			records = append(records, out.Records...)
			next = out.NextShardIterator
			if len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return records
}

// used returns the services that users and roles need. The plays kill each of them.
func used(sys *systemtest.System) []*systemtest.Service {
	return []*systemtest.Service{sys.CommandAPI, sys.Streamer, sys.Broker, sys.ProjectorUser, sys.ProjectorRole, sys.ProjectorAudit}
}
