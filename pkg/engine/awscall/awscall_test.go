package awscall_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent is an AWS that never answers.
type silent struct{ calls atomic.Int64 }

func (s *silent) Do(r *http.Request) (*http.Response, error) {
	s.calls.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func config(client aws.HTTPClient) aws.Config {
	return awscall.Configure(aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: client, Credentials: aws.AnonymousCredentials{},
	})
}

func once(cfg aws.Config) aws.Config {
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return cfg
}

func TestEachAttemptEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		call func(context.Context, aws.Config) error
		want awscall.TimeoutError
	}{
		"a small call": {func(ctx context.Context, cfg aws.Config) error {
			_, err := sqs.NewFromConfig(cfg).GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
			return err
		}, awscall.TimeoutError{Operation: "SQS.GetQueueUrl", Limit: 3 * time.Second}},
		"a long poll": {func(ctx context.Context, cfg aws.Config) error {
			_, err := sqs.NewFromConfig(cfg).ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String("q"), WaitTimeSeconds: 20})
			return err
		}, awscall.TimeoutError{Operation: "SQS.ReceiveMessage", Limit: 23 * time.Second}},
		"the beginning of a subscription": {func(ctx context.Context, cfg aws.Config) error {
			_, err := kinesis.NewFromConfig(cfg).SubscribeToShard(ctx, subscription("arn:aws:kinesis:eu-west-1:1:stream/s/consumer/c:1"))
			return err
		}, awscall.TimeoutError{Operation: "Kinesis.SubscribeToShard", Limit: 5 * time.Second}},
		"an operation that nobody has thought of": {func(ctx context.Context, cfg aws.Config) error {
			_, err := kinesis.NewFromConfig(cfg).ListStreams(ctx, &kinesis.ListStreamsInput{})
			return err
		}, awscall.TimeoutError{Operation: "Kinesis.ListStreams", Limit: 10 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				cfg := once(config(&silent{}))
				cfg.Logger = logging.NewStandardLogger(&log)
				began := time.Now()
				err := tt.call(t.Context(), cfg)
				var got *awscall.TimeoutError
				require.ErrorAs(t, err, &got)
				assert.Equal(t, tt.want, *got)
				assert.Equal(t, tt.want.Limit, time.Since(began))
				assert.Contains(t, log.String(), got.Error())
			})
		})
	}
}

func TestTheSDKRepeatsAnAttemptThatGotNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var aws silent
		_, err := dynamodb.NewFromConfig(config(&aws)).ListTables(t.Context(), &dynamodb.ListTablesInput{})
		require.ErrorContains(t, err, "exceeded maximum number of attempts, 3")
		assert.Equal(t, int64(3), aws.calls.Load())
	})
}

func TestACallersCancellationIsNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var aws silent
		_, err := dynamodb.NewFromConfig(config(&aws)).ListTables(ctx, &dynamodb.ListTablesInput{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var late *awscall.TimeoutError
		assert.NotErrorAs(t, err, &late)
		assert.Equal(t, int64(1), aws.calls.Load())
	})
}

func subscription(consumer string) *kinesis.SubscribeToShardInput {
	return &kinesis.SubscribeToShardInput{
		ConsumerARN: &consumer, ShardId: aws.String("shardId-000000000000"),
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
	}
}

func TestASubscriptionOutlivesTheDeadlineOfItsBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{})
		defer server.Close()
		k := kinesis.NewFromConfig(awscall.Configure(server.Config()))
		_, err := k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(1)})
		require.NoError(t, err)
		stream, err := k.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("events")})
		require.NoError(t, err)
		made, err := k.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{
			StreamARN: stream.StreamDescriptionSummary.StreamARN, ConsumerName: aws.String("reader"),
		})
		require.NoError(t, err)
		<-time.After(time.Minute) // it is being created
		ctx, end := context.WithCancel(t.Context())
		defer end()
		out, err := k.SubscribeToShard(ctx, subscription(*made.Consumer.ConsumerARN))
		require.NoError(t, err)
		defer func() { _ = out.GetStream().Close() }()
		until := time.After(time.Minute)
		for open := true; open; {
			select {
			case _, ok := <-out.GetStream().Events():
				require.True(t, ok, "%v", out.GetStream().Err())
			case <-until:
				open = false
			}
		}
	})
}

// TestNoOperationIsWithoutALimitOfItsOwn: a further operation needs a decision how long it may take.
func TestNoOperationIsWithoutALimitOfItsOwn(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("limits.go")
	require.NoError(t, err)
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([\w ]+\.\w+)": +(quick|bulk|control)`).FindAllStringSubmatch(string(table), -1) {
		listed[m[1]] = true
	}
	services := map[string]string{
		"dynamodb": "DynamoDB", "dynamodbstreams": "DynamoDB Streams", "kinesis": "Kinesis", "sqs": "SQS", "sts": "STS",
	}
	input := regexp.MustCompile(`&(\w+)\.([A-Z]\w+)Input\{`)
	found := 0
	for _, dir := range []string{"../..", "../../../services"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if e.IsDir() && (e.Name() == "localaws" || strings.HasSuffix(e.Name(), "test")) {
				return filepath.SkipDir
			}
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, m := range input.FindAllStringSubmatch(string(source), -1) {
				if service, ok := services[m[1]]; ok {
					found++
					assert.Contains(t, listed, service+"."+m[2], "%s calls it", path)
				}
			}
			return err
		}))
	}
	assert.Greater(t, found, 30, "calls in the sources")
}

// broken answers with the beginning of a page, as DynamoDB does. Who reads on is no longer waited for.
type broken struct{ leave func() }

func (b broken) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"X-Amz-Crc32": {"1"}},
		Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"TableNames":[`), readerFunc(func([]byte) (int, error) {
			b.leave()
			<-r.Context().Done()
			return 0, r.Context().Err()
		}))),
	}, nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// An answer that nobody waits for any more is not said to be corrupt.
func TestTheRestOfAnEndedAttemptIsNotLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cfg := once(config(broken{cancel}))
		cfg.Logger = logging.NewStandardLogger(&log)
		_, err := dynamodb.NewFromConfig(cfg).ListTables(ctx, &dynamodb.ListTablesInput{})
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, log.String())
	})
}

// wrong answers with a page whose checksum is another's.
type wrong struct{}

func (wrong) Do(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"X-Amz-Crc32": {"1"}}, Body: io.NopCloser(strings.NewReader(`{"TableNames":[]}`)),
	}, nil
}

func TestAnAnswerWithAWrongChecksumIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := once(config(wrong{}))
	cfg.Logger = logging.NewStandardLogger(&log)
	_, err := dynamodb.NewFromConfig(cfg).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	assert.Contains(t, log.String(), "did not match expected checksum")
}
