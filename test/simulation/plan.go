package simulation

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// Plan is all that a run does. The same plan gives the same run.
type Plan struct {
	Seed    uint64
	Clients int
	// Hot lets all clients fight over very few users and roles.
	Hot      bool
	Commands int // of each client
	// Kill and Pause are how many of a thousand calls cost their process its life, or its attention.
	Kill, Pause int
	Faults      []localaws.Fault
	// Moves are what happens to the fleet and to the streams, every Every or so.
	Moves []string
	Every time.Duration
	// Outage is how long everything is down once. Zero: never.
	Outage time.Duration
	// Until ends the trouble early, counted from its start. Zero: when the clients are done.
	Until time.Duration
	// Mutant is a bug to plant.
	Mutant string
	// Logs takes the services' logs. Defaults to nobody.
	Logs io.Writer `json:"-"`
}

// Moves.
const (
	moveKill      = "kill"
	moveKillAll   = "kill all replicas"
	movePause     = "pause"
	moveTerminate = "terminate"
	moveSplit     = "split"
	moveMerge     = "merge"
	moveRotate    = "rotate"
	movePoison    = "poison"
	moveMergeLate = "merge while a broker is away"
)

// NewPlan draws a plan. Not all goes wrong in every run: some bugs show only where little else does.
func NewPlan(seed uint64) Plan {
	random := rand.New(rand.NewPCG(seed, 0))
	chance := func(percent int) bool { return random.IntN(100) < percent }
	p := Plan{Seed: seed, Clients: 3 + random.IntN(6), Commands: 10 + random.IntN(30)}
	if chance(75) {
		p.Kill = 1 + random.IntN(6)
	}
	if chance(50) {
		p.Pause = 1 + random.IntN(3)
	}
	for _, f := range faults {
		if chance(40) {
			f.Probability = float64(1+random.IntN(60)) / 1000 * f.Probability
			p.Faults = append(p.Faults, f)
		}
	}
	for _, m := range []string{moveKill, moveKillAll, movePause, moveTerminate, moveSplit, moveMerge, moveMergeLate, moveRotate, movePoison} {
		if chance(60) {
			p.Moves = append(p.Moves, m)
		}
	}
	p.Every = time.Duration(2+random.IntN(10)) * time.Second
	if chance(15) {
		if p.Outage = time.Duration(1+random.IntN(23)) * time.Hour; chance(60) {
			p.Outage = 24*time.Hour + time.Duration(random.IntN(8))*time.Hour // streams have forgotten
		}
	}
	p.Hot = chance(30)
	return p
}

// faults are what localaws can do, with their weights in the place of probabilities: one of a thousand is the unit.
var faults = list2(
	localaws.Fault{Kind: localaws.FaultThrottle, Probability: 2},
	[]string{"DynamoDB.PutItem", "DynamoDB.TransactWriteItems", "DynamoDB.GetItem", "DynamoDB.Query", "Kinesis.PutRecords", "Kinesis.GetRecords", "DynamoDBStreams.GetRecords", "AmazonSQS.SendMessageBatch"},
	localaws.Fault{Kind: localaws.FaultFail, Probability: 1},
	[]string{"DynamoDB.PutItem", "DynamoDB.TransactWriteItems", "DynamoDB.Query", "Kinesis.PutRecords", "AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch"},
	localaws.Fault{Kind: localaws.FaultLoseAnswer, Probability: 2},
	[]string{"DynamoDB.PutItem", "DynamoDB.TransactWriteItems", "Kinesis.PutRecords", "AmazonSQS.SendMessageBatch", "AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch"},
	localaws.Fault{Kind: localaws.FaultPartial, Probability: 6},
	[]string{"Kinesis.PutRecords", "AmazonSQS.SendMessageBatch", "AmazonSQS.DeleteMessageBatch", "AmazonSQS.ChangeMessageVisibilityBatch"},
	localaws.Fault{Kind: localaws.FaultTransactionConflict, Probability: 3},
	[]string{"DynamoDB.TransactWriteItems", "DynamoDB.PutItem"},
	localaws.Fault{Kind: localaws.FaultExpireIterator, Probability: 2},
	[]string{"Kinesis.GetRecords", "DynamoDBStreams.GetRecords"},
	localaws.Fault{Kind: localaws.FaultDuplicate, Probability: 3},
	[]string{"Kinesis.GetRecords", "DynamoDBStreams.GetRecords", "AmazonSQS.DeleteMessageBatch"},
	localaws.Fault{Kind: localaws.FaultReorder, Probability: 8},
	[]string{"DynamoDBStreams.GetRecords"},
	localaws.Fault{Kind: localaws.FaultRedeliver, Probability: 3},
	[]string{"AmazonSQS.ReceiveMessage"},
)

// list2 pairs each fault with its operations.
func list2(pairs ...any) (out []localaws.Fault) {
	for i := 0; i < len(pairs); i += 2 {
		f := pairs[i].(localaws.Fault)             //nolint:errcheck,forcetypeassert // as written above
		for _, op := range pairs[i+1].([]string) { //nolint:errcheck,forcetypeassert // as written above
			f.Operation = op
			out = append(out, f)
		}
	}
	return out
}

func (p Plan) has(kind localaws.FaultKind) bool {
	return slices.ContainsFunc(p.Faults, func(f localaws.Fault) bool { return f.Kind == kind })
}

// String says in a line what a plan has in store.
func (p Plan) String() string {
	var kinds []string
	for _, f := range p.Faults {
		kinds = append(kinds, string(f.Kind)+" "+f.Operation)
	}
	return fmt.Sprintf("seed %d: %d clients with %d commands each (hot: %t), kill %d‰, pause %d‰, faults [%s], moves [%s] every %v, outage %v, until %v",
		p.Seed, p.Clients, p.Commands, p.Hot, p.Kill, p.Pause, strings.Join(kinds, ", "), strings.Join(p.Moves, ", "), p.Every, p.Outage, p.Until)
}
