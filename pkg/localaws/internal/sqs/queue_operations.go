package sqs

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cooldown is the minimum time between DeleteQueue and CreateQueue of the same name, and between two PurgeQueue of a queue.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html and API_PurgeQueue.html
const cooldown = 60 * time.Second

// none is the empty output of an operation.
type none struct{}

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type queueURLOutput struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Service) createQueue(ctx context.Context, in *createQueueInput) (*queueURLOutput, error) {
	_, fifo := in.Attributes["FifoQueue"]
	if err := checkQueueName(in.QueueName, fifo); err != nil {
		return nil, err
	}
	wanted, err := change(defaultAttributes(fifo), in.Attributes, fifo)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[in.QueueName]; q != nil {
		has := q.settings.Load().attributes
		for _, name := range slices.Sorted(maps.Keys(in.Attributes)) {
			if wanted.attributes[name] != has[name] {
				return nil, queueNameExists(name)
			}
		}
		return &queueURLOutput{s.url(ctx, q.name)}, nil
	}
	now := s.options.Now()
	maps.DeleteFunc(s.deletedAt, func(_ string, at time.Time) bool { return now.Sub(at) >= cooldown })
	if _, recently := s.deletedAt[in.QueueName]; recently {
		return nil, simple("QueueDeletedRecently",
			"You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	if err := s.checkRedrive(s.arn(in.QueueName), fifo, wanted); err != nil {
		return nil, err
	}
	q := s.newQueue(in.QueueName, fifo, now, maps.Clone(in.Tags))
	q.settings.Store(wanted)
	s.queues[in.QueueName] = q
	q.saveNew()
	return &queueURLOutput{s.url(ctx, q.name)}, nil
}

func checkQueueName(name string, fifo bool) error {
	switch bare, ok := strings.CutSuffix(name, ".fifo"); {
	case name == "":
		return missingParameter("QueueName")
	case fifo && (!ok || !isName(bare) || len(name) > 80):
		return invalidParameter("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, " +
			"must end with .fifo suffix and be 1 to 80 in length")
	case !fifo && !isName(name):
		return invalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	default:
		return nil
	}
}

func (s *Service) newQueue(name string, fifo bool, now time.Time, tags map[string]string) *queue {
	if tags == nil {
		tags = map[string]string{}
	}
	return &queue{
		name: name, arn: s.arn(name), id: newID(), fifo: fifo,
		now: s.options.Now, sequence: &s.sequence, journal: s.options.Journal, entities: s.entities, createdAt: now, modifiedAt: now, tags: tags,
		messages: map[uint64]*message{}, groups: map[string]*group{}, wake: make(chan struct{}),
		sent:     newRecent[dedupKey, sent](dedupSpan, s.options.Journal != nil),
		attempts: newRecent[string, []receipt](attemptSpan, s.options.Journal != nil),
	}
}

// checkRedrive checks the dead-letter queue in the settings. The caller holds s.mu.
func (s *Service) checkRedrive(sourceARN string, fifo bool, wanted *settings) error {
	target, text := wanted.redrive.Target, wanted.attributes["RedrivePolicy"]
	if target == "" {
		return nil
	}
	if strings.Count(target, ":") != 5 || !strings.HasPrefix(target, "arn:") {
		return badRedrive(text, "Invalid value for deadLetterTargetArn.")
	}
	dead := s.findARN(target)
	if dead == nil {
		return badRedrive(text, "Dead letter target does not exist.")
	}
	if dead.fifo != fifo {
		return badRedrive(text, "Dead-letter queue must be same type of queue as the source.")
	}
	if !dead.settings.Load().redriveAllowed.allows(sourceARN) {
		return badRedrive(text, "The dead-letter queue does not allow this source queue (RedriveAllowPolicy).")
	}
	return nil
}

type queueInput struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Service) deleteQueue(_ context.Context, in *queueInput) (*none, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[q.name] == q {
		delete(s.queues, q.name)
		s.deletedAt[q.name] = s.options.Now()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.saveDeleted(s.deletedAt[q.name])
	q.deleted = true
	q.wakeReceivers()
	return &none{}, nil
}

func (s *Service) purgeQueue(_ context.Context, in *queueInput) (*none, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	now := q.lock()
	defer q.unlock()
	if !q.purgedAt.IsZero() && now.Sub(q.purgedAt) < cooldown {
		return nil, purgeInProgress(q.name)
	}
	q.purgedAt, q.unsaved.self = now, true
	q.purge()
	return &none{}, nil
}

type getQueueURLInput struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}

func (s *Service) queueURL(ctx context.Context, in *getQueueURLInput) (*queueURLOutput, error) {
	if in.QueueName == "" {
		return nil, missingParameter("QueueName")
	}
	if in.QueueOwnerAWSAccountID != "" && in.QueueOwnerAWSAccountID != s.options.AccountID {
		return nil, queueDoesNotExist()
	}
	q, err := s.byName(in.QueueName)
	if err != nil {
		return nil, err
	}
	return &queueURLOutput{s.url(ctx, q.name)}, nil
}

type listQueuesInput struct {
	QueueNamePrefix string
	page
}

type listQueuesOutput struct {
	QueueUrls []string `json:",omitempty"`
	NextToken string   `json:",omitempty"`
}

