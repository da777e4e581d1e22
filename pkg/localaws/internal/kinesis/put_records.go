package kinesis

import (
	"context"
	"fmt"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
const (
	maxBatchRecords = 500
	maxBatchBytes   = 10 << 20 // data and partition keys
)

// recordInput is a record to put. Data is base64 on the wire and nil if it is absent.
type recordInput struct {
	PartitionKey    *string
	Data            []byte
	ExplicitHashKey *string
}

// check adds the record's violations; their paths begin with at.
func (r *recordInput) check(v *violations, at string) {
	v.required(at+"partitionKey", r.PartitionKey != nil)
	v.length(at+"partitionKey", r.PartitionKey, 1, 256)
	v.required(at+"data", r.Data != nil)
	v.matches(at+"explicitHashKey", r.ExplicitHashKey, hashKeyPattern)
}

func (r *recordInput) size() int { return len(*r.PartitionKey) + len(r.Data) }

// checkSize checks the stream's limit, which counts data and partition key, although AWS's message only mentions data.
func (r *recordInput) checkSize(v *violations, at string, limit int) {
	if r.size() > limit {
		v.add("", at+"data", fmt.Sprintf("Member must have length less than or equal to %d", limit))
	}
}

func (r *recordInput) hash() (hashKey, error) {
	if r.ExplicitHashKey == nil {
		return hashOf(*r.PartitionKey), nil
	}
	h, ok := parseHashKey(*r.ExplicitHashKey)
	if !ok {
		return h, invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s",
			*r.ExplicitHashKey)
	}
	return h, nil
}

type placeJSON struct {
	ShardID        string `json:"ShardId,omitempty"`
	SequenceNumber string `json:",omitempty"`
}

// put appends a record to the open shard of its hash key. The caller holds the stream for reading.
func (k *Kinesis) put(s *stream, r *recordInput, h hashKey) placeJSON {
	now := k.now()
	sh := s.route(h)
	counter := sh.append(*r.PartitionKey, r.Data, now, s.horizon(now))
	return placeJSON{ShardID: sh.id(), SequenceNumber: sh.sequence(counter).String()}
}

type putRecordInput struct {
	streamRef
	recordInput

	SequenceNumberForOrdering *string
}

func (k *Kinesis) putRecord(_ context.Context, in *putRecordInput) (*placeJSON, error) {
	v := violations{}
	in.streamRef.check(&v)
	in.recordInput.check(&v, "")
	v.matches("sequenceNumberForOrdering", in.SequenceNumberForOrdering, sequencePattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	h, err := in.hash()
	if err != nil {
		return nil, err
	}
	// A shard's sequence numbers only grow, so all existing ones are below the next.
	if n := in.SequenceNumberForOrdering; n != nil {
		if _, ok := parseSequence(*n); !ok {
			return nil, invalidArgument("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
				*n, s.name, k.opts.AccountID)
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	in.checkSize(&v, "", s.maxRecordSize)
	if err := v.err(); err != nil {
		return nil, err
	}
	place := k.put(s, &in.recordInput, h)
	return &place, nil
}

type putRecordsInput struct {
	streamRef

	Records []recordInput
}

// resultJSON is the result of one record of a batch: a position or an error. Only a fault causes an error.
type resultJSON struct {
	placeJSON

	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

type putRecordsOutput struct {
	FailedRecordCount int
	Records           []resultJSON
}

// putRecords refuses the whole batch for one malformed or oversized record, as AWS does: only throttling and internal
// failures are reported per record.
func (k *Kinesis) putRecords(ctx context.Context, in *putRecordsInput) (*putRecordsOutput, error) {
	if err := in.checkBatch(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	hashes := make([]hashKey, len(in.Records))
	for i := range in.Records {
		if hashes[i], err = in.Records[i].hash(); err != nil {
			return nil, err
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, total := violations{}, 0
	for i := range in.Records {
		in.Records[i].checkSize(&v, at(i), s.maxRecordSize)
		total += in.Records[i].size()
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if total > maxBatchBytes {
		return nil, invalidArgument("Records size exceeds %d MB limit", maxBatchBytes>>20)
	}
	out := &putRecordsOutput{Records: make([]resultJSON, len(in.Records))}
	fates := faults.Batch(ctx, len(in.Records))
	for i := range in.Records {
		if fate := fates.Of(i); fate != faults.Done {
			out.Records[i] = k.failed(fate, s, s.route(hashes[i]))
			out.FailedRecordCount++
			continue
		}
		out.Records[i].placeJSON = k.put(s, &in.Records[i], hashes[i])
	}
	return out, nil
}

// failed returns a record's error as in the example of API_PutRecords.
func (k *Kinesis) failed(fate faults.Outcome, s *stream, sh *shard) resultJSON {
	if fate == faults.Throttled {
		return resultJSON{
			ErrorCode:    "ProvisionedThroughputExceededException",
			ErrorMessage: fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", sh.id(), s.name, k.opts.AccountID),
		}
	}
	return resultJSON{ErrorCode: "InternalFailure", ErrorMessage: "Internal service failure."}
}

func (in *putRecordsInput) checkBatch() error {
	v := violations{}
	in.check(&v)
	if v.required("records", in.Records != nil); in.Records != nil {
		v.size("records", len(in.Records), 1, maxBatchRecords)
	}
	for i := range in.Records[:min(len(in.Records), maxBatchRecords)] {
		in.Records[i].check(&v, at(i))
	}
	return v.err()
}

// at returns the path of a record in a batch; AWS counts from 1.
func at(i int) string { return fmt.Sprintf("records.%d.member.", i+1) }
