package awsconfig_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

// answer is the response of AWS to one attempt: a status, the code of an error, or no response.
type answer struct {
	status int
	code   string
	away   bool
	silent bool
}

// script is an AWS that gives its answers in turn.
type script struct{ answers []answer }

func (s *script) Do(r *http.Request) (*http.Response, error) {
	a := s.answers[0]
	s.answers = s.answers[1:]
	if a.silent {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.away {
		return nil, errors.New("connection refused")
	}
	body := `{}`
	if a.code != "" {
		body = `{"__type":"com.amazonaws.dynamodb.v20120810#` + a.code + `","message":"no"}`
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(body)),
	}, nil
}

// config does not wait between attempts.
func config(client aws.HTTPClient, retryer aws.Retryer) aws.Config {
	return aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: client,
		Credentials: aws.AnonymousCredentials{}, Retryer: func() aws.Retryer { return retryer },
	}
}

func calls(lines ...string) string {
	return "# HELP aws_calls_total Attempts of AWS calls by what came of them.\n" +
		"# TYPE aws_calls_total counter\n" + strings.Join(lines, "\n") + "\n"
}

func TestEveryAttemptIsCountedByItsOutcome(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  answer
		outcome string
	}{
		"an answer":           {answer{status: 200}, "ok"},
		"a failed condition":  {answer{status: 400, code: "ConditionalCheckFailedException"}, "refused"},
		"a missing table":     {answer{status: 400, code: "ResourceNotFoundException"}, "refused"},
		"too many requests":   {answer{status: 400, code: "ProvisionedThroughputExceededException"}, "throttled"},
		"throttling":          {answer{status: 400, code: "ThrottlingException"}, "throttled"},
		"a fault of AWS":      {answer{status: 500, code: "InternalServerError"}, "failed"},
		"a gateway's failure": {answer{status: 502}, "failed"},
		"no connection":       {answer{away: true}, "failed"},
		"no answer":           {answer{silent: true}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				registry := prometheus.NewRegistry()
				cfg := awsconfig.Instrument(awscall.Configure(config(&script{[]answer{tt.answer}}, aws.NopRetryer{})), registry, nil)
				_, err := dynamodb.NewFromConfig(cfg).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("log")})
				assert.Equal(t, tt.outcome == "ok", err == nil, "%v", err)
				require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(calls(
					`aws_calls_total{api="DynamoDB",operation="DescribeTable",outcome="`+tt.outcome+`"} 1`,
				))))
			})
		})
	}
}

// again tries three times without a pause.
type again struct{ aws.NopRetryer }

func (again) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
func (again) MaxAttempts() int                             { return 3 }
func (again) IsErrorRetryable(error) bool                  { return true }

func TestCallsAreCountedByServiceAndAttempt(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	throttled := answer{status: 400, code: "ThrottlingException"}
	cfg := awsconfig.Instrument(config(&script{[]answer{throttled, throttled, {status: 200}, {status: 200}}}, again{}), registry, nil)
	_, err := dynamodb.NewFromConfig(cfg).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("log")})
	require.NoError(t, err)
	_, err = sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q")})
	require.NoError(t, err)
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(calls(
		`aws_calls_total{api="DynamoDB",operation="DescribeTable",outcome="ok"} 1`,
		`aws_calls_total{api="DynamoDB",operation="DescribeTable",outcome="throttled"} 2`,
		`aws_calls_total{api="SQS",operation="GetQueueUrl",outcome="ok"} 1`,
	))))
}

func TestTheGivenConfigurationIsNotModified(t *testing.T) {
	t.Parallel()
	cfg := config(&script{}, aws.NopRetryer{})
	assert.Len(t, awsconfig.Instrument(cfg, prometheus.NewRegistry(), nil).APIOptions, 1)
	assert.Empty(t, cfg.APIOptions)
}

func TestTheSDKsLogLinesKeepTheirLevel(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := awsconfig.Logger(slog.New(slog.NewTextHandler(&out, nil)))
	log.Logf(logging.Debug, "attempt %d", 1)
	assert.Empty(t, out.String())
	log.Logf(logging.Warn, "attempt %d", 2)
	assert.Contains(t, out.String(), `level=WARN msg="aws sdk" detail="attempt 2"`)
}

func TestLoadRequiresARegion(t *testing.T) { // sets the environment: not in parallel
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_PROFILE", "")
	_, err := awsconfig.Load(t.Context())
	require.EqualError(t, err, "AWS_REGION is not set")

	t.Setenv("AWS_REGION", "eu-west-1")
	cfg, err := awsconfig.Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "eu-west-1", cfg.Region)

	t.Setenv("AWS_PROFILE", "unknown")
	_, err = awsconfig.Load(t.Context())
	require.ErrorContains(t, err, "load AWS configuration")
}
