package kinesis

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
	"github.com/leftfold/leftfold/pkg/localaws/internal/hold"
)

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
const (
	maxGetRecords = 10_000
	maxGetBytes   = 10 << 20
)

const (
	atSequenceNumber    = "AT_SEQUENCE_NUMBER"
	afterSequenceNumber = "AFTER_SEQUENCE_NUMBER"
	trimHorizon         = "TRIM_HORIZON"
	latest              = "LATEST"
	atTimestamp         = "AT_TIMESTAMP"
)

type getShardIteratorInput struct {
	streamRef

	ShardID                *string `json:"ShardId"`
	ShardIteratorType      *string
	StartingSequenceNumber *string
	Timestamp              *timestamp
}

// start is the requested position in a shard.
type start struct {
	operation string
	kind      string
	sequence  *string
	at        *timestamp
}

func (in *getShardIteratorInput) check() error {
	v := violations{}
	v.required("shardId", in.ShardID != nil)
	v.name("shardId", in.ShardID)
	v.required("shardIteratorType", in.ShardIteratorType != nil)
	v.oneOf("shardIteratorType", in.ShardIteratorType, afterSequenceNumber, latest, atTimestamp, atSequenceNumber, trimHorizon)
	v.matches("startingSequenceNumber", in.StartingSequenceNumber, sequencePattern)
	in.streamRef.check(&v)
	return v.err()
}

type getShardIteratorOutput struct{ ShardIterator string }

func (k *Kinesis) getShardIterator(_ context.Context, in *getShardIteratorInput) (*getShardIteratorOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	index, ok := parseShardID(*in.ShardID)
	if !ok {
		return nil, k.shardNotFound(*in.ShardID, s.name)
	}
	now := k.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh := s.shardAt(index, now)
	if sh == nil {
		return nil, k.shardGone(index, s.name)
	}
	from, err := k.startingAt(start{"GetShardIterator", *in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp}, s, sh, now)
	if err != nil {
		return nil, err
	}
	return &getShardIteratorOutput{ShardIterator: iterator{now, s.name, sh.sequence(from)}.String()}, nil
}

// startingAt returns the counter of the first record to read.
func (k *Kinesis) startingAt(from start, s *stream, sh *shard, now time.Time) (uint64, error) {
	bySequence := from.kind == atSequenceNumber || from.kind == afterSequenceNumber
	if bySequence != (from.sequence != nil) {
		given := "also a"
		if bySequence {
			given = "no"
		}
		return 0, invalidArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or "+
			"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s StartingSequenceNumber.",
			from.kind, given)
	}
	switch from.kind {
	case latest:
		return sh.tip(), nil
	case atTimestamp:
		if from.at == nil {
			return 0, invalidArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. " +
				"Current request has no timestamp parameter.")
		}
		if from.at.After(now) {
			return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
				"timestampInMillis: %d, currentTimestampInMillis: %d", from.at.UnixMilli(), now.UnixMilli())
		}
		return sh.since(from.at.Time), nil
	case atSequenceNumber, afterSequenceNumber:
		seq, err := k.sequenceIn(from, s, sh)
		if err == nil && from.kind == afterSequenceNumber {
			seq.counter++
		}
		return seq.counter, err
	default: // TRIM_HORIZON
		return 0, nil
	}
}

// sequenceIn parses a StartingSequenceNumber and checks that it belongs to the shard.
func (k *Kinesis) sequenceIn(from start, s *stream, sh *shard) (sequence, error) {
	number := *from.sequence
	used := "StartingSequenceNumber " + number + " used in " + from.operation + " on shard " + sh.id() +
		" in stream " + s.name + " under account " + k.opts.AccountID + " is invalid"
	seq, ok := parseSequence(number)
	switch {
	case !ok:
		return seq, invalidArgument("%s.", used)
	case seq.shard != sh.index:
		return seq, invalidArgument("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s",
			shardID(seq.shard), sh.id())
	case seq.birth != sh.birth:
		return seq, invalidArgument("%s because it did not come from this stream.", used)
	}
	return seq, nil
}

type getRecordsInput struct {
	StreamARN     *string
	ShardIterator *string
	Limit         *int
}

