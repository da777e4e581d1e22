package shards

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Tail yields the records that arrive in the Kinesis stream of that name, from the call of begun on: the first error, or the end of
// ctx, ends it. It writes nothing: it has no leases and no checkpoint, and does not continue where another one ended. Records of
// one key come in order, also across splits and merges.
//
// It reads every shard once per pause. A shard allows five reads a second, for all readers together:
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
//
// It needs the permissions of NewKinesisStream.
func Tail(ctx context.Context, client KinesisAPI, streamName string, pause time.Duration, begun func()) iter.Seq2[Record[[]byte], error] {
	return func(yield func(Record[[]byte], error) bool) {
		t := tail{stream: &kinesisStream{kinesisShards{client, streamName}, client}, feeds: map[string]Feed[[]byte]{}}
		err := t.begin(ctx)
		if err == nil {
			begun()
		}
		for err == nil {
			var goOn bool
			if goOn, err = t.round(ctx, func(r Record[[]byte]) bool { return yield(r, nil) }); !goOn && err == nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		if ctx.Err() == nil {
			yield(Record[[]byte]{}, err)
		}
	}
}

// tail is the state of a Tail.
type tail struct {
	stream *kinesisStream
	feeds  map[string]Feed[[]byte] // of the shards that are being read
	known  []string                // shards, read or not
}

// begin opens every open shard at its end.
func (t *tail) begin(ctx context.Context) error {
	listing, err := t.stream.Shards(ctx)
	if err != nil {
		return err
	}
	for _, s := range listing.Shards {
		t.known = append(t.known, s.ID)
		if s.Closed {
			continue
		}
		out, err := t.stream.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: aws.String(t.stream.name), ShardId: aws.String(s.ID), ShardIteratorType: types.ShardIteratorTypeLatest,
		})
		if err != nil {
			return fmt.Errorf("open shard %s of stream %s: %w", s.ID, t.stream.name, err)
		}
		t.feeds[s.ID] = &kinesisFeed{stream: t.stream, iterator: out.ShardIterator}
	}
	return nil
}

// round reads a page of each shard. It reports whether there is to be another round.
func (t *tail) round(ctx context.Context, yield func(Record[[]byte]) bool) (goOn bool, err error) {
	ended := false
	for shard, feed := range t.feeds {
		page, err := feed.Next(ctx)
		if errors.Is(err, ErrThrottled) {
			continue
		}
		if err != nil {
			return false, err
		}
		for _, r := range page.Records {
			if !yield(r) {
				return false, nil
			}
		}
		if page.End {
			delete(t.feeds, shard)
			ended = true
		}
	}
	if ended {
		return true, t.children(ctx)
	}
	return true, nil
}

// children opens the shards that are new, from their beginning, once all of their parents' records are read.
func (t *tail) children(ctx context.Context) error {
	listing, err := t.stream.Shards(ctx)
	if err != nil {
		return err
	}
	unread := map[string]bool{} // shards with records that come first
	for _, s := range listing.Shards {
		unread[s.ID] = t.feeds[s.ID] != nil || !slices.Contains(t.known, s.ID)
	}
	for _, s := range listing.Shards {
		if slices.Contains(t.known, s.ID) || slices.ContainsFunc(s.Parents, func(parent string) bool { return unread[parent] }) {
			continue
		}
		feed, err := t.stream.Open(ctx, s.ID, TrimHorizon)
		if err != nil {
			return err
		}
		t.known = append(t.known, s.ID)
		t.feeds[s.ID] = feed
	}
	return nil
}
