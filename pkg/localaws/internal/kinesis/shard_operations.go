package kinesis

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

const listShardsPage = 1000 // the default and maximum of ListShards

const (
	afterShardID    = "AFTER_SHARD_ID"
	atTrimHorizon   = "AT_TRIM_HORIZON"
	fromTrimHorizon = "FROM_TRIM_HORIZON"
	atLatest        = "AT_LATEST"
	fromTimestamp   = "FROM_TIMESTAMP"
)

type shardFilter struct {
	Type      *string
	ShardID   *string `json:"ShardId"`
	Timestamp *timestamp
}

type listShardsInput struct {
	streamRef

	NextToken               *string
	ExclusiveStartShardID   *string `json:"ExclusiveStartShardId"`
	MaxResults              *int
	StreamCreationTimestamp *timestamp
	ShardFilter             *shardFilter
}

func (in *listShardsInput) check() error {
	v := violations{}
	in.streamRef.check(&v)
	v.length("nextToken", in.NextToken, 1, 1<<20)
	v.name("exclusiveStartShardId", in.ExclusiveStartShardID)
	v.between("maxResults", in.MaxResults, 1, 10_000)
	if f := in.ShardFilter; f != nil {
		v.required("shardFilter.type", f.Type != nil)
		v.oneOf("shardFilter.type", f.Type, afterShardID, atTrimHorizon, fromTrimHorizon, atLatest, atTimestamp, fromTimestamp)
		v.name("shardFilter.shardId", f.ShardID)
	}
	return v.err()
}

// listing is the remainder of a ListShards over all its pages; it is encoded in a NextToken.
type listing struct {
	stream string
	after  int    // shards with a greater index
	filter string // a type of ShardFilter
	at     time.Time
}

func (l listing) token(now time.Time) string {
	return token(now, l.stream, strconv.Itoa(l.after), l.filter, strconv.FormatInt(l.at.UnixMilli(), 10))
}

func parseListing(tok string, now time.Time) (listing, error) {
	issuedAt, fields, ok := parseToken(tok, 4)
	if !ok {
		return listing{}, invalidArgument("Invalid NextToken.")
	}
	after, err := strconv.Atoi(fields[1])
	millis, err2 := strconv.ParseInt(fields[3], 10, 64)
	if err != nil || err2 != nil {
		return listing{}, invalidArgument("Invalid NextToken.")
	}
	if now.Sub(issuedAt) > tokenAge {
		return listing{}, expiredError("ExpiredNextTokenException", "NextToken", issuedAt, now)
	}
	return listing{stream: fields[0], after: after, filter: fields[2], at: time.UnixMilli(millis)}, nil
}

type listShardsOutput struct {
	Shards    []shardJSON
	NextToken string `json:",omitempty"`
}

func (k *Kinesis) listShards(_ context.Context, in *listShardsInput) (*listShardsOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	now := k.now()
	l, err := k.listing(in, now)
	if err != nil {
		return nil, err
	}
	s, err := k.named(l.stream)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	shards := slices.DeleteFunc(shardsAfter(s.listed(now), l.after), func(sh *shard) bool { return !l.wants(s, sh, now) })
	page, more := firstPage(shards, in.MaxResults, listShardsPage)
	out := &listShardsOutput{Shards: describeShards(page)}
	if more {
		l.after = page[len(page)-1].index
		out.NextToken = l.token(now)
	}
	return out, nil
}

// listing returns the listing of the request or of its token. A token excludes the members that it contains.
func (k *Kinesis) listing(in *listShardsInput, now time.Time) (listing, error) {
	if in.NextToken == nil {
		return k.newListing(in)
	}
	for _, other := range []struct {
		name  string
		given bool
	}{
		{"StreamARN", in.StreamARN != nil},
		{"StreamName", in.StreamName != nil},
		{"ExclusiveStartShardId", in.ExclusiveStartShardID != nil},
		{"StreamCreationTimestamp", in.StreamCreationTimestamp != nil},
		{"ShardFilter", in.ShardFilter != nil},
	} {
		if other.given {
			return listing{}, invalidArgument("NextToken and %s cannot be provided together.", other.name)
		}
	}
	return parseListing(*in.NextToken, now)
}

func (k *Kinesis) newListing(in *listShardsInput) (listing, error) {
	if !in.given() {
		return listing{}, invalidArgument("Either NextToken or StreamName should be provided.")
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return listing{}, err
	}
	if t := in.StreamCreationTimestamp; t != nil && t.Unix() != s.createdAt.Unix() { // a deleted stream of the same name
		return listing{}, k.streamNotFound(s.name, k.opts.AccountID)
	}
	l := listing{stream: s.name, after: -1, filter: fromTrimHorizon, at: s.createdAt}
	after := in.ExclusiveStartShardID
	if f := in.ShardFilter; f != nil {
		l.filter = *f.Type
		switch byID, byTime := l.filter == afterShardID, l.filter == atTimestamp || l.filter == fromTimestamp; {
		case byID != (f.ShardID != nil):
			return listing{}, invalidArgument("ShardFilter's ShardId must be given for %s, and for no other type.", afterShardID)
		case byTime != (f.Timestamp != nil):
			return listing{}, invalidArgument("ShardFilter's Timestamp must be given for %s and %s, and for no other type.",
				atTimestamp, fromTimestamp)
		case byID && after != nil:
			return listing{}, invalidArgument("ExclusiveStartShardId and a ShardFilter of type %s cannot be provided together.", afterShardID)
		case byID:
			after = f.ShardID
		case byTime:
			l.at = f.Timestamp.Time
		}
	}
	if after != nil {
		index, ok := parseShardID(*after)
		if !ok {
			return listing{}, k.shardNotFound(*after, s.name)
		}
		l.after = index
	}
	return l, nil
}

