package e2e_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/capacity"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// ceiling is how many calls of AWS 1,000 events may cost, each for all projections.
type ceiling struct {
	of          string
	floor, most float64 // the minimum with AWS's largest batches, and what is promised
}

// The last two follow from what leftfold capacity assumes: where the calls grow beyond that, its answers are wrong, too.
func ceilings() []ceiling {
	queues, models := float64(len((topology.Names{}).Consumers())), float64(len((topology.Names{}).Projections()))
	sqs := 1000 * queues * capacity.SQSCallsPerEvent
	return []ceiling{
		// a page of 1,000 records of the log's stream, two PutRecords of 500, a tenth of a page of Kinesis
		{"stream and Kinesis", 3.1, 20},
		{"SQS", sqs, sqs + 5*queues}, // sends, receives and deletes of ten messages for each queue
		{"projection writes", 0, 1000 * models * capacity.RowWritesPerEvent},
	}
}

// purpose is the purpose of calls of a service. The first that matches counts.
type purpose struct {
	service, what string
	ceiling       string   // it counts towards; none if empty
	operations    []string // beginnings of their names
}

func purposes() []purpose {
	all := []purpose{
		{"command-api", "read the log", "", []string{"DynamoDB.Query", "DynamoDB.GetItem", "DynamoDB.BatchGetItem"}},
		{"command-api", "append to it", "", []string{"DynamoDB.PutItem", "DynamoDB.TransactWriteItems"}},
		{"streamer", "read the log's stream", "stream and Kinesis", []string{"DynamoDB Streams.", "DynamoDB.DescribeTable"}},
		{"streamer", "put into Kinesis", "stream and Kinesis", []string{"Kinesis."}},
		{"streamer", "leases and checkpoints", "stream and Kinesis", []string{"DynamoDB."}},
		{"broker", "read Kinesis", "stream and Kinesis", []string{"Kinesis."}},
		{"broker", "leases and checkpoints", "stream and Kinesis", []string{"DynamoDB."}},
		{"broker", "send", "SQS", []string{"SQS."}},
	}
	for _, c := range (topology.Names{}).Consumers() {
		all = append(all,
			purpose{c.Service, "receive", "SQS", []string{"SQS.ReceiveMessage"}},
			purpose{c.Service, "delete", "SQS", []string{"SQS.DeleteMessage"}},
			purpose{c.Service, "extend and release", "SQS", []string{"SQS."}},
		)
	}
	for _, p := range (topology.Names{}).Projections() {
		projector := p.Service
		all = append(all,
			purpose{projector, "read rows, heal", "", []string{"DynamoDB.GetItem", "DynamoDB.BatchGetItem", "DynamoDB.Query"}},
			purpose{projector, "write rows", "projection writes", []string{"DynamoDB."}},
		)
	}
	return append(all, purpose{topology.Processor, "fences, timers and streams of processes", "", []string{"DynamoDB."}})
}

// bill is the number of calls of AWS by purpose, in the order of purposes.
type bill []float64

// billOf returns the calls of all services since they were first started.
func billOf(t testing.TB, sys *systemtest.System) bill {
	t.Helper()
	all := purposes()
	b := make(bill, len(all))
	for _, s := range sys.Services() {
		calls, err := s.Calls()
		require.NoError(t, err)
		for operation, n := range calls {
			i := slices.IndexFunc(all, func(p purpose) bool {
				return p.service == s.Name && slices.ContainsFunc(p.operations, func(name string) bool { return strings.HasPrefix(operation, name) })
			})
			if assert.GreaterOrEqual(t, i, 0, "%s calls %s for no known purpose", s.Name, operation) {
				b[i] += n
			}
		}
	}
	return b
}

// since returns the calls since before, per thousand events.
func (b bill) since(before bill, thousands float64) bill {
	out := slices.Clone(b)
	for i := range out {
		out[i] = (out[i] - before[i]) / thousands
	}
	return out
}

func (b bill) sum(ceiling string) (sum float64) {
	for i, p := range purposes() {
		if p.ceiling == ceiling {
			sum += b[i]
		}
	}
	return sum
}

// TestAWSCallsOfABacklogStayUnderTheirCeilings tests what 1,000 events cost in the whole pipeline.
func TestAWSCallsOfABacklogStayUnderTheirCeilings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := billOfBacklog(t)
		for _, c := range ceilings() {
			t.Logf("%s: %.1f calls for 1,000 events", c.of, b.sum(c.of))
			assert.LessOrEqual(t, b.sum(c.of), c.most, c.of)
			assert.GreaterOrEqual(t, b.sum(c.of), c.floor, "%s: fewer calls than possible", c.of)
		}
		if !underRace {
			models := float64(len((topology.Names{}).Projections()))
			asDocumented(t, "writes of rows, for each read model", ofBacklog, b.sum("projection writes")/models)
			asDocumented(t, "SQS, for each queue", ofBacklog, b.sum("SQS")/float64(len((topology.Names{}).Consumers())))
			asDocumented(t, "stream and Kinesis", ofBacklog, b.sum("stream and Kinesis"))
		}
	})
}

// Columns of the table of calls in docs/costs.md.
const (
	ofRegistrations = 1
	ofUpdates       = 2
	ofBacklog       = 4
)

// asDocumented compares calls with what docs/costs.md says of 1,000 events.
func asDocumented(t *testing.T, row string, column int, counted float64) {
	t.Helper()
	text, err := os.ReadFile(costs)
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "\n| "+row+" |")
	require.True(t, found, "docs/costs.md has no row %q", row)
	line, _, _ := strings.Cut(after, "\n")
	cell := strings.ReplaceAll(strings.TrimSpace(strings.Split(line, "|")[column-1]), ",", "")
	documented, err := strconv.ParseFloat(cell, 64)
	require.NoError(t, err, "docs/costs.md, %s", row)
	assert.InDelta(t, counted, documented, max(2, counted/20), "docs/costs.md, %s, column %d", row, column)
}

// billOfBacklog lets the services process 20,000 events of 2,000 users, on virtual time, with the settings of production, and
// returns what 1,000 of them cost; fewer under the race detector, which is slow. Call it in a bubble of synctest.
func billOfBacklog(t *testing.T) bill {
	t.Helper()
	events, users := 20_000, 2_000
	if underRace {
		events, users = 4_000, 1_000
	}
	sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"})
	for _, s := range sys.Services() {
		require.NoError(t, s.Stop())
	}
	newWriter(sys.Inspector).shuffled(t, events, users)
	require.NoError(t, sys.AWS.SetFaults(likeAWS()))
	before := billOf(t, sys)
	for _, s := range sys.Services() {
		require.NoError(t, s.Start(t.Context()))
	}
	for _, s := range []*systemtest.Service{sys.Streamer, sys.Broker} { // idle ones poll
		await(t, s, "leftfold_shards_records_total", float64(events))
		require.NoError(t, s.Stop())
	}
	for _, s := range sys.Projectors() {
		await(t, s, "leftfold_fifoqueue_deleted_total", float64(events))
		assert.InDelta(t, events, sum(t, s, "leftfold_fifoqueue_received_total"), 0, "%s: messages received, none of them twice", s.Name)
	}
	return billOf(t, sys).since(before, float64(events)/1_000)
}
