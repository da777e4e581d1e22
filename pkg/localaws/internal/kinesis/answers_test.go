package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// api calls a Kinesis with a fixed clock.
type api struct {
	t *testing.T
	k *Kinesis
}

func newAPI(t *testing.T) api {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	return api{t, New(Options{Region: "us-east-1", AccountID: "000000000000", Now: func() time.Time { return now }})}
}

func (a api) do(operation, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.k.Service().Do(a.t.Context(), operation, []byte(body), w)
	return w
}

// ok calls an operation that must succeed and reads its answer.
func (a api) ok(operation, body string) map[string]any {
	a.t.Helper()
	w := a.do(operation, body)
	require.Equal(a.t, http.StatusOK, w.Code, w.Body.String())
	var out map[string]any
	require.NoError(a.t, json.Unmarshal(w.Body.Bytes(), &out))
	return out
}

// refused calls an operation that must fail and returns the exception and the message.
func (a api) refused(operation, body string) (code, message string) {
	a.t.Helper()
	w := a.do(operation, body)
	require.NotEqual(a.t, http.StatusOK, w.Code, w.Body.String())
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	require.NoError(a.t, json.Unmarshal(w.Body.Bytes(), &e))
	return e.Type, e.Message
}

func zeros(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

const (
	invalid    = "InvalidArgumentException"
	notFound   = "ResourceNotFoundException"
	validation = "ValidationException"
	mhart      = "https://github.com/mhart/kinesalite/tree/master/test" // a test suite that was run against AWS
	reference  = "https://docs.aws.amazon.com/kinesis/latest/APIReference/"
)

// refusals are AWS's errors for bad requests, with a stream "s" of three shards and an on-demand stream "demand".
var refusals = []struct {
	name, operation, body string
	code, message         string
	source                string
}{
	{
		"unknown stream", "DescribeStream", `{"StreamName":"nix"}`,
		notFound, "Stream nix under account 000000000000 not found.", mhart,
	},
	{
		"unknown ARN", "DescribeStreamSummary", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/nix"}`,
		notFound, "Stream nix under account 000000000000 not found.", mhart,
	},
	{
		"another account's ARN", "DeleteStream", `{"StreamARN":"arn:aws:kinesis:us-east-1:111111111111:stream/s"}`,
		notFound, "Stream s under account 111111111111 not found.", mhart,
	},
	{
		"malformed ARN", "ListShards", `{"StreamARN":"s"}`,
		validation, `1 validation error detected: Value 's' at 'streamARN' failed to satisfy constraint: ` +
			`Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\d{12}:stream/\S+`, reference + "API_ListShards.html",
	},
	{
		"same name again", "CreateStream", `{"StreamName":"s","ShardCount":1}`,
		"ResourceInUseException", "Stream s under account 000000000000 already exists.", mhart + "/createStream.js",
	},
	{
		"no shards", "CreateStream", `{"StreamName":"t","ShardCount":0}`,
		validation, "1 validation error detected: Value '0' at 'shardCount' failed to satisfy constraint: " +
			"Member must have value greater than or equal to 1", mhart + "/createStream.js",
	},
	{
		"shard quota", "CreateStream", `{"StreamName":"t","ShardCount":20000}`,
		"LimitExceededException", "This request would exceed the shard limit for the account 000000000000 in us-east-1. " +
			"Current shard count for the account: 7. Limit: 20000. Number of additional shards that would have " +
			"resulted from this request: 20000. Refer to the AWS Service Limits page " +
			"(http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) " +
			"for current limits and how to request higher limits.", mhart + "/createStream.js",
	},
	{
		"empty names", "GetShardIterator", `{"StreamName":"","ShardId":"","ShardIteratorType":"","StartingSequenceNumber":""}`,
		validation, "6 validation errors detected: " +
			"Value '' at 'shardId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; " +
			"Value '' at 'shardId' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
			"Value '' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: " +
			"[AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]; " +
			"Value '' at 'startingSequenceNumber' failed to satisfy constraint: Member must satisfy regular expression pattern: " +
			`0|([1-9]\d{0,128}); ` +
			"Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; " +
			"Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1",
		mhart + "/getShardIterator.js",
	},
	{
		"long stream name", "DescribeStream", `{"StreamName":"` + strings.Repeat("a", 129) + `"}`,
		validation, "1 validation error detected: Value '" + strings.Repeat("a", 129) + "' at 'streamName' failed to satisfy constraint: " +
			"Member must have length less than or equal to 128", mhart + "/describeStream.js",
	},
	{
		"put without a key", "PutRecord", `{"StreamName":"s","Data":""}`,
		validation, "1 validation error detected: Value null at 'partitionKey' failed to satisfy constraint: Member must not be null",
		mhart + "/putRecord.js",
	},
	{
		"put without data", "PutRecord", `{"StreamName":"s","PartitionKey":"k"}`,
		validation, "1 validation error detected: Value null at 'data' failed to satisfy constraint: Member must not be null",
		mhart + "/putRecord.js",
	},
	{
		"long key", "PutRecord", `{"StreamName":"s","Data":"","PartitionKey":"` + strings.Repeat("a", 257) + `"}`,
		validation, "1 validation error detected: Value '" + strings.Repeat("a", 257) + "' at 'partitionKey' failed to satisfy constraint: " +
			"Member must have length less than or equal to 256", mhart + "/putRecord.js",
	},
	{
		"hash key of 2^128", "PutRecord",
		`{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"340282366920938463463374607431768211456"}`,
		invalid, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. " +
			"Specified value was 340282366920938463463374607431768211456", mhart + "/putRecord.js",
	},
	{
		"foreign number for ordering", "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","SequenceNumberForOrdering":"5"}`,
		invalid, "ExclusiveMinimumSequenceNumber 5 used in PutRecord on stream s under account 000000000000 is invalid.",
		mhart + "/putRecord.js",
	},
	{
		"record over 1 MiB", "PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"` + zeros(1<<20+1) + `"}]}`,
		validation, "1 validation error detected: Value at 'records.1.member.data' failed to satisfy constraint: " +
			"Member must have length less than or equal to 1048576", "https://github.com/awslabs/amazon-kinesis-producer/issues/680",
	},
	{
		"record over 1 MiB with its key", "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"` + zeros(1<<20) + `"}`,
		validation, "1 validation error detected: Value at 'data' failed to satisfy constraint: " +
			"Member must have length less than or equal to 1048576", reference + "API_PutRecord.html",
	},
	{
		"batch of none", "PutRecords", `{"StreamName":"s","Records":[]}`,
		validation, "1 validation error detected: Value at 'records' failed to satisfy constraint: " +
			"Member must have length greater than or equal to 1", reference + "API_PutRecords.html",
	},
	{
		"batch of 501", "PutRecords",
		`{"StreamName":"s","Records":[` + strings.Repeat(`{"PartitionKey":"k","Data":""},`, 500) + `{"PartitionKey":"k","Data":""}]}`,
		validation, "1 validation error detected: Value at 'records' failed to satisfy constraint: " +
			"Member must have length less than or equal to 500", reference + "API_PutRecords.html",
	},
	{
		// AWS said so of 5 MB when that was the limit: https://github.com/snowplow/enrich/issues/685
		"batch over 10 MiB", "PutRecords", `{"StreamName":"s","Records":[` + strings.Repeat(
			`{"PartitionKey":"k","Data":"`+zeros(1<<20-1)+`"},`, 10,
		) +
			`{"PartitionKey":"k","Data":""}]}`,
		invalid, "Records size exceeds 10 MB limit", reference + "API_PutRecords.html",
	},
	{
		"unknown shard", "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-5","ShardIteratorType":"LATEST"}`,
		notFound, "Shard shardId-000000000005 in stream s under account 000000000000 does not exist", mhart + "/getShardIterator.js",
	},
	{
		"no shard's name", "GetShardIterator", `{"StreamName":"s","ShardId":"ABKLFD8","ShardIteratorType":"LATEST"}`,
		notFound, "Could not find shard ABKLFD8 in stream s under account 000000000000.", mhart + "/getShardIterator.js",
	},
	{
		"at no number", "GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER"}`,
		invalid, "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
			"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified AT_SEQUENCE_NUMBER and no StartingSequenceNumber.",
		mhart + "/getShardIterator.js",
	},
	{
		"latest at a number", "GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST","StartingSequenceNumber":"5"}`,
		invalid, "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
			"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified LATEST and also a StartingSequenceNumber.",
		mhart + "/getShardIterator.js",
	},
	{
		"at a foreign number", "GetShardIterator",
		`{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"7"}`,
		invalid,
		"StartingSequenceNumber 7 used in GetShardIterator on shard shardId-000000000000 in stream s under account 000000000000 is invalid.",
		mhart + "/getShardIterator.js",
	},
	{
		"at another shard's number", "GetShardIterator",
		`{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"` +
			sequence{birth: 1_767_323_045, shard: 2}.String() + `"}`,
		invalid,
		"Invalid StartingSequenceNumber. It encodes shardId-000000000002, while it was used in a call to a shard with shardId-000000000000",
		mhart + "/getShardIterator.js",
	},
	{
		"at another stream's number", "GetShardIterator",
		`{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"` +
			sequence{birth: 5}.String() + `"}`,
		invalid, "StartingSequenceNumber " + sequence{birth: 5}.String() +
			" used in GetShardIterator on shard shardId-000000000000 in stream s " +
			"under account 000000000000 is invalid because it did not come from this stream.", mhart + "/getShardIterator.js",
	},
	{
		"at no time", "GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP"}`,
		invalid, "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.",
		mhart + "/getShardIterator.js",
	},
	{
		"at a time to come", "GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1767323046}`,
		invalid, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. " +
			"timestampInMillis: 1767323046000, currentTimestampInMillis: 1767323045006", mhart + "/getShardIterator.js",
	},
	{
		"iterator of another make", "GetRecords", `{"ShardIterator":"bm9uZSBvZiBvdXJz"}`,
		invalid, "Invalid ShardIterator.", mhart + "/getRecords.js",
	},
	{
		"limits of a read", "GetRecords", `{"ShardIterator":"","Limit":10001}`,
		validation, "2 validation errors detected: " +
			"Value '' at 'shardIterator' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
			"Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000",
		mhart + "/getRecords.js",
	},
	{
		"list of nothing", "ListShards", `{}`,
		invalid, "Either NextToken or StreamName should be provided.", mhart + "/../actions/listShards.js",
	},
	{
		"token and name", "ListShards", `{"StreamName":"s","NextToken":"x"}`,
		invalid, "NextToken and StreamName cannot be provided together.", "https://github.com/harlow/kinesis-consumer/issues/109",
	},
	{
		"token and ARN", "ListShards", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","NextToken":"x"}`,
		invalid, "NextToken and StreamARN cannot be provided together.", "https://github.com/aws/aws-cli/issues/9635",
	},
	{
		"token and filter", "ListShards", `{"ShardFilter":{"Type":"AT_LATEST"},"NextToken":"x"}`,
		invalid, "NextToken and ShardFilter cannot be provided together.", "https://github.com/apache/beam/issues/33478",
	},
	{
		"token and start", "ListShards", `{"ExclusiveStartShardId":"shardId-0","NextToken":"x"}`,
		invalid, "NextToken and ExclusiveStartShardId cannot be provided together.",
		"https://github.com/awslabs/amazon-kinesis-scaling-utils/pull/82",
	},
	{
		"merge of distant shards", "MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-0","AdjacentShardToMerge":"shardId-2"}`,
		invalid, "Shards shardId-000000000000 and shardId-000000000002 in stream s under account 000000000000 are not an adjacent pair " +
			"of shards eligible for merging", mhart + "/mergeShards.js",
	},
	{
		"merge from above", "MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-1","AdjacentShardToMerge":"shardId-0"}`,
		invalid, "Shards shardId-000000000001 and shardId-000000000000 in stream s under account 000000000000 are not an adjacent pair " +
			"of shards eligible for merging", mhart + "/mergeShards.js",
	},
	{
		"merge with no shard", "MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-1","AdjacentShardToMerge":"shardId-5"}`,
		notFound, "Could not find shard shardId-000000000005 in stream s under account 000000000000.", mhart + "/mergeShards.js",
	},
	{
		"split at the first key but one", "SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-0","NewStartingHashKey":"1"}`,
		invalid, "NewStartingHashKey 1 used in SplitShard() on shard shardId-000000000000 in stream s under account 000000000000 is not both " +
			"greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey 113427455640312821154458202477256070484.",
		mhart + "/splitShard.js",
	},
	{
		"split at the last key", "SplitShard",
		`{"StreamName":"s","ShardToSplit":"shardId-0","NewStartingHashKey":"113427455640312821154458202477256070484"}`,
		invalid, "NewStartingHashKey 113427455640312821154458202477256070484 used in SplitShard() on shard shardId-000000000000 in stream s " +
			"under account 000000000000 is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's " +
			"EndingHashKey 113427455640312821154458202477256070484.", mhart + "/splitShard.js",
	},
	{
		"split on demand", "SplitShard", `{"StreamName":"demand","ShardToSplit":"shardId-0","NewStartingHashKey":"10"}`,
		validation, "Request is invalid. Stream demand under account 000000000000 is in On-Demand mode.", reference + "API_SplitShard.html",
	},
	{
		"retention under a day", "IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":23}`,
		invalid, "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short.",
		mhart + "/increaseStreamRetentionPeriod.js",
	},
	{
		"retention over a year", "IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":8761}`,
		invalid, "Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is too long.",
		reference + "API_IncreaseStreamRetentionPeriod.html",
	},
	{
		"retention increased downwards", "IncreaseStreamRetentionPeriod", `{"StreamName":"demand","RetentionPeriodHours":24}`,
		invalid, "Requested retention period (24 hours) for stream demand can not be shorter than existing retention period (48 hours). " +
			"Use DecreaseRetentionPeriod API.", mhart + "/increaseStreamRetentionPeriod.js",
	},
	{
		"retention decreased upwards", "DecreaseStreamRetentionPeriod", `{"StreamName":"demand","RetentionPeriodHours":49}`,
		invalid, "Requested retention period (49 hours) for stream demand can not be longer than existing retention period (48 hours). " +
			"Use IncreaseRetentionPeriod API.", mhart + "/decreaseStreamRetentionPeriod.js",
	},
	{
		"unsupported member", "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","StreamId":"x"}`,
		"NotSupportedByLocalaws", `request member "StreamId" is not supported by localaws`, "",
	},
	{
		"unsupported operation", "StartStreamEncryption", `{}`,
		"NotSupportedByLocalaws", "operation Kinesis_20131202.StartStreamEncryption is not supported by localaws", "",
	},
}

func TestBadRequestsAreRefusedInAWSsWords(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.ok("CreateStream", `{"StreamName":"s","ShardCount":3}`)
	a.ok("CreateStream", `{"StreamName":"demand","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`)
	a.ok("IncreaseStreamRetentionPeriod", `{"StreamName":"demand","RetentionPeriodHours":48}`)
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, message := api{t, a.k}.refused(tt.operation, tt.body)
			assert.Equal(t, tt.code, code, tt.source)
			assert.Equal(t, tt.message, message, tt.source)
		})
	}
	t.Cleanup(func() { // none of them had an effect
		w := a.do("ListShards", `{"StreamName":"s"}`)
		assert.Equal(t, 3, strings.Count(w.Body.String(), `"ShardId"`))
		for i := range 3 {
			it := a.ok("GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":"%d","ShardIteratorType":"TRIM_HORIZON"}`, i))
			got := a.ok("GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it["ShardIterator"]))
			assert.Empty(t, got["Records"])
		}
	})
}
