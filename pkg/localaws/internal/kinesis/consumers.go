package kinesis

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// maxConsumers is the limit of a provisioned or on-demand standard stream.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
const maxConsumers = 20

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListStreamConsumers.html
const listConsumersPage = 100

// consumer is a registered consumer (enhanced fan-out), which subscribes to its stream's shards.
type consumer struct {
	stream    *stream
	name      string
	createdAt time.Time

	mu     sync.Mutex
	active map[int]*subscription // the newest of each shard, by the shard's index
	ended  error                 // nil while it is registered
}

func newConsumer(s *stream, name string, now time.Time) *consumer {
	return &consumer{stream: s, name: name, createdAt: now, active: map[int]*subscription{}}
}

// end ends the consumer's subscriptions with an error.
func (c *consumer) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = err
	for _, s := range c.active {
		s.end(err)
	}
}

func (k *Kinesis) consumerARN(c *consumer) string {
	return k.arn(c.stream.name) + consumerInfix + c.name + ":" + strconv.FormatInt(c.createdAt.Unix(), 10)
}

const consumerInfix = "/consumer/"

// consumerRef identifies a consumer in a request by its ARN, by its stream and name, or by all three.
type consumerRef struct {
	ConsumerARN  *string
	StreamARN    *string
	ConsumerName *string
}

func (r consumerRef) check(v *violations) {
	v.consumerARN(r.ConsumerARN)
	v.arn(r.StreamARN)
	v.name("consumerName", r.ConsumerName)
}

// consumer returns the consumer of a request with its stream locked for writing. The caller must call the returned function
// to unlock it.
func (k *Kinesis) consumer(r consumerRef) (*consumer, func(), error) {
	stream, name := "", ""
	switch {
	case r.ConsumerARN != nil:
		arn, rest, _ := strings.Cut(*r.ConsumerARN, consumerInfix)
		name, _, _ = strings.Cut(rest, ":")
		if r.StreamARN != nil && *r.StreamARN != arn || r.ConsumerName != nil && *r.ConsumerName != name {
			return nil, nil, invalidArgument("ConsumerARN %s is not of the StreamARN and ConsumerName given.", *r.ConsumerARN)
		}
		stream = arn
	case r.StreamARN != nil && r.ConsumerName != nil:
		stream, name = *r.StreamARN, *r.ConsumerName
	default:
		return nil, nil, invalidArgument("Either ConsumerARN or both StreamARN and ConsumerName must be provided.")
	}
	s, err := k.find(streamRef{StreamARN: &stream})
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	c, ok := s.consumers[name]
	if !ok || s.deleted || r.ConsumerARN != nil && *r.ConsumerARN != k.consumerARN(c) {
		s.mu.Unlock()
		return nil, nil, k.consumerNotFound(s, name)
	}
	return c, s.mu.Unlock, nil
}

func (k *Kinesis) consumerNotFound(s *stream, name string) error {
	return awsjson.Errorf("ResourceNotFoundException",
		"Consumer %s of stream %s under account %s not found.", name, s.name, k.opts.AccountID)
}

type consumerJSON struct {
	ConsumerName              string
	ConsumerARN               string
	ConsumerStatus            string
	ConsumerCreationTimestamp timestamp
	StreamARN                 string `json:",omitempty"`
}

func (k *Kinesis) describeConsumer(c *consumer) consumerJSON {
	return consumerJSON{
		ConsumerName: c.name, ConsumerARN: k.consumerARN(c), ConsumerStatus: "ACTIVE", ConsumerCreationTimestamp: timestamp{c.createdAt},
	}
}

type registerStreamConsumerInput struct {
	StreamARN    *string
	ConsumerName *string
}

type registerStreamConsumerOutput struct{ Consumer consumerJSON }

