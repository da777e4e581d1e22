package faults

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Kind is a way in which a call goes wrong.
type Kind string

// The kinds; package localaws describes them.
const (
	Throttle            Kind = "throttle"
	Deny                Kind = "deny"
	Partial             Kind = "partial"
	LoseAnswer          Kind = "lose_answer"
	Silence             Kind = "silence"
	Fail                Kind = "fail"
	Latency             Kind = "latency"
	TransactionConflict Kind = "transaction_conflict"
	ExpireIterator      Kind = "expire_iterator"
	Duplicate           Kind = "duplicate"
	Reorder             Kind = "reorder"
	Redeliver           Kind = "redeliver"
)

// The operations that work on batches.
const (
	putRecords            = "Kinesis.PutRecords"
	batchGetItem          = "DynamoDB.BatchGetItem"
	batchWriteItem        = "DynamoDB.BatchWriteItem"
	sendMessageBatch      = "AmazonSQS.SendMessageBatch"
	deleteMessageBatch    = "AmazonSQS.DeleteMessageBatch"
	changeVisibilityBatch = "AmazonSQS.ChangeMessageVisibilityBatch"
)

// kinds maps each kind to the operations that it can strike; nil means all.
var kinds = map[Kind][]string{ // read only
	Throttle: nil, Deny: nil, LoseAnswer: nil, Silence: nil, Fail: nil, Latency: nil,
	Partial: {putRecords, batchGetItem, batchWriteItem, sendMessageBatch, deleteMessageBatch, changeVisibilityBatch},
	TransactionConflict: {
		"DynamoDB.PutItem", "DynamoDB.UpdateItem", "DynamoDB.DeleteItem", "DynamoDB.TransactWriteItems", "DynamoDB.TransactGetItems",
	},
	ExpireIterator: {"DynamoDBStreams.GetRecords", "Kinesis.GetRecords"},
	Duplicate: {
		"AmazonSQS.DeleteMessage", deleteMessageBatch, "DynamoDBStreams.GetRecords", "Kinesis.GetRecords", "Kinesis.SubscribeToShard",
	},
	Reorder:   {"DynamoDBStreams.GetRecords"},
	Redeliver: {"AmazonSQS.ReceiveMessage", "AmazonSQS.ChangeMessageVisibility", changeVisibilityBatch},
}

// Rule makes some calls of some operations go wrong.
type Rule struct {
	Kind        Kind
	Operation   string // "DynamoDB.PutItem", "DynamoDB.*" or "*"
	AccessKey   string // of the caller; empty: any
	Probability float64
	Limit       int64 // of strikes on each operation; 0 means no limit
	From, Until time.Time
	Share       float64 // of a batch's entries
	Min, Max    time.Duration
}

func (r Rule) matches(operation string) bool {
	prefix, isPrefix := strings.CutSuffix(r.Operation, "*")
	return r.Operation == operation || isPrefix && strings.HasPrefix(operation, prefix)
}

// targets returns the operations that the rule can strike.
func (r Rule) targets(operations []string) []string {
	possible := kinds[r.Kind]
	return slices.DeleteFunc(slices.Clone(operations), func(op string) bool {
		return !r.matches(op) || possible != nil && !slices.Contains(possible, op)
	})
}

// refuses reports whether the rule fails the operation before it begins.
func (r Rule) refuses(operation string) bool {
	switch r.Kind {
	case Fail, ExpireIterator:
		return true
	case Throttle:
		return r.Share == 0 || !slices.Contains(kinds[Partial], operation)
	case Deny:
		return r.Share == 0 || operation != sendMessageBatch
	default:
		return false
	}
}

// active reports whether the rule is for a caller, at this time.
func (r Rule) active(accessKey string, now time.Time) bool {
	return (r.AccessKey == "" || r.AccessKey == accessKey) && !now.Before(r.From) && (r.Until.IsZero() || now.Before(r.Until))
}

func check(rules []Rule, operations []string) error {
	var all []error
	for i, r := range rules {
		for _, mistake := range r.mistakes(operations) {
			all = append(all, fmt.Errorf("fault %d: %s", i+1, mistake))
		}
	}
	return errors.Join(all...)
}

func (r Rule) mistakes(operations []string) (out []string) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	possible, known := kinds[r.Kind]
	if possible == nil {
		possible = operations
	}
	if !known {
		wrong(true, "unknown fault %q; the faults are %s", r.Kind, list(slices.Collect(maps.Keys(kinds))))
	} else {
		star := strings.Index(r.Operation, "*")
		badPattern := star > 0 && !strings.HasSuffix(r.Operation[:star], ".") || star >= 0 && star != len(r.Operation)-1
		wrong(badPattern || len(r.targets(operations)) == 0,
			"%s strikes no operation %q; allowed are *, a service such as DynamoDB.*, or any of %s", r.Kind, r.Operation, list(possible))
	}
	wrong(!(r.Probability > 0 && r.Probability <= 1), "probability %v is not above 0 and at most 1", r.Probability)
	wrong(r.Limit < 0, "limit %d is negative; 0 means no limit", r.Limit)
	wrong(!r.Until.IsZero() && !r.Until.After(r.From), "until %s is not after from %s", r.Until, r.From)
	wrong(!(r.Share >= 0 && r.Share <= 1), "share %v is not between 0 and 1", r.Share)
	switch r.Kind {
	case Throttle, Deny, Partial, Duplicate, Redeliver:
	default:
		wrong(r.Share != 0, "%s has no share; throttle, deny, partial, duplicate and redeliver have", r.Kind)
	}
	if r.Kind == Latency {
		wrong(r.Min < 0 || r.Max < r.Min || r.Max == 0,
			"invalid latency from %s to %s: min must be at least 0, and max above 0 and not below min", r.Min, r.Max)
	} else {
		wrong(r.Min != 0 || r.Max != 0, "%s has no min and max; latency has", r.Kind)
	}
	return out
}

func list[S ~string](names []S) string {
	var out []string
	for _, n := range slices.Sorted(slices.Values(names)) {
		out = append(out, string(n))
	}
	return strings.Join(out, ", ")
}
