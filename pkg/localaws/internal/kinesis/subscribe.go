package kinesis

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// A subscription lasts for 5 minutes. Its consumer can subscribe to the same shard again after 5 seconds, which replaces the
// previous subscription.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
const (
	subscriptionTime = 5 * time.Minute
	subscribePause   = 5 * time.Second
)

const (
	// maxEventBytes stays below what an event's frame may hold, 16 MB: https://smithy.io/2.0/aws/amazon-eventstream.html
	maxEventBytes = 1 << 20
	// idleEvent is the interval of events without records, which report the position. AWS does not document its interval.
	idleEvent = 5 * time.Second
)

type startingPosition struct {
	Type           *string
	SequenceNumber *string
	Timestamp      *timestamp
}

type subscribeToShardInput struct {
	ConsumerARN      *string
	ShardID          *string `json:"ShardId"`
	StartingPosition *startingPosition
}

func (in *subscribeToShardInput) check() error {
	v := violations{}
	v.required("consumerARN", in.ConsumerARN != nil)
	v.consumerARN(in.ConsumerARN)
	v.required("shardId", in.ShardID != nil)
	v.name("shardId", in.ShardID)
	v.required("startingPosition", in.StartingPosition != nil)
	if p := in.StartingPosition; p != nil {
		v.required("startingPosition.type", p.Type != nil)
		v.oneOf("startingPosition.type", p.Type, afterSequenceNumber, latest, atTimestamp, atSequenceNumber, trimHorizon)
		v.matches("startingPosition.sequenceNumber", p.SequenceNumber, sequencePattern)
	}
	return v.err()
}

type subscribeToShardEvent struct {
	Records                    []recordJSON
	ContinuationSequenceNumber *string // absent at the end of the shard
	MillisBehindLatest         int64
	ChildShards                []childShardJSON `json:",omitempty"` // at the end of the shard
}

// subscription sends a shard's records from a position on.
type subscription struct {
	k        *Kinesis
	consumer *consumer
	shard    *shard
	beganAt  time.Time

	next   uint64 // the counter of the record to send next
	sentAt time.Time
	done   bool // the end of the shard was sent

	once  sync.Once
	over  chan struct{} // closed by once
	cause error         // set before over is closed
}

func (k *Kinesis) subscribeToShard(ctx context.Context, in *subscribeToShardInput) (*subscription, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	index, ok := parseShardID(*in.ShardID)
	c, unlock, err := k.consumer(consumerRef{ConsumerARN: in.ConsumerARN})
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !ok {
		return nil, k.shardNotFound(*in.ShardID, c.stream.name)
	}
	now := k.now()
	sh := c.stream.shardAt(index, now)
	if sh == nil {
		return nil, k.shardGone(index, c.stream.name)
	}
	p := in.StartingPosition
	from, err := k.startingAt(start{"SubscribeToShard", *p.Type, p.SequenceNumber, p.Timestamp}, c.stream, sh, now)
	if err != nil {
		return nil, err
	}
	from = sh.rewind(from, maxGetRecords, faults.On(ctx, faults.Duplicate))
	s := &subscription{k: k, consumer: c, shard: sh, beganAt: now, next: from, over: make(chan struct{})}
	return s, c.subscribe(s)
}

// subscribe makes s the consumer's subscription to its shard.
func (c *consumer) subscribe(s *subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if former := c.active[s.shard.index]; former != nil {
		if s.beganAt.Sub(former.beganAt) < subscribePause {
			return awsjson.Errorf("ResourceInUseException",
				"Another active subscription exists for this consumer %s and shard %s: it began less than %d seconds ago.",
				c.name, s.shard.id(), int(subscribePause/time.Second))
		}
		former.end(awsjson.Errorf("ResourceInUseException",
			"Another subscription of consumer %s to shard %s took over.", c.name, s.shard.id()))
	}
	c.active[s.shard.index] = s
	return nil
}

func (s *subscription) end(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.over)
	})
}

// Close implements awsjson.Events.
func (s *subscription) Close() { s.end(io.EOF) }

// Next implements awsjson.Events.
func (s *subscription) Next(ctx context.Context) (eventType string, event any, err error) {
	for {
		changed := s.shard.change() // before poll, so that no change is missed
		now := s.k.opts.Now()
		left := s.beganAt.Add(subscriptionTime).Sub(now)
		if s.done || left <= 0 || s.closed() {
			return "", nil, io.EOF
		}
		e, worthSending, err := s.poll(now)
		if err != nil {
			return "", nil, err
		}
		if idle := now.Sub(s.sentAt); worthSending || idle >= idleEvent {
			s.sentAt = now
			return "SubscribeToShardEvent", e, nil
		}
		timer := time.NewTimer(min(left, idleEvent-now.Sub(s.sentAt)))
		select {
		case <-changed:
		case <-timer.C:
		case <-s.over:
		case <-s.k.closed:
			err = io.EOF
		case <-ctx.Done():
			err = ctx.Err()
		}
		timer.Stop()
		if err != nil {
			return "", nil, err
		}
	}
}

// closed reports whether the server was closed and a first event was sent.
func (s *subscription) closed() bool {
	select {
	case <-s.k.closed:
		return !s.sentAt.IsZero()
	default:
		return false
	}
}

// poll reads the next event and reports whether it is worth sending: it has records or is the last one.
func (s *subscription) poll(now time.Time) (e *subscribeToShardEvent, worthSending bool, err error) {
	select {
	case <-s.over:
		return nil, false, s.cause
	default:
	}
	stream := s.consumer.stream
	stream.mu.RLock()
	defer stream.mu.RUnlock()
	if stream.expired(s.shard, now) {
		return nil, false, s.k.shardGone(s.shard.index, stream.name)
	}
	p := s.shard.read(s.next, maxGetRecords, maxEventBytes, stream.horizon(now))
	s.next = p.next()
	e = &subscribeToShardEvent{Records: s.shard.describe(p), MillisBehindLatest: behind(p, now)}
	if !p.more && !s.shard.open() {
		s.done, e.ChildShards = true, describeChildren(s.shard.children)
		return e, true, nil
	}
	last := s.shard.sequence(s.next - 1).String()
	e.ContinuationSequenceNumber = &last
	return e, len(p.records) > 0, nil
}
