package kinesis

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_IncreaseStreamRetentionPeriod.html
const (
	minRetention = 24 * time.Hour
	maxRetention = 8760 * time.Hour
)

// https://docs.aws.amazon.com/streams/latest/dev/large-records.html
const (
	minMaxRecordSize = 1 << 20 // also the default
	maxMaxRecordSize = 10 << 20
)

// onDemandShards is the initial number of shards of an on-demand stream.
// https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html
const onDemandShards = 4

const describePage = 100 // the default and maximum of DescribeStream and ListStreams

const (
	provisioned = "PROVISIONED"
	onDemand    = "ON_DEMAND"
)

type streamModeDetails struct{ StreamMode *string }

type createStreamInput struct {
	StreamName         *string
	ShardCount         *int
	StreamModeDetails  *streamModeDetails
	Tags               map[string]string
	MaxRecordSizeInKiB *int
}

func (in *createStreamInput) check() error {
	v := violations{}
	v.required("streamName", in.StreamName != nil)
	v.name("streamName", in.StreamName)
	v.between("shardCount", in.ShardCount, 1, maxShardIndex)
	if in.StreamModeDetails != nil {
		v.required("streamModeDetails.streamMode", in.StreamModeDetails.StreamMode != nil)
		v.oneOf("streamModeDetails.streamMode", in.StreamModeDetails.StreamMode, provisioned, onDemand)
	}
	v.between("maxRecordSizeInKiB", in.MaxRecordSizeInKiB, minMaxRecordSize>>10, maxMaxRecordSize>>10)
	v.tags("tags", in.Tags)
	return v.err()
}

