package dynamodb

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
const iteratorLifetime = 15 * time.Minute

func formatSequence(n uint64) string { return fmt.Sprintf(sequenceBase, n) }

func parseSequence(text string) (uint64, bool) {
	digits, ok := strings.CutPrefix(text, sequenceBase[:1])
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// iterator is a position in a shard: before the first record whose sequence number is at least Next. Clients see it as text.
type iterator struct {
	Stream   string
	Shard    string
	Next     uint64
	IssuedAt int64 // Unix milliseconds
}

func (it iterator) String() string {
	b, err := json.Marshal(it)
	if err != nil {
		return "" // strings and integers always marshal
	}
	return it.Stream + "|1|" + base64.StdEncoding.EncodeToString(b)
}

func parseIterator(text string) (iterator, bool) {
	var it iterator
	b, err := base64.StdEncoding.DecodeString(text[strings.LastIndexByte(text, '|')+1:])
	if err != nil || json.Unmarshal(b, &it) != nil {
		return iterator{}, false
	}
	return it, it.String() == text
}

type getShardIteratorInput struct {
	StreamArn         string
	ShardID           string `json:"ShardId"`
	ShardIteratorType string
	SequenceNumber    string
}

type getShardIteratorOutput struct{ ShardIterator string }

func (in *getShardIteratorInput) check() error {
	k := &constraints{}
	k.required(in.StreamArn != "", "streamArn")
	k.required(in.ShardID != "", "shardId")
	k.required(in.ShardIteratorType != "", "shardIteratorType")
	k.oneOf(in.ShardIteratorType, "shardIteratorType", "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
	if err := k.err(); err != nil {
		return err
	}
	numbered := strings.HasSuffix(in.ShardIteratorType, "_SEQUENCE_NUMBER")
	if numbered && in.SequenceNumber == "" {
		return invalid("Missing SequenceNumber: ShardIteratorType %s requires one", in.ShardIteratorType)
	}
	if !numbered && in.SequenceNumber != "" {
		return invalid("Invalid SequenceNumber: ShardIteratorType %s does not take one", in.ShardIteratorType)
	}
	return nil
}

func (db *DB) getShardIterator(_ context.Context, in *getShardIteratorInput) (*getShardIteratorOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s, err := db.stream(in.StreamArn)
	if err != nil {
		return nil, err
	}
	now := db.options.Now()
	sh, err := s.shard(in.ShardID, now)
	if err != nil {
		return nil, err
	}
	next, err := sh.resolve(in.ShardIteratorType, in.SequenceNumber, &s.last, now)
	if err != nil {
		return nil, err
	}
	it := iterator{Stream: s.arn, Shard: sh.id, Next: next, IssuedAt: now.UnixMilli()}
	return &getShardIteratorOutput{it.String()}, nil
}

func (s *stream) shard(id string, now time.Time) (*shard, error) {
	shards := s.list(now)
	i := slices.IndexFunc(shards, func(sh *shard) bool { return sh.id == id })
	if i < 0 {
		return nil, awsjson.Errorf("ResourceNotFoundException",
			"Requested resource not found: Shard: %s in Stream: %s not found", id, s.arn)
	}
	return shards[i], nil
}

// resolve returns the sequence number at which a new iterator starts.
func (sh *shard) resolve(kind, number string, last interface{ Load() uint64 }, now time.Time) (uint64, error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.trim(now)
	switch kind {
	case "TRIM_HORIZON":
		return max(sh.start, sh.trimmed+1), nil
	case "LATEST":
		sh.seen = max(sh.seen, last.Load())
		return last.Load() + 1, nil
	}
	n, ok := parseSequence(number)
	if !ok || n < sh.start || n > last.Load() || sh.end > 0 && n > sh.end {
		return 0, invalid("Invalid SequenceNumber: %s is not in the range of shard %s", number, sh.id)
	}
	if n <= sh.trimmed {
		return 0, trimmedAccess()
	}
	if kind == "AFTER_SEQUENCE_NUMBER" {
		n++
	}
	return n, nil
}

func trimmedAccess() *awsjson.Error {
	return awsjson.Errorf("TrimmedDataAccessException",
		"The operation attempted to read past the oldest stream record in a shard.")
}
