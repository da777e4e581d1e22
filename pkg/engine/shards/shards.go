// Package shards reads a sharded stream, of DynamoDB or of Kinesis, with any number of readers that share its shards.
//
// A lease says which reader reads a shard; readers take, renew and release leases by conditional writes. A checkpoint is
// the position that a lease stores: all records up to it are handled. If an owner stops renewing a lease, another reader takes
// it and continues at the checkpoint.
//
// A Reader guarantees, through crashes, pauses, splits and merges:
//
//   - Every record is handled at least once. The position is that before the oldest record that is not done. It is stored by
//     time, not by batch; see Config.Checkpoint.
//   - Records of one shard come to its Handler in order, and only after all records of both its parents are done. So the
//     records of one partition key are handled in order across splits and merges, if the Handler keeps each key's order.
//   - A clean stop, and the release of a shard to balance the load, repeat nothing, unless StopTimeout is over before all that
//     was read is done. After a crash the next owner repeats what was done since the last checkpoint, what is in flight, and
//     what overtook a record that was not done. A process that was paused for so long that it lost its lease may finish what
//     is in flight, but begins nothing else. So handlers must be idempotent.
//   - What cannot be handled is retried for ever and never skipped. It delays its own shard only; see Config.Open.
//   - A shard of which nothing is completed is given up, so that a call that never returns stops no shard.
//   - If the stream has trimmed the position, Republish is called before reading continues.
//   - If the stream is replaced by another one under its name, the new one is read from its oldest record, and one of the
//     readers calls Republish for all. A crash in the middle of that repeats it. See Source.
//
// # Table and permissions
//
// DynamoDBLeases needs one table, declared by CreateTableInput: partition key "consumer" (S), sort key "shard" (S), no
// stream, no time to live, with dynamodb:Query, dynamodb:PutItem and dynamodb:DeleteItem on it. NewKinesisStream,
// NewKinesisFanOut and NewDynamoDBStream list the permissions that they need.
package shards

import (
	"context"
	"errors"
	"time"
)

// Stream is a sharded stream. Its errors wrap ErrIteratorExpired, ErrTrimmed, ErrThrottled, ErrShardGone or
// ErrForeignPosition where they apply; any other error is retried.
// It is safe for concurrent use.
type Stream[T any] interface {
	// Shards lists all shards, closed ones too, as long as the stream remembers them. It fails while there is no stream that
	// can be read.
	Shards(ctx context.Context) (Listing, error)
	// Open returns a feed of a shard that starts after a position. The feed ends with ctx.
	Open(ctx context.Context, shardID string, after Position) (Feed[T], error)
}

// Feed reads one shard from where it was opened. It serves one goroutine.
type Feed[T any] interface {
	// Next returns the next page, possibly without records, or waits for one. After an error that wraps ErrThrottled it
	// may be called again; after any other error a new feed is needed.
	Next(ctx context.Context) (Page[T], error)
	// Close releases the feed's resources.
	Close()
}

// Errors of a Stream.
var (
	// ErrIteratorExpired: the feed was idle for too long; open another from the last position.
	ErrIteratorExpired = errors.New("shard iterator expired")
	// ErrTrimmed: records after the position are no longer kept.
	ErrTrimmed = errors.New("shard position trimmed")
	// ErrThrottled: too many calls. The feed stays usable.
	ErrThrottled = errors.New("shard read throttled")
	// ErrShardGone: the stream does not have the shard, or no longer.
	ErrShardGone = errors.New("shard gone")
	// ErrForeignPosition: the position is not one of this shard, and never will be.
	ErrForeignPosition = errors.New("position of another stream")
)

// Source identifies a stream for as long as it exists. A stream made anew under the same name is another source: its shards
// may have the IDs of the former ones, but no position of a source is valid in another.
type Source string

// Listing is the shards of one source.
type Listing struct {
	Source Source
	Shards []Shard
}

// Shard is an ordered part of a stream.
type Shard struct {
	ID string
	// Parents are the shards that this one continues: none for a first shard, two after a merge.
	Parents []string
	// Closed says that the shard takes no more records.
	Closed bool
}

// Position is the sequence number of the record read last.
type Position string

// keyError is the log attribute of an error.
const keyError = "error"

// TrimHorizon is the position before the oldest record that is kept.
const TrimHorizon Position = ""

// Page is a shard's next records.
type Page[T any] struct {
	Records []Record[T]
	// End says that the shard is closed and these are its last records.
	End bool
	// Last is the position after this page, if the stream skipped records that are not in Records. Defaults to the last
	// record's.
	Last Position
	// More says that more records are likely to be there, or that Next waits for them: read again at once, unless reads were
	// refused lately.
	More bool
	// Behind is the page's distance from the tip of the shard, if the stream reports it.
	Behind time.Duration
}

// Record is one record of a shard.
type Record[T any] struct {
	Sequence Position
	// Key is the partition key, if the stream has one.
	Key   string
	Value T
	// ArrivedAt is when the stream took the record, approximately.
	ArrivedAt time.Time
}

func (p Page[T]) last() Position {
	if p.Last == "" && len(p.Records) > 0 {
		return p.Records[len(p.Records)-1].Sequence
	}
	return p.Last
}
