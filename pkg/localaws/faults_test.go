package localaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// faulty is a server and clients that do not retry, so that the tests see every error.
type faulty struct {
	*localaws.Server

	db      *dynamodb.Client
	changes *dynamodbstreams.Client
	kinesis *kinesis.Client
	sqs     *sqs.Client
}

func newFaulty(t *testing.T) faulty {
	t.Helper()
	server := localaws.New(localaws.Options{Seed: 1})
	t.Cleanup(server.Close)
	config := server.Config()
	config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return faulty{
		server, dynamodb.NewFromConfig(config), dynamodbstreams.NewFromConfig(config), kinesis.NewFromConfig(config), sqs.NewFromConfig(config),
	}
}

func (f faulty) set(t *testing.T, faults ...localaws.Fault) {
	t.Helper()
	require.NoError(t, f.SetFaults(localaws.Faults{Faults: faults}))
}

// strikes returns how often the only fault struck.
func (f faulty) strikes(t *testing.T) map[string]int64 {
	t.Helper()
	report := f.FaultReport()
	require.Len(t, report.Faults, 1)
	return report.Faults[0].Strikes
}

func always(kind localaws.FaultKind, operation string) localaws.Fault {
	return localaws.Fault{Kind: kind, Operation: operation, Probability: 1}
}

func once(kind localaws.FaultKind, operation string) localaws.Fault {
	return localaws.Fault{Kind: kind, Operation: operation, Probability: 1, Limit: 1}
}

func errorCode(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

func statusOf(err error) int {
	if e, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return e.HTTPStatusCode()
	}
	return 0
}

func (f faulty) putThing(ctx context.Context, id string) error {
	_, err := f.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("things"), Item: avs{"pk": str(id)}})
	return err
}

func (f faulty) has(t *testing.T, id string) bool {
	t.Helper()
	return get(t, f.db, "things", avs{"pk": str(id)}) != nil
}

func TestThrottleHasNoEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		stream := createTable(t, f.db, "things", false)
		f.set(t, always(localaws.FaultThrottle, "*"))
		codes := map[string]bool{}
		for range 40 {
			codes[errorCode(f.putThing(t.Context(), "a"))] = true
		}
		assert.Equal(t, map[string]bool{
			"ProvisionedThroughputExceededException": true, "ThrottlingException": true, "RequestLimitExceeded": true,
		}, codes)
		for _, tt := range []struct {
			code string
			call func() error
		}{
			{"ThrottlingException", func() error {
				_, err := f.changes.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: &stream})
				return err
			}},
			{"ProvisionedThroughputExceededException", func() error {
				_, err := f.kinesis.PutRecord(t.Context(), &kinesis.PutRecordInput{
					StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("x"),
				})
				return err
			}},
			{"LimitExceededException", func() error {
				_, err := f.kinesis.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
				return err
			}},
			{"RequestThrottled", func() error {
				_, err := f.sqs.ListQueues(t.Context(), &sqs.ListQueuesInput{})
				return err
			}},
		} {
			err := tt.call()
			assert.Equal(t, tt.code, errorCode(err))
			assert.Equal(t, http.StatusBadRequest, statusOf(err))
		}
		assert.Equal(t, map[string]int64{
			"DynamoDB.PutItem": 40, "DynamoDBStreams.DescribeStream": 1, "Kinesis.PutRecord": 1, "Kinesis.ListShards": 1, "AmazonSQS.ListQueues": 1,
		}, f.strikes(t))
		f.set(t)
		assert.False(t, f.has(t, "a"), "a throttled write has no effect")
	})
}

// The SDK's own retries overcome transient faults.
func TestTheSDKRetriesFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		for _, kind := range []localaws.FaultKind{localaws.FaultThrottle, localaws.FaultFail, localaws.FaultLoseAnswer} {
			f.set(t, localaws.Fault{Kind: kind, Operation: "DynamoDB.PutItem", Probability: 1, Limit: 2})
			before := f.Calls()["DynamoDB.PutItem"]
			put(t, dynamodb.NewFromConfig(f.Config()), "things", avs{"pk": str(string(kind))})
			assert.EqualValues(t, 3, f.Calls()["DynamoDB.PutItem"]-before)
			assert.True(t, f.has(t, string(kind)))
		}
	})
}

func TestFailHasNoEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		f.set(t, always(localaws.FaultFail, "*"))
		err := f.putThing(t.Context(), "a")
		_, ok := errors.AsType[*types.InternalServerError](err)
		assert.True(t, ok, err)
		assert.Equal(t, http.StatusInternalServerError, statusOf(err))
		_, err = f.kinesis.ListStreams(t.Context(), &kinesis.ListStreamsInput{})
		assert.Equal(t, "InternalFailure", errorCode(err))
		assert.Equal(t, http.StatusInternalServerError, statusOf(err))
		_, err = f.sqs.ListQueues(t.Context(), &sqs.ListQueuesInput{})
		assert.Equal(t, "InternalFailure", errorCode(err))
		assert.Equal(t, http.StatusInternalServerError, statusOf(err))
		f.set(t)
		assert.False(t, f.has(t, "a"))
	})
}

func TestLoseAnswerKeepsTheEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		f.set(t, always(localaws.FaultLoseAnswer, "DynamoDB.PutItem"))
		broken, failed := 0, 0
		for i := range 20 {
			id := string(rune('a' + i))
			switch err := f.putThing(t.Context(), id); {
			case errors.Is(err, io.ErrUnexpectedEOF):
				broken++
			case statusOf(err) == http.StatusInternalServerError && errorCode(err) == "InternalServerError":
				failed++
			default:
				require.Fail(t, "neither broken nor failed", "%v", err)
			}
			assert.True(t, f.has(t, id), "it took effect")
		}
		assert.Greater(t, broken, 3)
		assert.Greater(t, failed, 3)
		assert.Equal(t, map[string]int64{"DynamoDB.PutItem": 20}, f.strikes(t))
	})
}

func TestSilenceLastsUntilTheClientGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		f.set(t, always(localaws.FaultSilence, "DynamoDB.PutItem"))
		effects := 0
		for i := range 20 {
			id := string(rune('a' + i))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			began := time.Now()
			require.ErrorIs(t, f.putThing(ctx, id), context.DeadlineExceeded)
			cancel()
			assert.Equal(t, time.Hour, time.Since(began))
			if f.has(t, id) {
				effects++
			}
		}
		assert.Greater(t, effects, 3)
		assert.Less(t, effects, 17)
		assert.Equal(t, map[string]int64{"DynamoDB.PutItem": 20}, f.strikes(t))
	})
}

func TestLoseAnswerBreaksTheConnectionOverHTTP(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	ts := httptest.NewServer(server)
	t.Cleanup(ts.Close)
	config := server.Config()
	config.BaseEndpoint, config.HTTPClient = &ts.URL, ts.Client()
	config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	client := sqs.NewFromConfig(config)
	url := sqsCreate(t, client, "q.fifo")
	require.NoError(t, server.SetFaults(localaws.Faults{Faults: []localaws.Fault{always(localaws.FaultLoseAnswer, "AmazonSQS.SendMessage")}}))
	broken, failed := 0, 0
	for i := range 20 {
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("hello"), MessageGroupId: aws.String("g"),
			MessageDeduplicationId: aws.String(string(rune('a' + i))),
		})
		require.Error(t, err)
		if statusOf(err) == http.StatusInternalServerError {
			failed++
		} else {
			require.ErrorIs(t, err, io.EOF)
			broken++
		}
	}
	assert.Greater(t, broken, 3)
	assert.Greater(t, failed, 3)
	got, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages"},
	})
	require.NoError(t, err)
	assert.Equal(t, "20", got.Attributes["ApproximateNumberOfMessages"], "all took effect")
}

func TestLatencyDelaysBeforeAndAfterTheEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		slow := always(localaws.FaultLatency, "DynamoDB.PutItem")
		slow.Min, slow.Max = localaws.Duration(2*time.Second), localaws.Duration(10*time.Second)
		f.set(t, slow)
		shortest, longest := time.Hour, time.Duration(0)
		for range 100 {
			start := time.Now()
			require.NoError(t, f.putThing(t.Context(), "a"))
			took := time.Since(start)
			shortest, longest = min(shortest, took), max(longest, took)
		}
		assert.GreaterOrEqual(t, shortest, 2*time.Second)
		assert.LessOrEqual(t, longest, 10*time.Second)
		assert.Greater(t, longest-shortest, 7*time.Second, "anything between")

		// A client that gives up after a second may or may not have written.
		written := 0
		for i := range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start, id := time.Now(), "impatient "+string(rune('a'+i))
			require.ErrorIs(t, f.putThing(ctx, id), context.DeadlineExceeded)
			assert.Equal(t, time.Second, time.Since(start))
			cancel()
			if f.has(t, id) {
				written++
			}
		}
		assert.Greater(t, written, 5)
		assert.Less(t, written, 50)
	})
}

