package localaws

import (
	"fmt"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// FaultKind is a way in which a call goes wrong.
type FaultKind string

const (
	// FaultThrottle refuses the call with one of the operation's throttling errors, without effect. With a Share it
	// throttles entries of a batch instead of the whole call.
	FaultThrottle FaultKind = "throttle"
	// FaultDeny refuses the call with AccessDeniedException, without effect, as if its caller lacked the right. With a Share it
	// refuses entries of SendMessageBatch instead, as if the caller might not use the queue's key.
	FaultDeny FaultKind = "deny"
	// FaultFail answers with status 500, InternalServerError or InternalFailure, without effect.
	FaultFail FaultKind = "fail"
	// FaultLoseAnswer lets the call take effect and loses the response: the client gets the error of FaultFail or a broken
	// connection, equally often. A streaming response is cut off after at most nine events.
	FaultLoseAnswer FaultKind = "lose_answer"
	// FaultSilence never answers: the call ends when its client gives up. It has taken effect or not, equally often; a subscription
	// has not.
	FaultSilence FaultKind = "silence"
	// FaultLatency delays the call by Min to Max, partly before and partly after it takes effect. If the client cancels
	// before that, the call has no effect.
	FaultLatency FaultKind = "latency"
	// FaultPartial fails at least one entry of a batch, by throttling or an internal error. Failed entries have no effect.
	// They are reported as Failed in SQS, by ErrorCode in PutRecords, and as UnprocessedItems or UnprocessedKeys in
	// DynamoDB; if all entries of a DynamoDB batch fail, the call fails with ProvisionedThroughputExceededException, as on AWS.
	FaultPartial FaultKind = "partial"
	// FaultTransactionConflict refuses the write of one item as if a transaction were in progress on it, without effect; a
	// transaction of reads or writes is cancelled because of one of its items.
	FaultTransactionConflict FaultKind = "transaction_conflict"
	// FaultExpireIterator refuses GetRecords of DynamoDB Streams or Kinesis with ExpiredIteratorException.
	FaultExpireIterator FaultKind = "expire_iterator"
	// FaultDuplicate delivers again. In SQS, a delete succeeds but the message returns after its visibility timeout; in
	// DynamoDB Streams and Kinesis, GetRecords and SubscribeToShard begin up to ten records before the requested position.
	FaultDuplicate FaultKind = "duplicate"
	// FaultReorder permutes records of different items in a page of a DynamoDB stream; the records of one item keep their
	// order. Only records that no client has read are moved, and the new order is permanent.
	FaultReorder FaultKind = "reorder"
	// FaultRedeliver ends the visibility timeout of received SQS messages early, also one that a client has changed.
	FaultRedeliver FaultKind = "redeliver"
)

// Fault makes some calls of some operations go wrong: it strikes them.
//
// Whether it strikes an operation's n-th call since SetFaults depends only on the seed, the fault's Kind and Operation, the
// called operation and n. Calls of other operations and other faults make no difference.
type Fault struct {
	Kind FaultKind `json:"fault"`
	// Operation is "Service.Operation" as in Calls, or "Service.*" or "*" for all operations to which the kind applies.
	Operation string `json:"operation"`
	// AccessKey restricts the fault to calls signed with the access key of this ID. Defaults to all callers.
	AccessKey string `json:"access_key,omitempty"`
	// Probability that a call is struck: above 0 and at most 1.
	Probability float64 `json:"probability"`
	// Limit is the maximum number of strikes on each operation. Defaults to no limit.
	Limit int64 `json:"limit,omitempty"`
	// From (inclusive) and Until (exclusive) restrict the fault to a period of the server's clock. Default to always.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Share is the probability that an entry of a struck batch fails; at least one does. It defaults to 0.5 for
	// FaultPartial, FaultDuplicate and FaultRedeliver, and to the whole call for FaultThrottle and FaultDeny; other kinds have no
	// share.
	Share float64 `json:"share,omitempty"`
	// Min and Max are the bounds of a FaultLatency, and only of that.
	Min Duration `json:"min,omitzero"`
	Max Duration `json:"max,omitzero"`
}

// Duration is a time.Duration that is written as "1.5s" in JSON.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Faults are the faults of a server, in order.
//
// If several faults would refuse the same call, the first in the list does; latency is added to it. Other faults combine.
type Faults struct {
	// Seed makes the faults reproducible. Defaults to Options.Seed.
	Seed   uint64  `json:"seed"`
	Faults []Fault `json:"faults"`
}

// FaultStrikes is a fault and how often it struck each operation. A strike without consequences, such as reordering a
// single record, is not counted.
type FaultStrikes struct {
	Fault

	Strikes map[string]int64 `json:"strikes"`
}

// FaultReport lists the faults that are set and their strikes.
type FaultReport struct {
	Seed   uint64         `json:"seed"`
	Faults []FaultStrikes `json:"faults"`
}

// activeFaults are the faults as they were set, and the plan made from them.
type activeFaults struct {
	set  Faults
	plan *faults.Plan
}

// SetFaults replaces all faults and restarts the counts; an empty list removes them. The error reports every mistake with
// the allowed values, and leaves the previous faults in force.
func (s *Server) SetFaults(f Faults) error {
	if len(f.Faults) == 0 {
		s.faults.Store(nil)
		return nil
	}
	if f.Seed == 0 {
		f.Seed = s.options.Seed
	}
	f.Faults = slices.Clone(f.Faults)
	rules := make([]faults.Rule, len(f.Faults))
	for i, each := range f.Faults {
		rules[i] = each.rule()
	}
	plan, err := faults.New(rules, f.Seed, s.operations(), s.options.Now)
	if err != nil {
		return fmt.Errorf("set faults: %w", err)
	}
	s.faults.Store(&activeFaults{f, plan})
	return nil
}

func (f Fault) rule() faults.Rule {
	return faults.Rule{
		Kind: faults.Kind(f.Kind), Operation: f.Operation, AccessKey: f.AccessKey, Probability: f.Probability, Limit: f.Limit,
		From: f.From, Until: f.Until, Share: f.Share, Min: time.Duration(f.Min), Max: time.Duration(f.Max),
	}
}

// operations returns the names of all supported operations, sorted.
func (s *Server) operations() []string {
	var out []string
	for target, svc := range s.region(s.options.Region).services {
		for operation := range svc.Operations {
			out = append(out, name(target)+"."+operation)
		}
	}
	slices.Sort(out)
	return out
}

// FaultReport returns the faults that are set and how often each struck.
func (s *Server) FaultReport() FaultReport {
	out := FaultReport{Seed: s.options.Seed, Faults: []FaultStrikes{}}
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

// RotateShards closes every open shard of a table's stream and opens a child for each, as AWS does about every four hours:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
//
// Like TrimTable and TrimStream, it applies to every region that has one of the name.
func (s *Server) RotateShards(table string) error {
	return s.everywhere(func(r *region) error { return r.dynamodb.RotateShards(table) })
}

// TrimTable removes the stream records of a table that are older than t, as if their 24 hours had passed, and the shards
// that were closed before t. A zero t removes all of them. Reads at a removed position fail with
// TrimmedDataAccessException.
func (s *Server) TrimTable(table string, t time.Time) error {
	return s.everywhere(func(r *region) error { return r.dynamodb.TrimStream(table, t) })
}

// TrimStream removes the records of a Kinesis stream that arrived before t, as if their retention period had passed, and
// the shards that were closed before t. A zero t removes all of them. Reads at a removed position silently continue with
// the oldest record that is left, as on AWS.
func (s *Server) TrimStream(stream string, t time.Time) error {
	return s.everywhere(func(r *region) error { return r.kinesis.TrimStream(stream, t) })
}