func (in *getRecordsInput) check() error {
	v := violations{}
	v.required("shardIterator", in.ShardIterator != nil)
	v.length("shardIterator", in.ShardIterator, 1, 512)
	v.between("limit", in.Limit, 1, maxGetRecords)
	v.arn(in.StreamARN)
	return v.err()
}

type recordJSON struct {
	SequenceNumber              string
	ApproximateArrivalTimestamp timestamp
	Data                        []byte
	PartitionKey                string
}

type getRecordsOutput struct {
	Records            []recordJSON
	NextShardIterator  *string `json:",omitempty"`
	MillisBehindLatest int64
	ChildShards        []childShardJSON `json:",omitempty"`
}

// getRecords returns the last records of a closed shard without a NextShardIterator, since no further page can follow.
func (k *Kinesis) getRecords(ctx context.Context, in *getRecordsInput) (*getRecordsOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	it, err := parseIterator(*in.ShardIterator, k.now())
	if err != nil {
		return nil, err
	}
	if in.StreamARN != nil && *in.StreamARN != k.arn(it.stream) {
		return nil, invalidArgument("StreamARN %s does not name the stream of the ShardIterator.", *in.StreamARN)
	}
	hold.While(ctx, func() <-chan struct{} { return k.nothing(it) }, k.opts.HoldReads, k.closed)
	now := k.now()
	s, err := k.named(it.stream)
	if err != nil {
		return nil, k.shardGone(it.next.shard, it.stream)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh := s.shardAt(it.next.shard, now)
	if sh == nil {
		return nil, k.shardGone(it.next.shard, it.stream)
	}
	if k.opts.ReadLimits && sh.refuses(now) {
		return nil, awsjson.Errorf("ProvisionedThroughputExceededException", "Rate exceeded for shard %s in stream %s under account %s.",
			sh.id(), s.name, k.opts.AccountID)
	}
	from := it.next.counter
	if it.next.birth != sh.birth { // the iterator is of a deleted stream of the same name
		from = 0
	}
	limit := maxGetRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	from = sh.rewind(from, limit, faults.On(ctx, faults.Duplicate))
	p := sh.read(from, limit, maxGetBytes, s.horizon(now))
	if k.opts.ReadLimits {
		sh.count(p, now)
	}
	out := &getRecordsOutput{Records: sh.describe(p), MillisBehindLatest: behind(p, now)}
	if !p.more && !sh.open() {
		out.ChildShards = describeChildren(sh.children)
		return out, nil
	}
	next := iterator{now, s.name, sh.sequence(p.next())}.String()
	out.NextShardIterator = &next
	return out, nil
}

// nothing returns what signals the next change of an iterator's shard if there is nothing to read: neither a record, nor the shard's
// end, nor an error. Else it returns nil.
func (k *Kinesis) nothing(it iterator) <-chan struct{} {
	s, err := k.named(it.stream)
	if err != nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	sh := s.shardAt(it.next.shard, k.now())
	if sh == nil || !sh.open() || sh.birth != it.next.birth {
		return nil
	}
	return sh.nothing(it.next.counter)
}

func (s *shard) describe(p page) []recordJSON {
	out := make([]recordJSON, len(p.records))
	for i, r := range p.records {
		out[i] = recordJSON{
			SequenceNumber: s.sequence(p.first + uint64(i)).String(), ApproximateArrivalTimestamp: timestamp{r.arrivedAt},
			Data: r.data, PartitionKey: r.partitionKey,
		}
	}
	return out
}

// behind returns how many milliseconds before now the page ends: 0 at the tip of the shard, and only there.
func behind(p page, now time.Time) int64 {
	if !p.more {
		return 0
	}
	return max(1, now.Sub(p.records[len(p.records)-1].arrivedAt).Milliseconds())
}

func (k *Kinesis) shardNotFound(id, stream string) error {
	return awsjson.Errorf("ResourceNotFoundException",
		"Could not find shard %s in stream %s under account %s.", id, stream, k.opts.AccountID)
}

// shardGone is the error of reads for a shard that does not exist or has expired.
func (k *Kinesis) shardGone(index int, stream string) error {
	return awsjson.Errorf("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist",
		shardID(index), stream, k.opts.AccountID)
}
