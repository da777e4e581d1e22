package e2e_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

const (
	benchClients = 16
	benchRounds  = 12
	perRound     = 500 // writes
)

// BenchmarkCommands sends commands through the HTTP API and, in turn with them, bare conditional PutItem of items like
// events to the same AWS, as many as the commands write items; ratio is the median, over the rounds, of the
// first's rate by the second's. Only command-api runs.
func BenchmarkCommands(b *testing.B) {
	update := func(users []string, i int) systemtest.Request { // a read and a PutItem each
		return put("/users/"+users[i%len(users)], object{"firstName": letters(newID()), "lastName": "Lee"})
	}
	b.Run("update", func(b *testing.B) { compare(b, 1, 1_000, update) })  // of at most 7 events
	b.Run("update-hot", func(b *testing.B) { compare(b, 1, 64, update) }) // of up to 100 events
	b.Run("register", func(b *testing.B) {                                // a read and a transaction of an event and a claim each
		compare(b, 2, 0, func(_ []string, i int) systemtest.Request {
			return post("/users", object{"email": fmt.Sprintf("user%d@example.com", i)})
		})
	})
}

func compare(b *testing.B, items, existing int, command func(users []string, i int) systemtest.Request) {
	sys := commandAPIOnly(b, nil, nil)
	table := dynamostore.Tables{Events: "bare"}.CreateTableInputs()[0]
	_, err := sys.DB.CreateTable(b.Context(), table)
	require.NoError(b, err)
	accepted := func(r systemtest.Request) error {
		answer, err := sys.Do(b.Context(), r)
		if err == nil && answer.Status != 202 {
			err = fmt.Errorf("%s %s: %d %s", r.Method, r.Path, answer.Status, answer.Body)
		}
		return err
	}
	var users []string
	for i := range existing {
		users = append(users, newID())
		require.NoError(b, accepted(post("/users", object{"id": users[i], "email": fmt.Sprintf("early%d@example.com", i)})))
	}
	var commands, puts effort
	var ratios []float64
	writes := 0
	for range b.N * benchRounds {
		c := together(b, func(i int) error { return accepted(command(users, writes+i)) })
		p := together(b, func(int) error {
			for range items {
				if err := bare(b.Context(), sys.DB, *table.TableName); err != nil {
					return err
				}
			}
			return nil
		})
		commands.add(c)
		puts.add(p)
		ratios = append(ratios, p.took.Seconds()/c.took.Seconds())
		writes += perRound
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(writes)/commands.took.Seconds(), "commands/s")
	b.ReportMetric(float64(writes*items)/puts.took.Seconds(), "puts/s")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(commands.allocations)/float64(writes), "allocs/command")
	b.ReportMetric(float64(puts.allocations)/float64(writes*items), "allocs/put")
}

// effort is the cost of writes. It includes allocations of the AWS, which runs in this process.
type effort struct {
	took        time.Duration
	allocations uint64
}

func (e *effort) add(f effort) {
	e.took += f.took
	e.allocations += f.allocations
}

// together runs one round of all clients.
func together(b *testing.B, write func(i int) error) effort {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var next atomic.Int64
	var group errgroup.Group
	started := time.Now()
	for range benchClients {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= perRound {
					return nil
				}
				if err := write(i); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(b, group.Wait())
	took := time.Since(started)
	runtime.ReadMemStats(&after)
	return effort{took, after.Mallocs - before.Mallocs}
}

// bare puts an item as large as an event, if it does not exist.
func bare(ctx context.Context, db *dynamodb.Client, table string) error {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := &types.AttributeValueMemberN{Value: "1"}
	id := newID()
	_, err := db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: aws.String(table),
		Item: map[string]types.AttributeValue{
			"stream": text("org/iam/user/" + id), "version": number, "id": text(id), "name": text("org/iam/user/updated"),
			"schema": number, "data": text(`{"firstName":"abcdefghijklmnopqrstuvwx","lastName":"Lee"}`),
			"recorded_at": text("2026-01-02T03:04:05.678Z"),
			"metadata": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
				"correlation_id": text(id), "causation_id": text(id), "actor": text("anonymous"),
			}},
		},
		ConditionExpression:                 aws.String("attribute_not_exists(#stream)"),
		ExpressionAttributeNames:            map[string]string{"#stream": "stream"},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return err
}

// BenchmarkPipeline sends random commands through the whole pipeline, at a rate far below what it can do and then as
// fast as it goes, and reports from commit to visible in each read model.
func BenchmarkPipeline(b *testing.B) {
	b.Run("200-a-second", func(b *testing.B) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		pipeline(b, 1_000, func(int) { <-tick.C })
	})
	b.Run("flat-out", func(b *testing.B) { pipeline(b, 10_000, nil) })
}

func pipeline(b *testing.B, commands int, between func(int)) {
	for range b.N {
		sys := systemtest.New(b, nil)
		tr := newTraffic(sys.Client, 500, 20)
		tr.between = between
		started := time.Now()
		tr.send(b.Context(), b, benchClients, commands)
		sent := time.Since(started)
		fold, err := sys.Audit(b.Context())
		require.NoError(b, err)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(commands)/sent.Seconds(), "commands/s")
		b.ReportMetric(float64(fold.Events)/sent.Seconds(), "events/s")
		for _, s := range sys.Projectors() {
			latency, err := s.Histogram("leftfold_project_seconds")
			require.NoError(b, err)
			b.ReportMetric(float64(latency.Quantile(0.5).Microseconds())/1_000, s.Name+"-p50-ms")
			b.ReportMetric(float64(latency.Quantile(0.99).Microseconds())/1_000, s.Name+"-p99-ms")
		}
	}
}

// BenchmarkMemory measures the heap of `make run` after 10,000 commands.
func BenchmarkMemory(b *testing.B) {
	for range b.N {
		fold, inUse := heapAfter(b, 10_000)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(inUse)/(1<<20), "MB-heap")
		b.ReportMetric(float64(fold.Events), "events")
	}
}