func (k *Kinesis) createStream(_ context.Context, in *createStreamInput) (*done, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	demand := in.ShardCount == nil // https://github.com/etspaceman/kinesis-mock/issues/336
	if in.StreamModeDetails != nil {
		demand = *in.StreamModeDetails.StreamMode == onDemand
	}
	count := onDemandShards
	switch {
	case demand && in.ShardCount != nil:
		return nil, awsjson.Errorf("ValidationException", "ShardCount cannot be given for a stream in mode ON_DEMAND.")
	case !demand && in.ShardCount == nil:
		return nil, awsjson.Errorf("ValidationException", "ShardCount is required for a stream in mode PROVISIONED.")
	case !demand:
		count = *in.ShardCount
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, taken := k.streams[*in.StreamName]; taken {
		return nil, awsjson.Errorf("ResourceInUseException", "Stream %s under account %s already exists.", *in.StreamName, k.opts.AccountID)
	}
	if err := k.reserveShards(count); err != nil {
		return nil, err
	}
	s := newStream(*in.StreamName, demand, count, k.createdAt(*in.StreamName), k.kept)
	if in.MaxRecordSizeInKiB != nil {
		s.maxRecordSize = *in.MaxRecordSizeInKiB << 10
	}
	maps.Copy(s.tags, in.Tags)
	k.streams[s.name] = s
	s.save()
	return &done{}, nil
}

// createdAt returns the time of creation of a new stream. It tells a stream from a former one of its name, but is known to the second
// only, and on AWS no stream is deleted and made anew within one.
func (k *Kinesis) createdAt(name string) time.Time {
	now := k.now()
	if former, ok := k.former[name]; ok && now.Unix() <= former.Unix() {
		return former.Truncate(time.Second).Add(time.Second)
	}
	return now
}

type deleteStreamInput struct {
	streamRef

	EnforceConsumerDeletion *bool
}

func (k *Kinesis) deleteStream(_ context.Context, in *deleteStreamInput) (*done, error) {
	s, err := k.checkedFind(in.streamRef)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	if k.streams[s.name] != s {
		k.mu.Unlock()
		return nil, k.streamNotFound(s.name, k.opts.AccountID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if enforce := in.EnforceConsumerDeletion; len(s.consumers) > 0 && (enforce == nil || !*enforce) {
		k.mu.Unlock()
		return nil, awsjson.Errorf("ResourceInUseException",
			"Stream %s under account %s has consumers and EnforceConsumerDeletion is not true.", s.name, k.opts.AccountID)
	}
	delete(k.streams, s.name)
	k.former[s.name] = s.createdAt
	s.saveDeleted()
	k.mu.Unlock()
	s.deleted = true
	for _, c := range s.consumers {
		c.end(k.streamNotFound(s.name, k.opts.AccountID))
	}
	return &done{}, k.reserveShards(-len(s.open))
}

// checkedFind checks ref and returns its stream.
func (k *Kinesis) checkedFind(ref streamRef) (*stream, error) {
	v := violations{}
	ref.check(&v)
	if err := v.err(); err != nil {
		return nil, err
	}
	return k.find(ref)
}

// streamJSON is common to all descriptions of a stream.
type streamJSON struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       streamModeDetails
	StreamCreationTimestamp timestamp
}

func (k *Kinesis) describe(s *stream) streamJSON {
	mode := provisioned
	if s.onDemand {
		mode = onDemand
	}
	return streamJSON{
		StreamName: s.name, StreamARN: k.arn(s.name), StreamStatus: "ACTIVE",
		StreamModeDetails: streamModeDetails{&mode}, StreamCreationTimestamp: timestamp{s.createdAt},
	}
}

// settingsJSON is the settings in DescribeStream and DescribeStreamSummary.
type settingsJSON struct {
	RetentionPeriodHours int
	EncryptionType       string
	EnhancedMonitoring   []monitoring
}

type monitoring struct{ ShardLevelMetrics []string }

func (s *stream) settings() settingsJSON {
	return settingsJSON{
		RetentionPeriodHours: int(s.retention / time.Hour),
		EncryptionType:       "NONE",
		EnhancedMonitoring:   []monitoring{{ShardLevelMetrics: []string{}}},
	}
}

type describeStreamInput struct {
	streamRef

	Limit                 *int
	ExclusiveStartShardID *string `json:"ExclusiveStartShardId"`
}

type describeStreamOutput struct {
	StreamDescription struct {
		streamJSON
		settingsJSON

		Shards        []shardJSON
		HasMoreShards bool
	}
}

func (k *Kinesis) describeStream(_ context.Context, in *describeStreamInput) (*describeStreamOutput, error) {
	v := violations{}
	in.check(&v)
	v.between("limit", in.Limit, 1, 10_000)
	v.name("exclusiveStartShardId", in.ExclusiveStartShardID)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	shards := s.listed(k.now())
	if in.ExclusiveStartShardID != nil {
		after, ok := parseShardID(*in.ExclusiveStartShardID)
		if !ok {
			return nil, k.shardNotFound(*in.ExclusiveStartShardID, s.name)
		}
		shards = shardsAfter(shards, after)
	}
	shards, more := firstPage(shards, in.Limit, describePage)
	out := &describeStreamOutput{}
	out.StreamDescription.streamJSON = k.describe(s)
	out.StreamDescription.settingsJSON = s.settings()
	out.StreamDescription.Shards = describeShards(shards)
	out.StreamDescription.HasMoreShards = more
	return out, nil
}

// firstPage truncates a list to the requested limit, or to the maximum.
func firstPage[T any](list []T, limit *int, most int) (page []T, more bool) {
	n := most
	if limit != nil {
		n = min(*limit, most)
	}
	n = min(n, len(list))
	return list[:n], n < len(list)
}

type describeStreamSummaryInput struct{ streamRef }

type describeStreamSummaryOutput struct {
	StreamDescriptionSummary struct {
		streamJSON
		settingsJSON

		OpenShardCount     int
		ConsumerCount      int
		MaxRecordSizeInKiB int
	}
}

func (k *Kinesis) describeStreamSummary(_ context.Context, in *describeStreamSummaryInput) (*describeStreamSummaryOutput, error) {
	s, err := k.checkedFind(in.streamRef)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &describeStreamSummaryOutput{}
	out.StreamDescriptionSummary.streamJSON = k.describe(s)
	out.StreamDescriptionSummary.settingsJSON = s.settings()
	out.StreamDescriptionSummary.OpenShardCount = len(s.open)
	out.StreamDescriptionSummary.ConsumerCount = len(s.consumers)
	out.StreamDescriptionSummary.MaxRecordSizeInKiB = s.maxRecordSize >> 10
	return out, nil
}

type listStreamsInput struct {
	Limit                    *int
	ExclusiveStartStreamName *string
	NextToken                *string // the name of the last stream of the previous page
}

type listStreamsOutput struct {
	StreamNames     []string
	StreamSummaries []streamJSON
	HasMoreStreams  bool
	NextToken       string `json:",omitempty"`
}

func (k *Kinesis) listStreams(_ context.Context, in *listStreamsInput) (*listStreamsOutput, error) {
	v := violations{}
	v.between("limit", in.Limit, 1, 10_000)
	v.name("exclusiveStartStreamName", in.ExclusiveStartStreamName)
	v.length("nextToken", in.NextToken, 1, 1<<20)
	if err := v.err(); err != nil {
		return nil, err
	}
	after := ""
	for _, s := range []*string{in.ExclusiveStartStreamName, in.NextToken} {
		if s != nil {
			after = max(after, *s)
		}
	}
	streams := k.all()
	for len(streams) > 0 && strings.Compare(streams[0].name, after) <= 0 {
		streams = streams[1:]
	}
	streams, more := firstPage(streams, in.Limit, describePage)
	out := &listStreamsOutput{StreamNames: []string{}, StreamSummaries: []streamJSON{}, HasMoreStreams: more}
	for _, s := range streams {
		out.StreamNames = append(out.StreamNames, s.name)
		out.StreamSummaries = append(out.StreamSummaries, k.describe(s))
	}
	if more {
		out.NextToken = streams[len(streams)-1].name
	}
	return out, nil
}
