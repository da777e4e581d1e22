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

// Plan is everything that happens in a run. The same plan gives the same run.
type Plan struct {
	Seed    uint64
	Clients int
	// Hot lets all clients share very few users and roles.
	Hot bool
	// Ruled lets all clients give and take one role that has rules, in quick succession.
	Ruled    bool
	Commands int // of each client
	// Kill and Pause are how many of a thousand calls kill their process, or pause it.
	Kill, Pause int
	// Silent is how many of a thousand calls get no answer, whether they have taken effect or not.
	Silent int
	Faults []localaws.Fault
	// Denied are the rights that services lack for a while.
	Denied []Denial
	// Moves are what happens to the fleet and to the streams, about once every Every.
	Moves []string
	Every time.Duration
	// Outage is how long everything is down once. Zero: never.
	Outage time.Duration
	// Until ends the trouble early, after this time. Zero: when the clients are done.
	Until time.Duration
	// EdgeRepeats puts an edge before the services that loses answers, and then sends a command with a key again at once, to any
	// replica. Clients name versions by If-Match, too.
	EdgeRepeats bool
	// Busy lets one user have hundreds of events at once, before the trouble and after it.
	Busy bool
	// Crowd gives a role to more users than a page of its retirement has, and retires it.
	Crowd bool
	// Upgrade replaces the services by those of a later build while the clients are at work. Defaults to none.
	Upgrade string
	// Rebuilds lets an operator rebuild read models, and switch between their generations, all the time.
	Rebuilds bool
	// Cache is how many bytes of rows a projector keeps. Zero: each row is read before it is written.
	Cache int
	// Audits lets an operator audit read models, and repair them, all the time.
	Audits bool
	// Archive lets two writers archive all events, and an operator compare the archive with the log all the time.
	Archive bool
	// StorageFaults is how many of a thousand calls of the archive's storage fail, as many lose their answer, and as many are slow.
	StorageFaults int
	// LogLost loses the event log once, and lets an operator restore it from the archive.
	LogLost bool
	// Variant is the read side that is played, and counted; see variants. Defaults to Leftfold's, which is checked.
	Variant string
	// Mutant is a bug to plant.
	Mutant string
	// Logs receives the services' logs. Defaults to none.
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

	moveKinesisAnew = "Kinesis stream made anew"
	moveTableAnew   = "table's stream off and on"

	moveUnacceptable = "unacceptable record"

	moveDamage     = "row damaged"
	moveObjectLost = "object of the archive lost"

	moveFencesLost = "fences of the processes lost"
)

// NewPlan draws a plan. Not every kind of trouble is in every run: some bugs show only where little else goes wrong.
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
			p.Outage = 24*time.Hour + time.Duration(random.IntN(8))*time.Hour // streams have been trimmed
		}
	}
	p.Hot = chance(30)
	for _, m := range []string{moveKinesisAnew, moveTableAnew} {
		if chance(20) {
			p.Moves = append(p.Moves, m)
		}
	}
	p.EdgeRepeats = chance(40)
	p.Busy = chance(10)
	if chance(30) {
		p.Silent = 1 + random.IntN(5)
	}
	if chance(35) {
		p.Moves = append(p.Moves, moveUnacceptable)
	}
	if chance(25) {
		p.Denied = drawDenials(random)
	}
	if chance(25) {
		p.Upgrade = []string{upgradeInTwo, upgradeAtOnce}[random.IntN(2)]
	}
	p.Rebuilds = chance(30)
	p.Cache = []int{0, 5_000, 1 << 25}[random.IntN(3)]  // none, a few rows, all of them
	if p.Audits = chance(30); p.Audits && !p.Rebuilds { // a generation with damage is not ready, nor audited unless it is read
		p.Moves = append(p.Moves, moveDamage, moveDamage)
	}
	if p.Archive = chance(30); p.Archive {
		if chance(60) {
			p.StorageFaults = 1 + random.IntN(30)
		}
		if chance(30) {
			p.Moves = append(p.Moves, moveObjectLost)
		}
		// What cannot be carried is not in the archive, and two who stop the clients would be in each other's way.
		p.LogLost = chance(30) && p.Outage == 0 && p.Upgrade == "" && !slices.Contains(p.Moves, moveUnacceptable)
	}
	p.Ruled = chance(20)
	if chance(30) {
		p.Moves = append(p.Moves, moveFencesLost)
	}
	p.Crowd = chance(5)
	return p
}

