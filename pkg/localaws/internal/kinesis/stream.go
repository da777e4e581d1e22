package kinesis

import (
	"slices"
	"sync"
	"time"
)

// stream is a named set of shards. Puts and reads hold mu for reading, resharding holds it for writing: a put happens
// entirely before or entirely after a reshard.
type stream struct {
	kept      kept
	name      string
	onDemand  bool
	createdAt time.Time

	mu            sync.RWMutex
	retention     time.Duration
	maxRecordSize int // bytes of data and partition key
	tags          map[string]string
	shards        []*shard // by index, the expired ones included
	open          []*shard // by hash key, without gaps
	consumers     map[string]*consumer
	deleted       bool // must not be resharded any more
}

func newStream(name string, onDemand bool, shards int, now time.Time, kept kept) *stream {
	s := emptyStream(name, onDemand, now, kept)
	for _, r := range evenRanges(shards) {
		s.open = append(s.open, s.addShard(r, now))
	}
	return s
}

// emptyStream returns a stream without shards, which is not ready for use.
func emptyStream(name string, onDemand bool, now time.Time, kept kept) *stream {
	return &stream{
		kept: kept, name: name, onDemand: onDemand, createdAt: now, retention: minRetention, maxRecordSize: minMaxRecordSize,
		tags: map[string]string{}, consumers: map[string]*consumer{},
	}
}

func (s *stream) addShard(keys hashRange, now time.Time, parents ...*shard) *shard {
	child := &shard{stream: s, index: len(s.shards), keys: keys, createdAt: now, birth: now.Unix()}
	for _, p := range parents {
		child.parents = append(child.parents, p.id())
		child.birth = max(child.birth, p.birth+1)
		p.closedAt = now
		p.children = append(p.children, child)
		p.wake()
	}
	s.shards = append(s.shards, child)
	return child
}

// route returns the open shard of a hash key.
func (s *stream) route(h hashKey) *shard {
	i, _ := slices.BinarySearchFunc(s.open, h, func(sh *shard, h hashKey) int { return sh.keys.last.compare(h) })
	return s.open[i]
}

// split closes a shard and divides its keys between two children; the second begins at the given key.
func (s *stream) split(parent *shard, at hashKey, now time.Time) {
	s.trimAll(now) // closed shards that are not read would never be trimmed
	i := slices.Index(s.open, parent)
	s.open = slices.Replace(s.open, i, i+1,
		s.addShard(hashRange{parent.keys.first, at.plus(-1)}, now, parent),
		s.addShard(hashRange{at, parent.keys.last}, now, parent))
	s.save()
}

// merge closes two adjacent shards and moves their keys to one child.
func (s *stream) merge(a, b *shard, now time.Time) {
	s.trimAll(now)
	i := slices.Index(s.open, a)
	s.open = slices.Replace(s.open, i, i+2, s.addShard(hashRange{a.keys.first, b.keys.last}, now, a, b))
	s.save()
}

// adjacent reports whether b is the open shard directly above a.
func (s *stream) adjacent(a, b *shard) bool {
	return slices.Index(s.open, b) == slices.Index(s.open, a)+1
}

func (s *stream) horizon(now time.Time) time.Time { return now.Add(-s.retention) }

func (s *stream) trimAll(now time.Time) {
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.trim(s.horizon(now))
		sh.mu.Unlock()
	}
}

// shardAt returns nil if the shard does not exist or has expired.
func (s *stream) shardAt(index int, now time.Time) *shard {
	if index >= len(s.shards) || s.expired(s.shards[index], now) {
		return nil
	}
	return s.shards[index]
}

// expired reports whether a closed shard is so old that all its records have expired, or was removed by TrimStream.
// https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html
func (s *stream) expired(sh *shard, now time.Time) bool {
	return sh.gone || !sh.open() && sh.closedAt.Before(s.horizon(now))
}

// listed returns the shards that have not expired, by index.
func (s *stream) listed(now time.Time) []*shard {
	return slices.DeleteFunc(slices.Clone(s.shards), func(sh *shard) bool { return s.expired(sh, now) })
}
