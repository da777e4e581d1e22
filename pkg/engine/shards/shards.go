// Package shards reads sharded streams, DynamoDB Streams and Kinesis alike, with a fleet of readers that share the
// shards by leases.
//
// What a Reader promises, whatever crashes, pauses, splits or merges:
//
//   - Every record of the stream is handled at least once, and its position is kept only after Handle returned nil.
//     Positions are kept by time, not by batch; see Config.Checkpoint.
//   - Records of one shard are handled in order, one batch at a time, and a shard's only after both its parents' are
//     all handled. So the records of one partition key are handled in order across splits and merges.
//   - A clean stop, and a shard given away for balance, repeat nothing. After a crash the next owner repeats the batch in
//     hand and what was handled since the last checkpoint. A process that was paused so long that it lost its lease may
//     finish the batch in hand, and nothing after it: effects that must not be repeated want a fence of their own.
//   - A batch that cannot be handled is tried for ever and never skipped. It holds up its own shard only.
//   - A position that the stream has trimmed away is reported to Republish before reading goes on.
package shards

import (
	"context"
	"errors"
	"time"
)

// Stream is a sharded stream. Its errors wrap those below where they apply; any other error is tried again later.
// Safe for concurrent use.
type Stream[T any] interface {
	// Shards lists all shards, closed ones too, as long as the stream remembers them.
	Shards(ctx context.Context) ([]Shard, error)
	// Open begins to read a shard after a position. The end of ctx ends the feed, too.
	Open(ctx context.Context, shardID string, after Position) (Feed[T], error)
}

// Feed reads one shard on from where it was opened, for one goroutine.
type Feed[T any] interface {
	// Next returns the next page, which has no records if there are none, or waits for one. After an error that wraps
	// ErrThrottled it may be called again; after any other a new feed is needed.
	Next(ctx context.Context) (Page[T], error)
	// Close lets go of what the feed holds.
	Close()
}

// Errors of a Stream.
var (
	// ErrIteratorExpired: the feed waited for too long; open another from the last position.
	ErrIteratorExpired = errors.New("shard iterator expired")
	// ErrTrimmed: records after the position are no longer kept.
	ErrTrimmed = errors.New("shard position trimmed")
	// ErrThrottled: asked too often. The feed stays good.
	ErrThrottled = errors.New("shard read throttled")
	// ErrShardGone: the stream does not know the shard, or no longer.
	ErrShardGone = errors.New("shard gone")
)

// Shard is an ordered part of a stream.
type Shard struct {
	ID string
	// Parents are the shards that this one continues: none for a first shard, two after a merge.
	Parents []string
}

// Position is the sequence number of the record read last.
type Position string

// TrimHorizon is the position before the oldest record that is kept.
const TrimHorizon Position = ""

// Page is some next records of a shard.
type Page[T any] struct {
	Records []Record[T]
	// End says that the shard is closed and these are its last records.
	End bool
	// Last is the position after this page, where the stream passed over records that are not in Records. Defaults to
	// the last record's.
	Last Position
	// More says that records are known, or likely, to be waiting, or that Next waits for them: read again at once.
	More bool
	// Behind is how far the page is from the tip of the shard, if the stream says so.
	Behind time.Duration
}

// Record is one record of a shard.
type Record[T any] struct {
	Sequence Position
	// Key is the partition key, if the stream has such.
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