// faults are what localaws can inject; Probability is a weight here, in thousandths.
var faults = slices.Concat(
	faultsOf(localaws.FaultThrottle, 2, "DynamoDB.PutItem", "DynamoDB.TransactWriteItems", "DynamoDB.GetItem", "DynamoDB.Query",
		"Kinesis.PutRecords", "Kinesis.GetRecords", "DynamoDBStreams.GetRecords", "AmazonSQS.SendMessageBatch"),
	faultsOf(localaws.FaultFail, 1, "DynamoDB.PutItem", "DynamoDB.TransactWriteItems", "DynamoDB.Query",
		"Kinesis.PutRecords", "AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch"),
	faultsOf(localaws.FaultLoseAnswer, 2, "DynamoDB.PutItem", "DynamoDB.TransactWriteItems",
		"Kinesis.PutRecords", "AmazonSQS.SendMessageBatch", "AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch"),
	faultsOf(localaws.FaultPartial, 6, "Kinesis.PutRecords",
		"AmazonSQS.SendMessageBatch", "AmazonSQS.DeleteMessageBatch", "AmazonSQS.ChangeMessageVisibilityBatch"),
	faultsOf(localaws.FaultTransactionConflict, 3, "DynamoDB.TransactWriteItems", "DynamoDB.PutItem"),
	faultsOf(localaws.FaultExpireIterator, 2, "Kinesis.GetRecords", "DynamoDBStreams.GetRecords"),
	faultsOf(localaws.FaultDuplicate, 3, "Kinesis.GetRecords", "DynamoDBStreams.GetRecords", "AmazonSQS.DeleteMessageBatch"),
	faultsOf(localaws.FaultReorder, 8, "DynamoDBStreams.GetRecords"),
	faultsOf(localaws.FaultRedeliver, 3, "AmazonSQS.ReceiveMessage"),
)

func faultsOf(kind localaws.FaultKind, weight float64, operations ...string) (out []localaws.Fault) {
	for _, operation := range operations {
		out = append(out, localaws.Fault{Kind: kind, Operation: operation, Probability: weight})
	}
	return out
}

// WithoutOperators returns the plan with nobody who audits, archives or restores.
func (p Plan) WithoutOperators() Plan {
	p.Audits, p.Archive, p.LogLost = false, false, false
	p.Moves = slices.DeleteFunc(slices.Clone(p.Moves), func(move string) bool { return move == moveDamage || move == moveObjectLost })
	return p
}

func (p Plan) has(kind localaws.FaultKind) bool {
	return slices.ContainsFunc(p.Faults, func(f localaws.Fault) bool { return f.Kind == kind })
}

// republishes reports whether the log may be published again, in no order, after records were lost.
func (p Plan) republishes() bool {
	return p.Outage > 0 || p.LogLost || slices.Contains(p.Moves, moveKinesisAnew) || slices.Contains(p.Moves, moveTableAnew)
}

// String describes the plan in one line.
func (p Plan) String() string {
	var kinds, denied []string
	for _, f := range p.Faults {
		kinds = append(kinds, string(f.Kind)+" "+f.Operation)
	}
	for _, d := range p.Denied {
		denied = append(denied, fmt.Sprintf("%s to %s after %v for %v", d.Operation, d.Service, d.After, d.For))
	}
	return fmt.Sprintf("seed %d: %d clients with %d commands each (hot: %t, ruled: %t, busy neighbour: %t, crowd: %t), "+
		"kill %d‰, pause %d‰, silent %d‰, "+
		"faults [%s], denied [%s], moves [%s] every %v, outage %v, edge repeats: %t, upgrade: %q, rebuilds: %t, cache %d, "+
		"audits: %t, archive: %t with %d‰ faults of each kind, log lost: %t, variant: %q, until %v",
		p.Seed, p.Clients, p.Commands, p.Hot, p.Ruled, p.Busy, p.Crowd, p.Kill, p.Pause, p.Silent,
		strings.Join(kinds, ", "), strings.Join(denied, ", "), strings.Join(p.Moves, ", "), p.Every, p.Outage,
		p.EdgeRepeats, p.Upgrade, p.Rebuilds, p.Cache, p.Audits, p.Archive, p.StorageFaults, p.LogLost, p.Variant, p.Until)
}
