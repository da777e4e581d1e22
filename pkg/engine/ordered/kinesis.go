package ordered

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/retry"
)

// Limits of PutRecords: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
const (
	kinesisMaxCount = 500
	// kinesisMaxBytes is what all versions of Kinesis and its emulators accept. AWS has raised it to 10 MiB since, but a
	// shard accepts only 1 MB a second.
	kinesisMaxBytes = 5 << 20
	// kinesisMaxRecord is a stream's default; see MaxRecordSizeInKiB.
	kinesisMaxRecord = 1 << 20
	// kinesisMaxKey is in characters.
	kinesisMaxKey = 256
)

// KinesisAPI is the part of *kinesis.Client that a KinesisPublisher calls.
type KinesisAPI interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
}

// KinesisRecord is one record to publish. Records of one key keep their order.
type KinesisRecord struct {
	Key  string
	Data []byte
}

func (r KinesisRecord) size() int { return len(r.Key) + len(r.Data) }

// check refuses what PutRecords refuses with a ValidationException, which could also be about the name of the stream.
func (r KinesisRecord) check() error {
	if n := utf8.RuneCountInString(r.Key); n < 1 || n > kinesisMaxKey {
		return Permanent(fmt.Errorf("partition key of %d characters, allowed are 1 to %d", n, kinesisMaxKey))
	}
	if r.size() > kinesisMaxRecord {
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, r.size(), kinesisMaxRecord)
	}
	return nil
}

// KinesisPublisher publishes to one stream. Safe for concurrent use, but order is kept within one Publish only.
//
// It needs the IAM permission kinesis:PutRecords for the stream and, if the stream is encrypted by a key of the
// customer's, kms:GenerateDataKey for the key. The stream needs no particular settings: one with a MaxRecordSizeInKiB
// above the default of 1024 still gets no record over 1 MiB.
type KinesisPublisher struct {
	client  KinesisAPI
	stream  string
	backoff retry.Backoff
}

// NewKinesisPublisher returns a publisher to the stream of that name. backoff is that of Options.
func NewKinesisPublisher(client KinesisAPI, stream string, backoff retry.Backoff) *KinesisPublisher {
	return &KinesisPublisher{client: client, stream: stream, backoff: backoff}
}

// Publish returns nil when the stream holds every record; see Send. A record over 1 MiB is ErrTooLarge.
func (k *KinesisPublisher) Publish(ctx context.Context, records []KinesisRecord) error {
	if err := Send(ctx, records, k.Options()); err != nil {
		return fmt.Errorf("publish to %s: %w", k.stream, err)
	}
	return nil
}

// Options are those of a Sender to the stream.
func (k *KinesisPublisher) Options() Options[KinesisRecord] {
	return Options[KinesisRecord]{
		Key:  func(r KinesisRecord) string { return r.Key },
		Size: KinesisRecord.size, MaxCount: kinesisMaxCount, MaxBytes: kinesisMaxBytes, Check: KinesisRecord.check,
		Put: k.put, Backoff: k.backoff,
	}
}

func (k *KinesisPublisher) put(ctx context.Context, batch []KinesisRecord) (map[int]error, error) {
	in := &kinesis.PutRecordsInput{StreamName: aws.String(k.stream), Records: make([]types.PutRecordsRequestEntry, len(batch))}
	for i, r := range batch {
		in.Records[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String(r.Key), Data: r.Data}
	}
	out, err := k.client.PutRecords(ctx, in)
	if err != nil {
		// The only error that can be about a record. All others may pass: AccessDeniedException, ResourceNotFoundException, those of
		// KMS, throttling and internal ones. Single results are only ever throttled or failed internally.
		// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html#API_PutRecords_Errors
		if _, bad := errors.AsType[*types.InvalidArgumentException](err); bad {
			err = Permanent(err)
		}
		return nil, err
	}
	if len(out.Records) != len(batch) {
		return nil, fmt.Errorf("PutRecords returned %d results for %d records", len(out.Records), len(batch))
	}
	failed := map[int]error{}
	for i, r := range out.Records { // by the entries alone: FailedRecordCount could disagree with them
		if r.ErrorCode != nil || r.SequenceNumber == nil {
			failed[i] = &smithy.GenericAPIError{Code: aws.ToString(r.ErrorCode), Message: aws.ToString(r.ErrorMessage)}
		}
	}
	return failed, nil
}
