package dynamodb

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/hold"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// Records live for a day. Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
const streamRetention = 24 * time.Hour

// streamInfix is between a table's ARN and a stream's label.
const streamInfix = "/stream/"

type streamSpecification struct {
	StreamEnabled  bool
	StreamViewType string `json:",omitempty"`
}

// identity is the userIdentity of a change that the service made.
type identity struct {
	PrincipalID string `json:"PrincipalId"`
	Type        string
}

// record is one change; immutable.
type record struct {
	sequence  uint64
	createdAt time.Time
	before    attr.Item
	after     attr.Item
	keys      attr.Item
	by        *identity
	size      int
}

func (r *record) eventName() string {
	switch {
	case r.before == nil:
		return "INSERT"
	case r.after == nil:
		return "REMOVE"
	default:
		return "MODIFY"
	}
}

// stream is the log of a table's changes. All records of one partition key go to one lineage of shards.
type stream struct {
	kept                    kept
	arn, label, table, view string
	keys                    keySchema
	createdAt               time.Time
	last                    atomic.Uint64 // newest sequence number

	mu         sync.RWMutex // held shared by writers, exclusively to change shards
	disabledAt time.Time    // zero while enabled
	shards     []*shard     // in order of creation, which is the order of their ids
	lastStamp  int64        // in the id of the newest shard
	open       []*shard     // by slot of the partition key's hash
}

// shard is a part of a stream that is read in order. A closed shard has an end, and children that continue it.
type shard struct {
	stream     *stream
	id, parent string
	start      uint64
	keys       keySchema

	mu       sync.Mutex
	records  []*record
	trimmed  uint64       // newest sequence number that was removed
	seen     uint64       // newest sequence number that a client has read or skipped
	end      uint64       // 0 while open
	closedAt time.Time    // zero while open
	changes  hold.Changes // records that come, and the end
}

func newStream(t *table, view string, number int, now time.Time) *stream {
	label := now.UTC().Format("2006-01-02T15:04:05.000")
	s := &stream{
		kept: t.kept, arn: t.arn + streamInfix + label, label: label, table: t.name, view: view, keys: t.keys, createdAt: now,
		open: make([]*shard, number),
	}
	for i := range s.open {
		s.open[i] = s.newShard("", now)
	}
	return s
}

// newShard requires the stream exclusively.
func (s *stream) newShard(parent string, now time.Time) *shard {
	start := s.last.Add(1)
	hash := sha256.Sum256(fmt.Append(nil, s.arn, start))
	s.lastStamp = max(now.UnixMilli(), s.lastStamp+1)
	sh := &shard{
		stream: s, id: fmt.Sprintf("shardId-%020d-%s", s.lastStamp, hex.EncodeToString(hash[:4])),
		parent: parent, start: start, keys: s.keys,
	}
	s.shards = append(s.shards, sh)
	return sh
}

