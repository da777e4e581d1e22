// Package kinesis implements Kinesis Data Streams in memory, with resharding, enhanced fan-out and AWS's limits and errors.
//
// Operations that take seconds on AWS (create, delete, reshard, register) are complete when the call returns, so streams
// and consumers are always ACTIVE. Throughput is not limited, but that of reads if asked for.
package kinesis

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// maxOpenShards is the default quota of an account in us-east-1.
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
const maxOpenShards = 20_000

// Options configure a Kinesis; Now is the clock for timestamps, retention and expiry.
type Options struct {
	Region    string
	AccountID string
	Now       func() time.Time
	Journal   *journal.Journal // nil to keep nothing
	// ReadLimits makes GetRecords fail beyond the limits of a shard.
	ReadLimits bool
	// HoldReads is how long GetRecords waits for a record if there is none.
	HoldReads time.Duration
}

// Kinesis is one account's streams in one region.
//
// Locks nest in the order Kinesis, stream, shard; no call holds two streams.
type Kinesis struct {
	opts       Options
	kept       kept
	openShards atomic.Int64
	once       sync.Once
	closed     chan struct{} // closed by once

	mu      sync.RWMutex
	streams map[string]*stream
	former  map[string]time.Time // when the last deleted stream of each name was created
}

// New returns a Kinesis without streams.
func New(o Options) *Kinesis {
	return &Kinesis{
		opts: o, kept: keptIn(o.Journal, o.Region), closed: make(chan struct{}),
		streams: map[string]*stream{}, former: map[string]time.Time{},
	}
}

// Service returns the API Kinesis_20131202.
func (k *Kinesis) Service() *awsjson.Service {
	return &awsjson.Service{
		Target:      "Kinesis_20131202",
		ContentType: "application/x-amz-json-1.1",
		CBOR:        true,
		Operations: map[string]awsjson.Operation{
			"CreateStream":                  awsjson.Handle(k.createStream),
			"DeleteStream":                  awsjson.Handle(k.deleteStream),
			"DescribeStream":                awsjson.Handle(k.describeStream),
			"DescribeStreamSummary":         awsjson.Handle(k.describeStreamSummary),
			"ListStreams":                   awsjson.Handle(k.listStreams),
			"IncreaseStreamRetentionPeriod": awsjson.Handle(k.increaseRetention),
			"DecreaseStreamRetentionPeriod": awsjson.Handle(k.decreaseRetention),
			"UpdateMaxRecordSize":           awsjson.Handle(k.updateMaxRecordSize),
			"AddTagsToStream":               awsjson.Handle(k.addTagsToStream),
			"RemoveTagsFromStream":          awsjson.Handle(k.removeTagsFromStream),
			"ListTagsForStream":             awsjson.Handle(k.listTagsForStream),
			"TagResource":                   awsjson.Handle(k.tagResource),
			"UntagResource":                 awsjson.Handle(k.untagResource),
			"ListTagsForResource":           awsjson.Handle(k.listTagsForResource),
			"ListShards":                    awsjson.Handle(k.listShards),
			"SplitShard":                    awsjson.Handle(k.splitShard),
			"MergeShards":                   awsjson.Handle(k.mergeShards),
			"PutRecord":                     awsjson.Handle(k.putRecord),
			"PutRecords":                    awsjson.Handle(k.putRecords),
			"GetShardIterator":              awsjson.Handle(k.getShardIterator),
			"GetRecords":                    awsjson.Handle(k.getRecords),
			"RegisterStreamConsumer":        awsjson.Handle(k.registerStreamConsumer),
			"DescribeStreamConsumer":        awsjson.Handle(k.describeStreamConsumer),
			"ListStreamConsumers":           awsjson.Handle(k.listStreamConsumers),
			"DeregisterStreamConsumer":      awsjson.Handle(k.deregisterStreamConsumer),
			"SubscribeToShard":              awsjson.Handle(k.subscribeToShard),
		},
		Streaming: "SubscribeToShard",
	}
}

// Close ends every subscription, and reads that wait. Later subscriptions end after their first event, later reads do not wait.
func (k *Kinesis) Close() { k.once.Do(func() { close(k.closed) }) }

// now is truncated to milliseconds, the precision of every timestamp that a client sees, so that comparisons agree with them.
func (k *Kinesis) now() time.Time { return k.opts.Now().Truncate(time.Millisecond) }

func (k *Kinesis) arn(stream string) string { return k.arnPrefix() + stream }

func (k *Kinesis) arnPrefix() string {
	return "arn:aws:kinesis:" + k.opts.Region + ":" + k.opts.AccountID + ":stream/"
}

// streamRef identifies a stream in a request by either member or both.
type streamRef struct {
	StreamName *string
	StreamARN  *string
}

func (r streamRef) check(v *violations) {
	v.name("streamName", r.StreamName)
	v.arn(r.StreamARN)
}

func (r streamRef) given() bool { return r.StreamName != nil || r.StreamARN != nil }

func (k *Kinesis) find(r streamRef) (*stream, error) {
	switch {
	case r.StreamARN != nil:
		name, ours := strings.CutPrefix(*r.StreamARN, k.arnPrefix())
		if r.StreamName != nil && *r.StreamName != name {
			return nil, invalidArgument("StreamName %s and StreamARN %s do not name the same stream.", *r.StreamName, *r.StreamARN)
		}
		if !ours {
			account := strings.Split(*r.StreamARN, ":")[4] // the ARN's pattern has five colons at least
			return nil, k.streamNotFound((*r.StreamARN)[strings.Index(*r.StreamARN, "/")+1:], account)
		}
		return k.named(name)
	case r.StreamName != nil:
		return k.named(*r.StreamName)
	default:
		return nil, invalidArgument("Either StreamARN or StreamName must be provided.")
	}
}

func (k *Kinesis) named(name string) (*stream, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if s, ok := k.streams[name]; ok {
		return s, nil
	}
	return nil, k.streamNotFound(name, k.opts.AccountID)
}

func (k *Kinesis) streamNotFound(name, account string) error {
	return awsjson.Errorf("ResourceNotFoundException", "Stream %s under account %s not found.", name, account)
}

// all returns the streams sorted by name.
func (k *Kinesis) all() []*stream {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.SortedFunc(maps.Values(k.streams), func(a, b *stream) int { return strings.Compare(a.name, b.name) })
}

// reserveShards counts n more open shards, or fails if that would exceed the account's quota. A negative n releases shards.
func (k *Kinesis) reserveShards(n int) error {
	if sum := k.openShards.Add(int64(n)); n > 0 && sum > maxOpenShards {
		k.openShards.Add(-int64(n))
		return awsjson.Errorf("LimitExceededException",
			"This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. "+
				"Limit: %d. Number of additional shards that would have resulted from this request: %d. "+
				"Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) "+
				"for current limits and how to request higher limits.",
			k.opts.AccountID, k.opts.Region, sum-int64(n), maxOpenShards, n)
	}
	return nil
}

func invalidArgument(format string, args ...any) error {
	return awsjson.Errorf("InvalidArgumentException", format, args...)
}

// done is the empty output of an operation.
type done struct{}
