package kinesis

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// timestamp is a time in AWS's JSON: a number of seconds, with milliseconds as a fraction.
type timestamp struct{ time.Time }

func (t timestamp) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(t.UnixMilli())/1000, 'f', -1, 64), nil
}

func (t timestamp) MarshalCBOR() ([]byte, error) { return awsjson.CBORTime(t.Time) }

func (t *timestamp) UnmarshalJSON(b []byte) error {
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		return err
	}
	t.Time = time.UnixMilli(int64(math.Round(seconds * 1000)))
	return nil
}

type hashKeyRangeJSON struct {
	StartingHashKey string
	EndingHashKey   string
}

func describeKeys(r hashRange) hashKeyRangeJSON {
	return hashKeyRangeJSON{StartingHashKey: r.first.String(), EndingHashKey: r.last.String()}
}

type sequenceNumberRangeJSON struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardJSON struct {
	ShardID               string `json:"ShardId"`
	ParentShardID         string `json:"ParentShardId,omitempty"`
	AdjacentParentShardID string `json:"AdjacentParentShardId,omitempty"`
	HashKeyRange          hashKeyRangeJSON
	SequenceNumberRange   sequenceNumberRangeJSON
}

func describeShards(shards []*shard) []shardJSON {
	out := make([]shardJSON, len(shards))
	for i, s := range shards {
		d := shardJSON{ShardID: s.id(), HashKeyRange: describeKeys(s.keys)}
		d.SequenceNumberRange.StartingSequenceNumber = s.sequence(0).String()
		if !s.open() {
			d.SequenceNumberRange.EndingSequenceNumber = s.sequence(endOfShard).String()
		}
		if len(s.parents) > 0 {
			d.ParentShardID = s.parents[0]
		}
		if len(s.parents) > 1 {
			d.AdjacentParentShardID = s.parents[1]
		}
		out[i] = d
	}
	return out
}

type childShardJSON struct {
	ShardID      string `json:"ShardId"`
	ParentShards []string
	HashKeyRange hashKeyRangeJSON
}

func describeChildren(shards []*shard) []childShardJSON {
	out := make([]childShardJSON, len(shards))
	for i, s := range shards {
		out[i] = childShardJSON{ShardID: s.id(), ParentShards: s.parents, HashKeyRange: describeKeys(s.keys)}
	}
	return out
}
