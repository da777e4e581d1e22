package shards_test

import (
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/shards/shardstest"
)

func TestConformanceOfKinesis(t *testing.T) {
	t.Parallel()
	for mode, open := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			shardstest.Run(t, func(t *testing.T, play func(*testing.T, shardstest.Subject[[]byte])) {
				synctest.Test(t, func(t *testing.T) {
					server, leases := newLocalAWS(t)
					play(t, shardstest.Kinesis(t, kinesis.NewFromConfig(server.Config()), "s", leases, open))
				})
			})
		})
	}
}

func TestConformanceOfDynamoDBStreams(t *testing.T) {
	t.Parallel()
	shardstest.Run(t, func(t *testing.T, play func(*testing.T, shardstest.Subject[shards.Image])) {
		synctest.Test(t, func(t *testing.T) {
			server, leases := newLocalAWS(t)
			db, streams := dynamodb.NewFromConfig(server.Config()), dynamodbstreams.NewFromConfig(server.Config())
			play(t, shardstest.DynamoDB(t, db, streams, "log", leases))
		})
	})
}

func TestConformanceOfLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, leases := newLocalAWS(t)
		shardstest.RunLeases(t, leases)
	})
	shardstest.RunLeases(t, newMemory())
}
