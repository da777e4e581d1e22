package dynamodb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
	"github.com/leftfold/leftfold/pkg/localaws/internal/hold"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
const (
	maxRecords      = 1000
	maxRecordsBytes = 1 << 20
)

type getRecordsInput struct {
	ShardIterator string
	Limit         *int
}

type getRecordsOutput struct {
	Records           []streamRecord
	NextShardIterator string `json:",omitempty"` // absent when a closed shard has been read to its end
}

type streamRecord struct {
	EventID      string       `json:"eventID"`
	EventName    string       `json:"eventName"`
	EventVersion string       `json:"eventVersion"`
	EventSource  string       `json:"eventSource"`
	Region       string       `json:"awsRegion"`
	Change       recordedItem `json:"dynamodb"`
	By           *identity    `json:"userIdentity,omitempty"`
}

type recordedItem struct {
	ApproximateCreationDateTime int64
	Keys                        attr.Item
	NewImage                    attr.Item `json:",omitempty"`
	OldImage                    attr.Item `json:",omitempty"`
	SequenceNumber              string
	SizeBytes                   int
	StreamViewType              string
}

func (db *DB) getRecords(ctx context.Context, in *getRecordsInput) (*getRecordsOutput, error) {
	k := &constraints{}
	k.required(in.ShardIterator != "", "shardIterator")
	k.between(in.Limit, "limit", 1, maxRecords)
	if err := k.err(); err != nil {
		return nil, err
	}
	it, ok := parseIterator(in.ShardIterator)
	if !ok {
		return nil, invalid("Invalid ShardIterator")
	}
	s, err := db.stream(it.Stream)
	if err != nil {
		return nil, err
	}
	now := db.options.Now()
	if now.Sub(time.UnixMilli(it.IssuedAt)) > iteratorLifetime {
		return nil, awsjson.Errorf("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while "+
			"right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
			time.UnixMilli(it.IssuedAt).UTC().Format(time.UnixDate), now.UTC().Format(time.UnixDate), iteratorLifetime.Milliseconds())
	}
	sh, err := s.shard(it.Shard, now)
	if err != nil {
		return nil, trimmedAccess() // the shard existed when the iterator was made
	}
	hold.While(ctx, func() <-chan struct{} { return sh.nothing(it.Next) }, db.options.HoldReads, db.closed)
	now = db.options.Now()
	limit := maxRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	records, next, more, err := sh.read(ctx, it.Next, limit, now)
	if err != nil {
		return nil, err
	}
	out := &getRecordsOutput{Records: make([]streamRecord, len(records))}
	for i, r := range records {
		out.Records[i] = s.wire(r, db.options.Region)
	}
	if more {
		out.NextShardIterator = iterator{it.Stream, it.Shard, next, now.UnixMilli()}.String()
	}
	return out, nil
}

// nothing returns what signals the next change if there is nothing to read: neither a record from a sequence number on, nor the shard's
// end, nor an error. Else it returns nil.
func (sh *shard) nothing(from uint64) <-chan struct{} {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if n := len(sh.records); sh.end > 0 || from <= sh.trimmed || n > 0 && sh.records[n-1].sequence >= from {
		return nil
	}
	return sh.changes.Next()
}

// read returns the records from a sequence number on, the next sequence number to read from, and whether any can follow.
func (sh *shard) read(
	ctx context.Context, from uint64, limit int, now time.Time,
) (records []*record, next uint64, more bool, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.trim(now)
	if from <= sh.trimmed {
		return nil, 0, false, trimmedAccess()
	}
	first := sort.Search(len(sh.records), func(i int) bool { return sh.records[i].sequence >= from })
	first = rewind(first, limit, faults.On(ctx, faults.Duplicate))
	bytes, n := 0, first
	for n < len(sh.records) && n-first < limit {
		if bytes += sh.records[n].size; bytes > maxRecordsBytes && n > first {
			break
		}
		n++
	}
	next = from
	if n > first {
		sh.reorder(first, n, faults.On(ctx, faults.Reorder))
		next = sh.records[n-1].sequence + 1
		sh.seen = max(sh.seen, sh.records[n-1].sequence)
	}
	return append(records, sh.records[first:n]...), next, sh.end == 0 || n < len(sh.records), nil
}

func (s *stream) wire(r *record, region string) streamRecord {
	hash := sha256.Sum256(fmt.Append(nil, s.arn, r.sequence))
	out := streamRecord{
		EventID: hex.EncodeToString(hash[:16]), EventName: r.eventName(), EventVersion: "1.1",
		EventSource: "aws:dynamodb", Region: region, By: r.by,
		Change: recordedItem{
			ApproximateCreationDateTime: r.createdAt.Unix(), Keys: r.keys, NewImage: r.after, OldImage: r.before,
			SequenceNumber: formatSequence(r.sequence), SizeBytes: r.size, StreamViewType: s.view,
		},
	}
	return out
}