func (s *Service) listQueues(ctx context.Context, in *listQueuesInput) (*listQueuesOutput, error) {
	urls, next, err := s.list(ctx, in.page, func(q *queue) bool { return strings.HasPrefix(q.name, in.QueueNamePrefix) })
	return &listQueuesOutput{urls, next}, err
}

type listSourcesInput struct {
	QueueURL string `json:"QueueUrl"`
	page
}

// listSourcesOutput has AWS's inconsistent spelling.
type listSourcesOutput struct {
	QueueUrls []string `json:"queueUrls"`
	NextToken string   `json:",omitempty"`
}

func (s *Service) listDeadLetterSourceQueues(ctx context.Context, in *listSourcesInput) (*listSourcesOutput, error) {
	dead, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	urls, next, err := s.list(ctx, in.page, func(q *queue) bool { return q.settings.Load().redrive.Target == dead.arn })
	return &listSourcesOutput{append([]string{}, urls...), next}, err
}

type page struct {
	MaxResults *int
	NextToken  string
}

// list returns a page of the queues that match, sorted by name. Without MaxResults there is no next page, and the list ends
// after 1,000: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
func (s *Service) list(ctx context.Context, p page, match func(*queue) bool) (urls []string, next string, err error) {
	limit := 1000
	if err := checkRange("MaxResults", p.MaxResults, 1, limit); err != nil {
		return nil, "", err
	}
	if p.MaxResults != nil {
		limit = *p.MaxResults
	}
	after, err := base64.StdEncoding.DecodeString(p.NextToken)
	if err != nil {
		return nil, "", invalidValue(p.NextToken, "NextToken", "Invalid or expired next token.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	last := ""
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		q := s.queues[name]
		if name <= string(after) || !match(q) {
			continue
		}
		if len(urls) == limit {
			if p.MaxResults != nil {
				next = base64.StdEncoding.EncodeToString([]byte(last))
			}
			break
		}
		urls, last = append(urls, s.url(ctx, name)), name
	}
	return urls, next, nil
}

type getAttributesInput struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}

type attributesOutput struct{ Attributes map[string]string }

func (s *Service) queueAttributes(_ context.Context, in *getAttributesInput) (*attributesOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	all := q.attributes()
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		if name == "All" {
			return &attributesOutput{all}, nil
		}
		value, ok := all[name]
		if ok {
			out[name] = value
		} else if !isAttribute(name) {
			return nil, unknownAttribute(name)
		}
	}
	return &attributesOutput{out}, nil
}

// isAttribute reports whether name is an optional attribute.
func isAttribute(name string) bool {
	return slices.Contains([]string{
		"Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
		"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit",
	}, name)
}

func (q *queue) attributes() map[string]string {
	q.lock()
	defer q.unlock()
	out := maps.Clone(q.settings.Load().attributes)
	out["QueueArn"] = q.arn
	out["CreatedTimestamp"] = strconv.FormatInt(q.createdAt.Unix(), 10)
	out["LastModifiedTimestamp"] = strconv.FormatInt(q.modifiedAt.Unix(), 10)
	out["ApproximateNumberOfMessages"] = strconv.Itoa(q.counts[visible])
	out["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(q.counts[delayed])
	out["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(q.counts[inFlight])
	return out
}

type setAttributesInput struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}

func (s *Service) setQueueAttributes(_ context.Context, in *setAttributesInput) (*none, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if len(in.Attributes) == 0 {
		return nil, missingParameter("Attributes")
	}
	if v, ok := in.Attributes["FifoQueue"]; ok && q.fifo && !strings.EqualFold(v, "true") {
		return nil, failure("InvalidAttributeValue", "InvalidAttributeValue",
			"Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := q.lock()
	defer q.unlock()
	old := q.settings.Load()
	wanted, err := change(old.attributes, in.Attributes, q.fifo)
	if err != nil {
		return nil, err
	}
	if _, ok := in.Attributes["RedrivePolicy"]; ok {
		if err := s.checkRedrive(q.arn, q.fifo, wanted); err != nil {
			return nil, err
		}
	}
	q.settings.Store(wanted)
	q.modifiedAt, q.unsaved.self = now, true
	if q.fifo && wanted.delay != old.delay {
		q.setDelay(wanted.delay)
	}
	return &none{}, nil
}

type tagQueueInput struct {
	QueueURL string `json:"QueueUrl"`
	Tags     map[string]string
}

func (s *Service) tagQueue(_ context.Context, in *tagQueueInput) (*none, error) {
	return s.changeTags(in.QueueURL, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

type untagQueueInput struct {
	QueueURL string `json:"QueueUrl"`
	TagKeys  []string
}

func (s *Service) untagQueue(_ context.Context, in *untagQueueInput) (*none, error) {
	return s.changeTags(in.QueueURL, func(tags map[string]string) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
	})
}

func (s *Service) changeTags(queueURL string, change func(map[string]string)) (*none, error) {
	q, err := s.byURL(queueURL)
	if err != nil {
		return nil, err
	}
	q.lock()
	defer q.unlock()
	change(q.tags)
	q.unsaved.self = true
	return &none{}, nil
}

type tagsOutput struct{ Tags map[string]string }

func (s *Service) listQueueTags(_ context.Context, in *queueInput) (*tagsOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return &tagsOutput{maps.Clone(q.tags)}, nil
}