func (k *Kinesis) registerStreamConsumer(
	_ context.Context, in *registerStreamConsumerInput,
) (*registerStreamConsumerOutput, error) {
	v := violations{}
	v.required("streamARN", in.StreamARN != nil)
	v.arn(in.StreamARN)
	v.required("consumerName", in.ConsumerName != nil)
	v.name("consumerName", in.ConsumerName)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(streamRef{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.deleted:
		return nil, k.streamNotFound(s.name, k.opts.AccountID)
	case s.consumers[*in.ConsumerName] != nil:
		return nil, awsjson.Errorf("ResourceInUseException", "Consumer %s of stream %s under account %s already exists.",
			*in.ConsumerName, s.name, k.opts.AccountID)
	case len(s.consumers) >= maxConsumers:
		return nil, awsjson.Errorf("LimitExceededException", "Stream %s under account %s has %d consumers already, which is the limit.",
			s.name, k.opts.AccountID, maxConsumers)
	}
	c := newConsumer(s, *in.ConsumerName, k.now())
	s.consumers[c.name] = c
	s.save()
	return &registerStreamConsumerOutput{k.describeConsumer(c)}, nil
}

type describeStreamConsumerInput struct{ consumerRef }

type describeStreamConsumerOutput struct{ ConsumerDescription consumerJSON }

func (k *Kinesis) describeStreamConsumer(
	_ context.Context, in *describeStreamConsumerInput,
) (*describeStreamConsumerOutput, error) {
	v := violations{}
	if in.check(&v); v.err() != nil {
		return nil, v.err()
	}
	c, unlock, err := k.consumer(in.consumerRef)
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := &describeStreamConsumerOutput{k.describeConsumer(c)}
	out.ConsumerDescription.StreamARN = k.arn(c.stream.name)
	return out, nil
}

type deregisterStreamConsumerInput struct{ consumerRef }

func (k *Kinesis) deregisterStreamConsumer(_ context.Context, in *deregisterStreamConsumerInput) (*done, error) {
	v := violations{}
	if in.check(&v); v.err() != nil {
		return nil, v.err()
	}
	c, unlock, err := k.consumer(in.consumerRef)
	if err != nil {
		return nil, err
	}
	defer unlock()
	delete(c.stream.consumers, c.name)
	c.stream.save()
	c.end(k.consumerNotFound(c.stream, c.name))
	return &done{}, nil
}

type listStreamConsumersInput struct {
	StreamARN               *string
	NextToken               *string // contains the name of the last consumer of the previous page
	MaxResults              *int
	StreamCreationTimestamp *timestamp
}

type listStreamConsumersOutput struct {
	Consumers []consumerJSON
	NextToken string `json:",omitempty"`
}

func (k *Kinesis) listStreamConsumers(_ context.Context, in *listStreamConsumersInput) (*listStreamConsumersOutput, error) {
	v := violations{}
	v.required("streamARN", in.StreamARN != nil)
	v.arn(in.StreamARN)
	v.length("nextToken", in.NextToken, 1, 1<<20)
	v.between("maxResults", in.MaxResults, 1, 10_000)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(streamRef{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	if t := in.StreamCreationTimestamp; t != nil && t.Unix() != s.createdAt.Unix() { // a deleted stream of the same name
		return nil, k.streamNotFound(s.name, k.opts.AccountID)
	}
	now, after := k.now(), ""
	if in.NextToken != nil {
		if after, err = parseConsumersToken(*in.NextToken, now); err != nil {
			return nil, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.consumers)), func(name string) bool { return name <= after })
	names, more := firstPage(names, in.MaxResults, listConsumersPage)
	out := &listStreamConsumersOutput{Consumers: []consumerJSON{}}
	for _, name := range names {
		out.Consumers = append(out.Consumers, k.describeConsumer(s.consumers[name]))
	}
	if more {
		out.NextToken = token(now, "consumers", names[len(names)-1])
	}
	return out, nil
}

func parseConsumersToken(tok string, now time.Time) (after string, err error) {
	issuedAt, fields, ok := parseToken(tok, 2)
	switch {
	case !ok || fields[0] != "consumers":
		return "", invalidArgument("Invalid NextToken.")
	case now.Sub(issuedAt) > tokenAge:
		return "", expiredError("ExpiredNextTokenException", "NextToken", issuedAt, now)
	default:
		return fields[1], nil
	}
}
