package kinesis

import (
	"fmt"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// kept is where the state is stored: a journal, nil to store nothing, and the keys of the entities, by kind.
type kept struct {
	journal *journal.Journal
	streams journal.Key // name
	trimmed journal.Key // stream, shard
	records journal.Key // stream, shard, counter
	former  journal.Key // name
}

func keptIn(j *journal.Journal, region string) kept {
	all := journal.Key(nil).With(region, "kinesis")
	return kept{
		journal: j, streams: all.With("stream"), trimmed: all.With("trimmed"), records: all.With("record"), former: all.With("former"),
	}
}

type storedStream struct {
	OnDemand      bool
	CreatedAt     time.Time
	Retention     time.Duration
	MaxRecordSize int
	Tags          map[string]string
	Shards        []storedShard
	Consumers     map[string]time.Time // when they were registered, by name
}

type storedShard struct {
	Parents             []int
	First, Last         hashKey
	Birth               int64
	CreatedAt, ClosedAt time.Time
	Gone                bool
}

type storedRecord struct {
	PartitionKey string
	Data         []byte
	ArrivedAt    time.Time
}

// save journals everything of a stream but its records. The caller holds the stream for writing.
func (s *stream) save() {
	if s.kept.journal == nil || s.deleted {
		return
	}
	stored := storedStream{
		OnDemand: s.onDemand, CreatedAt: s.createdAt, Retention: s.retention, MaxRecordSize: s.maxRecordSize, Tags: s.tags,
		Consumers: map[string]time.Time{},
	}
	for _, sh := range s.shards {
		one := storedShard{
			First: sh.keys.first, Last: sh.keys.last, Birth: sh.birth, CreatedAt: sh.createdAt, ClosedAt: sh.closedAt, Gone: sh.gone,
		}
		for _, id := range sh.parents {
			index, _ := parseShardID(id) // made by shardID
			one.Parents = append(one.Parents, index)
		}
		stored.Shards = append(stored.Shards, one)
	}
	for name, c := range s.consumers {
		stored.Consumers[name] = c.createdAt
	}
	var b journal.Batch
	b.Put(s.kept.streams.With(s.name), stored)
	s.kept.journal.Add(b)
}

// saveDeleted journals that a stream and its records are deleted. The caller holds the stream for writing, and Kinesis, so that
// this comes before the creation of a stream of the same name.
func (s *stream) saveDeleted() {
	if s.kept.journal == nil {
		return
	}
	var b journal.Batch
	b.Delete(s.kept.streams.With(s.name))
	b.Put(s.kept.former.With(s.name), s.createdAt)
	for _, sh := range s.shards {
		b.Delete(sh.key(s.kept.trimmed))
		for i := range sh.records {
			b.Delete(sh.recordKey(sh.trimmed + 1 + uint64(i)))
		}
	}
	s.kept.journal.Add(b)
}

func (s *shard) key(kind journal.Key) journal.Key {
	return kind.With(s.stream.name, journal.Number(uint64(s.index))) //nolint:gosec // an index
}

func (s *shard) recordKey(counter uint64) journal.Key {
	return s.key(s.stream.kept.records).With(journal.Number(counter))
}

// saveRecord journals the newest record. The caller holds the stream for reading and the shard.
func (s *shard) saveRecord(counter uint64) {
	if s.stream.kept.journal == nil || s.stream.deleted {
		return
	}
	r := s.records[len(s.records)-1]
	var b journal.Batch
	b.Put(s.recordKey(counter), storedRecord{r.partitionKey, r.data, r.arrivedAt})
	s.stream.kept.journal.Add(b)
}

// saveTrimmed journals that the last n of the trimmed records are gone. The caller holds the stream for reading and the shard.
func (s *shard) saveTrimmed(n int) {
	if n == 0 || s.stream.kept.journal == nil || s.stream.deleted {
		return
	}
	var b journal.Batch
	b.Put(s.key(s.stream.kept.trimmed), s.trimmed)
	for i := range n {
		b.Delete(s.recordKey(s.trimmed - uint64(i)))
	}
	s.stream.kept.journal.Add(b)
}

// Load restores what the journal's store has. It is called before the first operation.
func (k *Kinesis) Load() error {
	err := journal.Each(k.kept.journal, k.kept.former, func(id []string, createdAt time.Time) error {
		k.former[id[0]] = createdAt
		return nil
	})
	if err != nil {
		return err
	}
	if err := journal.Each(k.kept.journal, k.kept.streams, k.loadStream); err != nil {
		return err
	}
	err = journal.Each(k.kept.journal, k.kept.trimmed, func(id []string, trimmed uint64) error {
		sh, err := k.loaded(id)
		if err == nil {
			sh.trimmed = trimmed
		}
		return err
	})
	if err != nil {
		return err
	}
	return journal.Each(k.kept.journal, k.kept.records, func(id []string, r storedRecord) error {
		sh, err := k.loaded(id)
		if err != nil {
			return err
		}
		if counter := journal.ParseNumber(id[2]); counter != sh.trimmed+1+uint64(len(sh.records)) {
			return fmt.Errorf("record %d of shard %s of stream %s is not the next", counter, sh.id(), sh.stream.name)
		}
		sh.records = append(sh.records, record{r.PartitionKey, r.Data, r.ArrivedAt})
		return nil
	})
}

func (k *Kinesis) loadStream(id []string, v storedStream) error {
	s := emptyStream(id[0], v.OnDemand, v.CreatedAt, k.kept)
	s.retention, s.maxRecordSize = v.Retention, v.MaxRecordSize
	if v.Tags != nil {
		s.tags = v.Tags
	}
	for i, one := range v.Shards {
		sh := &shard{
			stream: s, index: i, keys: hashRange{one.First, one.Last}, birth: one.Birth, createdAt: one.CreatedAt,
			closedAt: one.ClosedAt, gone: one.Gone,
		}
		for _, p := range one.Parents {
			sh.parents = append(sh.parents, s.shards[p].id())
			s.shards[p].children = append(s.shards[p].children, sh)
		}
		s.shards = append(s.shards, sh)
		if sh.open() {
			s.open = append(s.open, sh)
		}
	}
	slices.SortFunc(s.open, func(a, b *shard) int { return a.keys.first.compare(b.keys.first) })
	for name, at := range v.Consumers {
		s.consumers[name] = newConsumer(s, name, at)
	}
	k.streams[s.name] = s
	return k.reserveShards(len(s.open))
}

// loaded returns the shard to which an entity belongs.
func (k *Kinesis) loaded(id []string) (*shard, error) {
	s := k.streams[id[0]]
	index := journal.ParseNumber(id[1])
	if s == nil || index >= uint64(len(s.shards)) {
		return nil, fmt.Errorf("there is no shard %d of stream %s", index, id[0])
	}
	return s.shards[index], nil
}
