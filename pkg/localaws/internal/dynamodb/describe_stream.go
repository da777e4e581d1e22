package dynamodb

import (
	"context"
	"slices"
	"strings"
)

// Sequence numbers have 21 to 40 digits; ours have 21, so that they sort as text, too.
const sequenceBase = "1%020d"

type listStreamsInput struct {
	TableName               string
	Limit                   *int
	ExclusiveStartStreamArn string
}

type streamSummary struct {
	StreamArn   string
	TableName   string
	StreamLabel string
}

type listStreamsOutput struct {
	Streams                []streamSummary
	LastEvaluatedStreamArn string `json:",omitempty"`
}

func (db *DB) listStreams(_ context.Context, in *listStreamsInput) (*listStreamsOutput, error) {
	k := &constraints{}
	if in.TableName != "" {
		k.table(in.TableName)
	}
	k.between(in.Limit, "limit", 1, 100)
	if err := k.err(); err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	out := &listStreamsOutput{Streams: []streamSummary{}}
	for _, s := range db.streamsOf(tableName(in.TableName)) {
		if s.arn <= in.ExclusiveStartStreamArn {
			continue
		}
		if len(out.Streams) == limit {
			out.LastEvaluatedStreamArn = out.Streams[limit-1].StreamArn
			break
		}
		out.Streams = append(out.Streams, streamSummary{s.arn, s.table, s.label})
	}
	return out, nil
}

// streamsOf returns a table's streams, or all for "", sorted by ARN.
func (db *DB) streamsOf(table string) []*stream {
	now := db.options.Now()
	db.mu.Lock()
	defer db.mu.Unlock()
	var out []*stream
	for arn, s := range db.streams {
		if s.gone(now) {
			delete(db.streams, arn)
		} else if table == "" || s.table == table {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *stream) int { return strings.Compare(a.arn, b.arn) })
	return out
}

// shardFilter selects the children of one shard.
type shardFilter struct {
	Type    string
	ShardID string `json:"ShardId"`
}

type describeStreamInput struct {
	StreamArn             string
	Limit                 *int
	ExclusiveStartShardID string `json:"ExclusiveStartShardId"`
	ShardFilter           *shardFilter
}

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardDescription struct {
	ShardID             string `json:"ShardId"`
	SequenceNumberRange sequenceRange
	ParentShardID       string `json:"ParentShardId,omitempty"`
}

type streamDescription struct {
	StreamArn               string
	StreamLabel             string
	StreamStatus            string
	StreamViewType          string
	CreationRequestDateTime float64
	TableName               string
	KeySchema               []keySchemaElement
	Shards                  []shardDescription
	LastEvaluatedShardID    string `json:"LastEvaluatedShardId,omitempty"`
}

type describeStreamOutput struct{ StreamDescription streamDescription }

func (in *describeStreamInput) check() error {
	k := &constraints{}
	k.required(in.StreamArn != "", "streamArn")
	k.between(in.Limit, "limit", 1, 100)
	if f := in.ShardFilter; f != nil {
		k.oneOf(f.Type, "shardFilter.type", "CHILD_SHARDS")
		k.required(f.Type != "", "shardFilter.type")
		k.required(f.ShardID != "", "shardFilter.shardId")
	}
	return k.err()
}

func (db *DB) describeStream(_ context.Context, in *describeStreamInput) (*describeStreamOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s, err := db.stream(in.StreamArn)
	if err != nil {
		return nil, err
	}
	d := streamDescription{
		StreamArn: s.arn, StreamLabel: s.label, StreamStatus: s.status(), StreamViewType: s.view,
		CreationRequestDateTime: epoch(s.createdAt), TableName: s.table, KeySchema: s.keys.wire(),
		Shards: []shardDescription{},
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	for _, sh := range after(s.list(db.options.Now()), in.ExclusiveStartShardID) {
		if f := in.ShardFilter; f != nil && sh.parent != f.ShardID {
			continue
		}
		if len(d.Shards) == limit {
			d.LastEvaluatedShardID = d.Shards[limit-1].ShardID
			break
		}
		d.Shards = append(d.Shards, sh.describe())
	}
	return &describeStreamOutput{d}, nil
}

// after returns the shards that follow a shard, which may have expired. Clients rely on the order of ids, although no page of
// AWS promises it: https://github.com/scylladb/scylladb/issues/7409
func after(shards []*shard, id string) []*shard {
	i, found := slices.BinarySearchFunc(shards, id, func(sh *shard, id string) int { return strings.Compare(sh.id, id) })
	if found {
		i++
	}
	return shards[i:]
}

func (sh *shard) describe() shardDescription {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	d := shardDescription{ShardID: sh.id, ParentShardID: sh.parent}
	d.SequenceNumberRange.StartingSequenceNumber = formatSequence(sh.start)
	if sh.end > 0 {
		d.SequenceNumberRange.EndingSequenceNumber = formatSequence(sh.end)
	}
	return d
}