// wants reports whether a shard that has not expired passes the filter.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ShardFilter.html
func (l listing) wants(s *stream, sh *shard, now time.Time) bool {
	horizon := s.horizon(now)
	if horizon.Before(s.createdAt) {
		horizon = s.createdAt
	}
	openUntil := func(t time.Time) bool { return sh.open() || !sh.closedAt.Before(t) }
	switch l.filter {
	case atLatest:
		return sh.open()
	case atTrimHorizon:
		return !sh.createdAt.After(horizon) && openUntil(horizon)
	case atTimestamp:
		return !sh.createdAt.After(l.at) && openUntil(l.at)
	case fromTimestamp:
		return openUntil(l.at)
	default: // FROM_TRIM_HORIZON, AFTER_SHARD_ID
		return true
	}
}

func shardsAfter(shards []*shard, index int) []*shard {
	i := slices.IndexFunc(shards, func(s *shard) bool { return s.index > index })
	if i < 0 {
		return nil
	}
	return shards[i:]
}

type splitShardInput struct {
	streamRef

	ShardToSplit       *string
	NewStartingHashKey *string
}

func (k *Kinesis) splitShard(_ context.Context, in *splitShardInput) (*done, error) {
	v := violations{}
	in.check(&v)
	v.required("shardToSplit", in.ShardToSplit != nil)
	v.name("shardToSplit", in.ShardToSplit)
	v.required("newStartingHashKey", in.NewStartingHashKey != nil)
	v.matches("newStartingHashKey", in.NewStartingHashKey, hashKeyPattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := k.now()
	parent, err := k.reshardable(s, *in.ShardToSplit, now)
	if err != nil {
		return nil, err
	}
	at, ok := parseHashKey(*in.NewStartingHashKey)
	if !ok || at.compare(parent.keys.last) >= 0 || at.compare(parent.keys.first) <= 0 || at == parent.keys.first.plus(1) {
		return nil, invalidArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both "+
			"greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
			*in.NewStartingHashKey, parent.id(), s.name, k.opts.AccountID, parent.keys.first, parent.keys.last)
	}
	if err := k.reserveShards(1); err != nil {
		return nil, err
	}
	s.split(parent, at, now)
	return &done{}, nil
}

type mergeShardsInput struct {
	streamRef

	ShardToMerge         *string
	AdjacentShardToMerge *string
}

func (k *Kinesis) mergeShards(_ context.Context, in *mergeShardsInput) (*done, error) {
	v := violations{}
	in.check(&v)
	v.required("shardToMerge", in.ShardToMerge != nil)
	v.name("shardToMerge", in.ShardToMerge)
	v.required("adjacentShardToMerge", in.AdjacentShardToMerge != nil)
	v.name("adjacentShardToMerge", in.AdjacentShardToMerge)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := k.now()
	a, err := k.reshardable(s, *in.ShardToMerge, now)
	if err != nil {
		return nil, err
	}
	b, err := k.reshardable(s, *in.AdjacentShardToMerge, now)
	if err != nil {
		return nil, err
	}
	if !s.adjacent(a, b) { // b must follow a
		return nil, invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
			a.id(), b.id(), s.name, k.opts.AccountID)
	}
	s.merge(a, b, now)
	return &done{}, k.reserveShards(-1)
}

// reshardable returns an open shard of a provisioned stream. The caller holds the stream for writing.
func (k *Kinesis) reshardable(s *stream, id string, now time.Time) (*shard, error) {
	if s.deleted {
		return nil, k.streamNotFound(s.name, k.opts.AccountID)
	}
	if s.onDemand {
		return nil, awsjson.Errorf("ValidationException", "Request is invalid. Stream %s under account %s is in On-Demand mode.",
			s.name, k.opts.AccountID)
	}
	index, ok := parseShardID(id)
	if !ok {
		return nil, k.shardNotFound(id, s.name)
	}
	sh := s.shardAt(index, now)
	if sh == nil {
		return nil, k.shardNotFound(shardID(index), s.name)
	}
	if !sh.open() {
		return nil, invalidArgument("Shard %s in stream %s under account %s has already been merged or split, "+
			"and thus is not eligible for merging or splitting.", sh.id(), s.name, k.opts.AccountID)
	}
	return sh, nil
}
