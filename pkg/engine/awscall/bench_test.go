package awscall_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
)

// accepting is an AWS that answers each write at once.
type accepting struct{}

func (accepting) Do(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, err
}

// put returns a function that puts an item the size of an event into an AWS that costs nothing.
func put(tb testing.TB, configure func(aws.Config) aws.Config) func() {
	tb.Helper()
	db := dynamodb.NewFromConfig(configure(aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: accepting{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret"}, nil
		}),
	}))
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	in := &dynamodb.PutItemInput{
		TableName: aws.String("log"), ConditionExpression: aws.String("attribute_not_exists(stream)"),
		Item: map[string]types.AttributeValue{
			"stream": text("org/iam/user/11111111-1111-4111-8111-111111111111"), "version": &types.AttributeValueMemberN{Value: "1"},
			"name": text("org/iam/user/registered"), "data": text(`{"email":"dan@example.com"}`), "recorded_at": text("2026-01-01T00:00:00.000Z"),
		},
	}
	return func() {
		_, err := db.PutItem(tb.Context(), in)
		require.NoError(tb, err)
	}
}

// BenchmarkPutItem is what the SDK costs without a network: on a stack that has grown, and on that of a new goroutine.
func BenchmarkPutItem(b *testing.B) {
	call := put(b, awscall.Configure)
	b.Run("same goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			call()
		}
	})
	b.Run("new goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				call()
			}()
			<-done
		}
	})
}

// A deadline is two contexts, a timer and a logger.
func TestADeadlineAllocatesLittle(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of the process
	unconfigured := func(cfg aws.Config) aws.Config { return cfg }
	own := testing.AllocsPerRun(1000, put(t, awscall.Configure)) - testing.AllocsPerRun(1000, put(t, unconfigured))
	assert.LessOrEqual(t, own, 20.0)
}