func TestFaultsAreReproducedByTheirSeed(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, seed uint64) (out string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f := newFaulty(t)
			createTable(t, f.db, "things", false)
			require.NoError(t, f.SetFaults(localaws.Faults{Seed: seed, Faults: []localaws.Fault{
				{Kind: localaws.FaultThrottle, Operation: "DynamoDB.*", Probability: 0.2},
				{Kind: localaws.FaultLoseAnswer, Operation: "*", Probability: 0.2},
				{Kind: localaws.FaultLatency, Operation: "DynamoDB.PutItem", Probability: 0.5, Max: localaws.Duration(time.Second)},
			}}))
			start := time.Now()
			for i := range 100 {
				err := f.putThing(t.Context(), string(rune('a'+i)))
				out += errorCode(err) + time.Since(start).String() + "\n"
			}
			report, err := json.Marshal(f.FaultReport())
			require.NoError(t, err)
			out += string(report)
		})
		return out
	}
	first := run(t, 5)
	assert.Equal(t, first, run(t, 5))
	assert.NotEqual(t, first, run(t, 6))
	assert.Equal(t, run(t, 1), run(t, 0), "the seed of the options is the default")
}

func own(t *testing.T, server http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/_localaws/"+path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestFaultsAreSetAndReportedOverHTTP(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	status, body := own(t, server, http.MethodGet, "faults", "")
	assert.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"seed":0,"faults":[]}`, body)

	const document = `{"seed":9,"faults":[
		{"fault":"throttle","operation":"Kinesis.*","probability":1,"limit":2,"until":"2999-01-01T00:00:00Z"},
		{"fault":"latency","operation":"*","probability":0.5,"min":"1ms","max":"1.5s"}]}`
	status, body = own(t, server, http.MethodPut, "faults", document)
	assert.Equal(t, http.StatusNoContent, status, body)
	for range 3 {
		call(t, server, http.MethodPost, "Kinesis_20131202.PutRecord", strings.NewReader("{}"))
	}
	_, body = own(t, server, http.MethodGet, "faults", "")
	var report localaws.FaultReport
	require.NoError(t, json.Unmarshal([]byte(body), &report))
	assert.Equal(t, map[string]int64{"Kinesis.PutRecord": 2}, report.Faults[0].Strikes)
	for i := range report.Faults {
		report.Faults[i].Strikes = nil
	}
	shown, err := json.Marshal(report)
	require.NoError(t, err)
	assert.JSONEq(
		t, strings.NewReplacer(`"limit":2`, `"limit":2,"strikes":null`, `"min"`, `"strikes":null,"min"`).Replace(document), string(shown),
	)

	for _, bad := range []struct{ body, says string }{
		{`{"faults":[{"fault":"throttle","operation":"Kinesis.PutRecrd","probability":1}]}`, "Kinesis.PutRecords"},
		{`{"faults":[{"fault":"slow","operation":"*","probability":1}]}`, "the faults are deny, duplicate, expire_iterator"},
		{`{"faults":[{"fault":"fail","operation":"*","probability":7}]}`, "probability 7"},
		{`{"faults":[{"fault":"fail","operation":"*"}]}`, "probability 0"},
		{`{"faults":[{"fault":"fail","operation":"*","probability":1,"chance":1}]}`, "chance"},
		{`{"faults":[{"fault":"latency","operation":"*","probability":1,"max":"soon"}]}`, "soon"},
		{`{"faults":[]} {}`, "more than one"},
		{``, "no body"},
		{`[]`, "cannot unmarshal array"},
	} {
		status, body = own(t, server, http.MethodPut, "faults", bad.body)
		assert.Equal(t, http.StatusBadRequest, status)
		assert.Contains(t, body, bad.says)
	}
	assert.Len(t, server.FaultReport().Faults, 2, "what was refused changes nothing")

	status, _ = own(t, server, http.MethodDelete, "faults", "")
	assert.Equal(t, http.StatusNoContent, status)
	assert.Empty(t, server.FaultReport().Faults)
	status, body = own(t, server, http.MethodPost, "faults", "{}")
	assert.Equal(t, http.StatusNotImplemented, status)
	assert.Contains(t, body, "POST /_localaws/faults is not supported")
}

// Without faults, and with faults of other operations, a call makes the same number of allocations.
func TestFaultsOfOtherOperationsCostNothing(t *testing.T) { //nolint:paralleltest // counts allocations
	server := newServer(t)
	w := httptest.NewRecorder()
	body := strings.NewReader("{}")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", io.NopCloser(body))
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
	// The fewest of many calls: the race detector makes a sync.Pool forget at random, and then a call makes more.
	allocations := func() float64 {
		fewest := math.Inf(1)
		for range 200 {
			fewest = min(fewest, testing.AllocsPerRun(1, func() {
				body.Reset("{}")
				w.Body.Reset()
				server.ServeHTTP(w, r)
			}))
		}
		return fewest
	}
	before := allocations()
	require.NoError(t, server.SetFaults(localaws.Faults{Faults: []localaws.Fault{always(localaws.FaultFail, "Kinesis.PutRecord")}}))
	assert.InDelta(t, before, allocations(), 0)
	require.NoError(t, server.SetFaults(localaws.Faults{}))
	assert.InDelta(t, before, allocations(), 0)
}
