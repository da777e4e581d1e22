package e2e_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestReadModelsEqualTheFoldThroughReplacedStreams deletes the Kinesis stream and switches the table's stream off under load, and
// makes them anew: two replicas of each service go on without a restart.
func TestReadModelsEqualTheFoldThroughReplacedStreams(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"polling", "fanout"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { replaceStreams(t, map[string]string{"STREAM_MODE": mode, "STREAM_POLL": "200ms"}) })
		})
	}
}

func replaceStreams(t *testing.T, env map[string]string) {
	t.Helper()
	sys := systemtest.New(t, env)
	second := systemtest.On(t, sys.AWS.Config(), sys.AWS.Transport(), env, func(p *service.Platform) { p.Instance = "second-" + p.Instance })
	require.NoError(t, sys.AWS.SetFaults(likeAWS()))
	kinesisAnew := func(ready func()) { ready(); remakeKinesis(t, sys, 2) }
	tableAnew := func(ready func()) { ready(); switchStream(t, sys) }
	const commands = 1_500
	play := newPlay([]act{
		kinesisAnew,
		tableAnew,
		func(ready func()) { ready(); assert.NoError(t, sys.AWS.RotateShards(sys.Names.EventLog)) },
		tableAnew,
		func(ready func()) { ready(); remakeKinesis(t, sys, 1); switchStream(t, sys) },
		func(ready func()) { ready(); split(t, sys); time.Sleep(time.Second) },
		kinesisAnew, // its shard 0 has the ID of the one that was split, and is done
		func(ready func()) { ready() },
	}, commands)
	tr := newTraffic(sys.Client, 150, 8) // for some, the last event comes while there is no stream
	tr.between = play.cue
	go play.run()
	tr.send(t.Context(), t, 16, commands)
	play.end()
	fold, err := sys.Audit(t.Context())
	require.NoError(t, err)
	t.Logf("%d events", fold.Events)
	for _, each := range []struct {
		what     string
		of       []*systemtest.Service
		replaced float64
	}{
		{"Kinesis", []*systemtest.Service{sys.Broker, second.Broker}, 3},
		{"table", []*systemtest.Service{sys.Streamer, second.Streamer}, 3},
	} {
		noticed := 0.0
		for _, s := range each.of {
			noticed += sum(t, s, "leftfold_shards_source_replaced_total")
			assert.Equal(t, 1, s.Starts(), "%s was restarted", s.Name)
		}
		assert.GreaterOrEqual(t, noticed, each.replaced, each.what)
	}
}

// replacing is longer than readers need to notice that a stream has gone, or is another one.
const replacing = 12 * time.Second

func remakeKinesis(t *testing.T, sys *systemtest.System, shards int32) {
	client, name := kinesis.NewFromConfig(sys.AWS.Config()), aws.String(sys.Names.Stream)
	check := func(_ any, err error) { assert.NoError(t, err) } // require would end the wrong goroutine
	check(client.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: name, EnforceConsumerDeletion: aws.Bool(true)}))
	time.Sleep(replacing)
	check(client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: name, ShardCount: &shards}))
	time.Sleep(replacing)
}

func switchStream(t *testing.T, sys *systemtest.System) {
	set := func(s *dbtypes.StreamSpecification) {
		_, err := sys.DB.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: &sys.Names.EventLog, StreamSpecification: s})
		assert.NoError(t, err)
	}
	set(&dbtypes.StreamSpecification{StreamEnabled: aws.Bool(false)})
	time.Sleep(replacing)
	set(&dbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: dbtypes.StreamViewTypeNewImage})
	time.Sleep(replacing)
}

// TestAQueueMadeAnewIsFilledFromTheLog deletes a queue with messages that no one has received.
func TestAQueueMadeAnewIsFilledFromTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"})
		time.Sleep(replacing) // the broker knows its queues
		require.NoError(t, sys.ProjectorUser.Stop())
		const commands = 200
		newTraffic(sys.Client, 60, 8).send(t.Context(), t, 8, commands)
		time.Sleep(replacing)
		client := sqs.NewFromConfig(sys.AWS.Config())
		url, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &sys.Names.UserQueue})
		require.NoError(t, err)
		_, err = client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: url.QueueUrl})
		require.NoError(t, err)
		time.Sleep(61 * time.Second) // as long as SQS refuses the name
		require.NoError(t, provision.Run(t.Context(), sys.AWS.Config(), provision.Config{Names: sys.Names}))
		require.NoError(t, sys.ProjectorUser.Start(t.Context()))
		_, err = sys.Audit(t.Context())
		require.NoError(t, err)
		assert.InDelta(t, 1, sum(t, sys.Broker, "leftfold_shards_source_replaced_total"), 0)
	})
}