// append records a change. The caller's lock on the item keeps the order of its records.
func (s *stream) append(
	part place, keys keySchema, before, after attr.Item, now time.Time, by *identity, b *journal.Batch,
) {
	key := after
	if key == nil {
		key = before
	}
	r := &record{createdAt: now, before: before, after: after, keys: keys.of(key), by: by}
	if s.view != "NEW_IMAGE" && s.view != "NEW_AND_OLD_IMAGES" {
		r.after = presence(after)
	}
	if s.view != "OLD_IMAGE" && s.view != "NEW_AND_OLD_IMAGES" {
		r.before = presence(before)
	}
	r.size = r.keys.Size() + r.after.Size() + r.before.Size()
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh := s.open[part.hash%uint64(len(s.open))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.trim(now)
	r.sequence = s.last.Add(1)
	sh.records = append(sh.records, r)
	sh.saveRecord(r, b)
	sh.changes.Signal()
}

// presence replaces an item by an empty one: only its existence is kept.
func presence(item attr.Item) attr.Item {
	if item == nil {
		return nil
	}
	return attr.Item{}
}

// trim removes expired records. It requires the shard's lock.
func (sh *shard) trim(now time.Time) {
	sh.trimBefore(now.Add(-streamRetention))
}

func (sh *shard) trimBefore(t time.Time) {
	n := 0
	for n < len(sh.records) && sh.records[n].createdAt.Before(t) {
		n++
	}
	if n > 0 {
		sh.trimmed = sh.records[n-1].sequence
		sh.saveTrimmed(sh.records[:n])
		clear(sh.records[:n])
		sh.records = sh.records[n:]
	}
}

// close requires the stream exclusively.
func (s *stream) close(sh *shard, now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.end, sh.closedAt = s.last.Add(1), now
	sh.changes.Signal()
}

// rotate closes every open shard and opens a child for each.
func (s *stream) rotate(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropExpired(now)
	for i, sh := range s.open {
		s.close(sh, now)
		s.open[i] = s.newShard(sh.id, now)
	}
	s.save()
}

// disable ends the stream; its records can be read for another day.
func (s *stream) disable(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.open {
		s.close(sh, now)
	}
	s.disabledAt = now
	s.save()
}

// dropExpired removes shards that were closed so long ago that all their records have expired. It requires the stream
// exclusively.
func (s *stream) dropExpired(now time.Time) {
	s.dropClosedBefore(now.Add(-streamRetention))
}

func (s *stream) dropClosedBefore(t time.Time) {
	before := len(s.shards)
	s.shards = slices.DeleteFunc(s.shards, func(sh *shard) bool {
		dropped := !sh.closedAt.IsZero() && sh.closedAt.Before(t)
		if dropped {
			sh.saveDropped()
		}
		return dropped
	})
	if len(s.shards) < before {
		s.save()
	}
}

// list returns the shards that have not expired.
func (s *stream) list(now time.Time) []*shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropExpired(now)
	return slices.Clone(s.shards)
}

func (s *stream) status() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.disabledAt.IsZero() {
		return "ENABLED"
	}
	return "DISABLED"
}

// RotateShards closes every open shard of a table's stream and opens a child for each, as AWS does every few hours.
func (db *DB) RotateShards(table string) error {
	t := db.table(table)
	if t == nil {
		return tableNotFound(table)
	}
	t.gate.RLock()
	defer t.gate.RUnlock()
	if t.stream == nil {
		return awsjson.Errorf("ResourceNotFoundException", "Table %s has no enabled stream", table)
	}
	t.stream.rotate(db.options.Now())
	return nil
}

// onDemandPartitions is less than on AWS, where a new on-demand table has four partitions.
const onDemandPartitions = 2

// partitions returns the number of a new table's partitions, each of which has an open shard in the table's stream. A
// partition has 3,000 read and 1,000 write units.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
func (s settings) partitions() int {
	if s.onDemand {
		return onDemandPartitions
	}
	needed := float64(s.throughput.ReadCapacityUnits)/3000 + float64(s.throughput.WriteCapacityUnits)/1000
	return max(1, int(math.Ceil(needed)))
}

// enableStream gives the table a new stream. It requires the table's gate exclusively.
func (db *DB) enableStream(t *table, view string) {
	now := db.options.Now()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.dropGone(now)
	s := newStream(t, view, t.settings.partitions(), now)
	for db.streams[s.arn] != nil { // labels have a resolution of milliseconds
		now = now.Add(time.Millisecond)
		s = newStream(t, view, t.settings.partitions(), now)
	}
	s.save()
	db.streams[s.arn] = s
	t.stream, t.lastARN = s, s.arn
}

func (db *DB) disableStream(t *table) {
	t.stream.disable(db.options.Now())
	t.stream = nil
}

// stream returns a stream that is enabled or was disabled within the last day.
func (db *DB) stream(arn string) (*stream, error) {
	db.mu.RLock()
	defer db.mu.RUnlock()
	s := db.streams[arn]
	if s == nil || s.gone(db.options.Now()) {
		return nil, awsjson.Errorf("ResourceNotFoundException", "Requested resource not found: Stream: %s not found", arn)
	}
	return s, nil
}

// dropGone removes the streams that were disabled more than a day ago. It requires db.mu.
func (db *DB) dropGone(now time.Time) {
	for arn, s := range db.streams {
		if s.gone(now) {
			s.saveGone()
			delete(db.streams, arn)
		}
	}
}

func (s *stream) gone(now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return !s.disabledAt.IsZero() && now.Sub(s.disabledAt) > streamRetention
}
