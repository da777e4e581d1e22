// Package sqs implements Amazon SQS in memory: FIFO and standard queues.
//
// A queue has one lock. Receiving does not scan messages: groups whose first message is visible are in a list, and messages
// that become visible later are in a heap. A standard queue is a FIFO queue in which every message has a group of its own.
//
// Source of all behaviour: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/ and
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/; where they say nothing, responses of
// AWS that users have reported.
package sqs

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// firstSequence makes sequence numbers 20 digits long, as on AWS.
const firstSequence uint64 = 1e19

// Options configure a Service; Now is the clock for timestamps, visibility, deduplication and retention.
type Options struct {
	Region    string
	AccountID string
	Now       func() time.Time
	Journal   *journal.Journal // nil to keep nothing
}

// Service holds the queues of one account in one region.
type Service struct {
	options  Options
	entities entities
	sequence atomic.Uint64 // shared by all queues, so that numbers also grow when messages move to a dead-letter queue
	closed   chan struct{}
	close    func()

	mu        sync.RWMutex // taken before a queue's lock
	queues    map[string]*queue
	deletedAt map[string]time.Time // by names that cannot be used again yet
}

// New returns a service without queues.
func New(o Options) *Service {
	closed := make(chan struct{})
	s := &Service{
		options: o, entities: entitiesOf(o.Region), closed: closed, close: sync.OnceFunc(func() { close(closed) }),
		queues: map[string]*queue{}, deletedAt: map[string]time.Time{},
	}
	s.sequence.Store(firstSequence)
	return s
}

// Close ends every long poll with an empty response; later ones do not wait.
func (s *Service) Close() { s.close() }

// Service returns the operations under their wire names.
func (s *Service) Service() *awsjson.Service {
	return &awsjson.Service{
		Target: "AmazonSQS", ContentType: "application/x-amz-json-1.0", Namespace: "com.amazonaws.sqs",
		Operations: map[string]awsjson.Operation{
			"CreateQueue":                  awsjson.Handle(s.createQueue),
			"DeleteQueue":                  awsjson.Handle(s.deleteQueue),
			"PurgeQueue":                   awsjson.Handle(s.purgeQueue),
			"GetQueueUrl":                  awsjson.Handle(s.queueURL),
			"ListQueues":                   awsjson.Handle(s.listQueues),
			"ListDeadLetterSourceQueues":   awsjson.Handle(s.listDeadLetterSourceQueues),
			"GetQueueAttributes":           awsjson.Handle(s.queueAttributes),
			"SetQueueAttributes":           awsjson.Handle(s.setQueueAttributes),
			"TagQueue":                     awsjson.Handle(s.tagQueue),
			"UntagQueue":                   awsjson.Handle(s.untagQueue),
			"ListQueueTags":                awsjson.Handle(s.listQueueTags),
			"SendMessage":                  awsjson.Handle(s.sendMessage),
			"SendMessageBatch":             awsjson.Handle(s.sendMessageBatch),
			"ReceiveMessage":               awsjson.Handle(s.receiveMessage),
			"DeleteMessage":                awsjson.Handle(s.deleteMessage),
			"DeleteMessageBatch":           awsjson.Handle(s.deleteMessageBatch),
			"ChangeMessageVisibility":      awsjson.Handle(s.changeMessageVisibility),
			"ChangeMessageVisibilityBatch": awsjson.Handle(s.changeMessageVisibilityBatch),
		},
	}
}

// url returns a queue's URL at the address by which the client reached the server: some SDKs send their requests to it.
func (s *Service) url(ctx context.Context, name string) string {
	return awsjson.Endpoint(ctx) + "/" + s.options.AccountID + "/" + name
}

func (s *Service) arn(name string) string {
	return "arn:aws:sqs:" + s.options.Region + ":" + s.options.AccountID + ":" + name
}

// byURL returns a queue by the path of its URL, whose host does not matter, or by its name, which AWS accepts, too:
// https://github.com/getmoto/moto/pull/5073
func (s *Service) byURL(queueURL string) (*queue, error) {
	if queueURL == "" {
		return nil, missingParameter("QueueUrl")
	}
	if !strings.ContainsAny(queueURL, ":/") {
		return s.byName(queueURL)
	}
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil, invalidAddress(queueURL)
	}
	account, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok || account == "" || name == "" || strings.Contains(name, "/") {
		return nil, invalidAddress(queueURL)
	}
	if account != s.options.AccountID {
		return nil, queueDoesNotExist()
	}
	return s.byName(name)
}

func (s *Service) byName(name string) (*queue, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, queueDoesNotExist()
}

// byARN returns a queue, or nil if there is none.
func (s *Service) byARN(arn string) *queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.findARN(arn)
}

// findARN is byARN for callers that hold s.mu.
func (s *Service) findARN(arn string) *queue {
	name, ok := strings.CutPrefix(arn, s.arn(""))
	if !ok {
		return nil
	}
	return s.queues[name]
}
