package localaws

import (
	"fmt"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// FaultKind is a way for calls to go wrong.
type FaultKind string

const (
	// FaultThrottle refuses a call with one of the throttling errors that AWS has for it, without effect. With a Share
	// it leaves the call of a batch standing and throttles entries of it instead.
	FaultThrottle FaultKind = "throttle"
	// FaultFail answers status 500, InternalServerError or InternalFailure, without effect.
	FaultFail FaultKind = "fail"
	// FaultLoseAnswer lets the call take effect and loses the answer: the client gets the error of FaultFail as often
	// as a broken connection. Of an answer that is a stream, it loses all but the first events, of which there are up to ten.
	FaultLoseAnswer FaultKind = "lose_answer"
	// FaultLatency prolongs a call by Min to Max, a part of it before the effect and the rest after. A client that goes
	// away before the effect prevents it.
	FaultLatency FaultKind = "latency"
	// FaultPartial fails entries of a batch, at least one, as throttled or by an internal error. They take no effect:
	// Failed entries in SQS, ErrorCodes in PutRecords, UnprocessedItems and UnprocessedKeys in DynamoDB, where a batch of
	// which nothing is left is refused with a ProvisionedThroughputExceededException, as AWS does.
	FaultPartial FaultKind = "partial"
	// FaultTransactionConflict answers a write of one item as if a transaction held it, without effect; a transaction, of
	// reads or writes, is cancelled for one of its items.
	FaultTransactionConflict FaultKind = "transaction_conflict"
	// FaultExpireIterator answers GetRecords, of either kind of stream, with an ExpiredIteratorException.
	FaultExpireIterator FaultKind = "expire_iterator"
	// FaultDuplicate acknowledges the deletion of an SQS message, which comes again when its visibility timeout has
	// passed; GetRecords, of either kind of stream, begins with up to ten records that lie before its iterator, and so does
	// SubscribeToShard with its position.
	FaultDuplicate FaultKind = "duplicate"
	// FaultReorder lets records of different items change places in a page of a DynamoDB stream, never those of one item,
	// and only such as nobody has read yet: from then on they stay so, whoever reads them.
	FaultReorder FaultKind = "reorder"
	// FaultRedeliver lets the visibility timeout of received SQS messages end early, also when it was changed.
	FaultRedeliver FaultKind = "redeliver"
)

// Fault lets some calls of some operations go wrong.
//
// The chance of an operation's n-th call since the faults were set depends on the seed, the fault's kind and Operation,
// the called operation and n, and on nothing else: neither on other operations' calls nor on other faults.
type Fault struct {
	Kind FaultKind `json:"fault"`
	// Operation is "Service.Operation" as in Calls, "Service.*" or "*", which strike what the kind can strike.
	Operation string `json:"operation"`
	// Probability of each call to be struck, above 0 and at most 1.
	Probability float64 `json:"probability"`
	// Limit is how often the fault strikes each operation at most. Defaults to no limit.
	Limit int64 `json:"limit,omitempty"`
	// From and Until are when it strikes, by the server's clock: From included, Until not. They default to always.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Share is the probability of each entry of a batch that is struck; one at least is. FaultPartial, FaultDuplicate and
	// FaultRedeliver know it, where it defaults to 0.5, and FaultThrottle, where it defaults to the call as a whole.
	Share float64 `json:"share,omitempty"`
	// Min and Max bound a FaultLatency.
	Min Duration `json:"min,omitzero"`
	Max Duration `json:"max,omitzero"`
}

// Duration is a time.Duration that JSON shows as "1.5s".
type Duration time.Duration

// MarshalText is encoding.TextMarshaler's.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText is encoding.TextUnmarshaler's.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Faults are all that strike a server.
//
// Of the faults that would refuse one call, the first in the list does, and only latency is added to it. Others add up.
type Faults struct {
	// Seed decides every chance. Defaults to Options.Seed.
	Seed   uint64  `json:"seed"`
	Faults []Fault `json:"faults"`
}

// FaultStrikes is a fault and how often it struck each operation. A fault that makes no difference, such as another
// order of one record, is not counted.
type FaultStrikes struct {
	Fault

	Strikes map[string]int64 `json:"strikes"`
}

// FaultReport tells what is set and what it did.
type FaultReport struct {
	Seed   uint64         `json:"seed"`
	Faults []FaultStrikes `json:"faults"`
}

// faultsInForce are the faults as they were set, and what came of them.
type faultsInForce struct {
	set  Faults
	plan *faults.Plan
}

// SetFaults replaces all faults and begins to count anew; no faults at all clear them. Its error tells all that is wrong
// and what there is to choose from; then the former faults remain.
func (s *Server) SetFaults(f Faults) error {
	if len(f.Faults) == 0 {
		s.faults.Store(nil)
		return nil
	}
	if f.Seed == 0 {
		f.Seed = s.seed
	}
	f.Faults = slices.Clone(f.Faults)
	rules := make([]faults.Rule, len(f.Faults))
	for i, each := range f.Faults {
		rules[i] = each.rule()
	}
	plan, err := faults.New(rules, f.Seed, s.operations(), s.now)
	if err != nil {
		return fmt.Errorf("set faults: %w", err)
	}
	s.faults.Store(&faultsInForce{f, plan})
	return nil
}

func (f Fault) rule() faults.Rule {
	return faults.Rule{
		Kind: faults.Kind(f.Kind), Operation: f.Operation, Probability: f.Probability, Limit: f.Limit, From: f.From, Until: f.Until,
		Share: f.Share, Min: time.Duration(f.Min), Max: time.Duration(f.Max),
	}
}

// operations are the names of all there are.
func (s *Server) operations() []string {
	var out []string
	for target, svc := range s.services {
		for operation := range svc.Operations {
			out = append(out, name(target)+"."+operation)
		}
	}
	slices.Sort(out)
	return out
}

// FaultReport tells which faults are set and how often each struck.
func (s *Server) FaultReport() FaultReport {
	out := FaultReport{Seed: s.seed, Faults: []FaultStrikes{}}
	f := s.faults.Load()
	if f == nil {
		return out
	}
	out.Seed = f.set.Seed
	for i, strikes := range f.plan.Strikes() {
		out.Faults = append(out.Faults, FaultStrikes{f.set.Faults[i], strikes})
	}
	return out
}

// RotateShards closes every open shard of a table's stream and opens a child of each, as AWS does about every four hours:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
func (s *Server) RotateShards(table string) error { return s.dynamodb.RotateShards(table) }

// TrimTable forgets the change records of a table that are older than t, as if their 24 hours were over, and with them the
// shards that were closed before. A zero t forgets all there is. Whoever reads there is answered a
// TrimmedDataAccessException.
func (s *Server) TrimTable(table string, t time.Time) error { return s.dynamodb.TrimStream(table, t) }

// TrimStream forgets the records of a Kinesis stream that arrived before t, as if their retention period were over, and
// with them the shards that were closed before. A zero t forgets all there is. Whoever reads there goes on with what is
// left, and is not told.
func (s *Server) TrimStream(stream string, t time.Time) error { return s.kinesis.TrimStream(stream, t) }
