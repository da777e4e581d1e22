package provision_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaults returns the names for an empty environment.
func defaults(t *testing.T) (n topology.Names) {
	t.Helper()
	require.NoError(t, service.LoadConfig(service.Fixed(nil), &n))
	return n
}

type world struct {
	t  *testing.T
	db *dynamodb.Client
	k  *kinesis.Client
	q  *sqs.Client
}

// provisioned is an empty AWS after Run, and after a second Run, which must change nothing.
func provisioned(t *testing.T, c provision.Config) world {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	require.NoError(t, provision.Run(t.Context(), server.Config(), c))
	require.NoError(t, provision.Run(t.Context(), server.Config(), c), "it is safe to run again")
	return world{
		t, dynamodb.NewFromConfig(server.Config()), kinesis.NewFromConfig(server.Config()), sqs.NewFromConfig(server.Config()),
	}
}

func (w world) attributes(queue string) (url string, attributes map[string]string) {
	w.t.Helper()
	found, err := w.q.GetQueueUrl(w.t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	require.NoError(w.t, err, queue)
	out, err := w.q.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: found.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
	})
	require.NoError(w.t, err)
	return *found.QueueUrl, out.Attributes
}

func TestEveryResourceIsUsable(t *testing.T) {
	t.Parallel()
	n := defaults(t)
	w := provisioned(t, provision.Config{Names: n})
	list, err := w.db.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	tables := []string{
		"EventLog", "set-validations", "scopes", "commands", "snapshots", "leases", "set-aside", "projection-generations", "timers",
	}
	for _, c := range n.Consumers() {
		tables = append(tables, c.Table)
	}
	assert.ElementsMatch(t, tables, list.TableNames)
	for _, table := range list.TableNames {
		require.NoError(t, awsconfig.TableCheck(w.db, table).Probe(t.Context()), table)
	}
	require.NoError(t, awsconfig.StreamCheck(w.k, "event-source").Probe(t.Context()))
	shards, err := w.k.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("event-source")})
	require.NoError(t, err)
	assert.Len(t, shards.Shards, 2)
	for _, c := range n.Consumers() {
		url, _ := w.attributes(c.Queue)
		_, err := w.q.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String("{}"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("1"),
		})
		require.NoError(t, err)
	}
}

func TestTheLogStreamsItsNewImages(t *testing.T) {
	t.Parallel()
	w := provisioned(t, provision.Config{Names: defaults(t)})
	out, err := w.db.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("EventLog")})
	require.NoError(t, err)
	assert.Equal(t, dynamodbtypes.StreamViewTypeNewImage, out.Table.StreamSpecification.StreamViewType)
	assert.NotEmpty(t, aws.ToString(out.Table.LatestStreamArn))
}

func TestCommandResultsExpire(t *testing.T) {
	t.Parallel()
	w := provisioned(t, provision.Config{Names: defaults(t)})
	out, err := w.db.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("commands")})
	require.NoError(t, err)
	assert.Equal(t, dynamodbtypes.TimeToLiveStatusEnabled, out.TimeToLiveDescription.TimeToLiveStatus)
	assert.NotEmpty(t, aws.ToString(out.TimeToLiveDescription.AttributeName))
}

func TestQueuesAreFIFOAtHighThroughputWithADeadLetterQueueEach(t *testing.T) {
	t.Parallel()
	w := provisioned(t, provision.Config{Names: defaults(t)})
	for queue, deadLetters := range map[string]string{
		"IamUserQueue.fifo": "IamUserQueue-dlq.fifo", "IamRoleQueue.fifo": "IamRoleQueue-dlq.fifo",
	} {
		_, got := w.attributes(queue)
		_, dead := w.attributes(deadLetters)
		for _, a := range []map[string]string{got, dead} {
			assert.Equal(t, "true", a["FifoQueue"])
			assert.Equal(t, "messageGroup", a["DeduplicationScope"])
			assert.Equal(t, "perMessageGroupId", a["FifoThroughputLimit"])
		}
		var redrive struct {
			DeadLetterTargetArn string `json:"deadLetterTargetArn"`
		}
		require.NoError(t, json.Unmarshal([]byte(got["RedrivePolicy"]), &redrive))
		assert.Equal(t, dead["QueueArn"], redrive.DeadLetterTargetArn)
		assert.Empty(t, dead["RedrivePolicy"], "nothing lies behind it")
	}
}

func TestNamesAndShardsAreConfigurable(t *testing.T) {
	t.Parallel()
	var n topology.Names
	require.NoError(t, service.LoadConfig(func(variable string) (string, bool) {
		if strings.HasPrefix(variable, "QUEUE_") {
			variable += ".fifo"
		}
		return "a-" + variable, true
	}, &n))
	w := provisioned(t, provision.Config{Names: n, StreamShards: 3})
	list, err := w.db.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	var tables []string
	for _, v := range service.Variables(&n) {
		if strings.HasPrefix(v.Name, "TABLE_") {
			tables = append(tables, "a-"+v.Name)
		}
	}
	assert.ElementsMatch(t, tables, list.TableNames)
	shards, err := w.k.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("a-STREAM_EVENTS")})
	require.NoError(t, err)
	assert.Len(t, shards.Shards, 3)
	w.attributes("a-QUEUE_IAM_USER-dlq.fifo")
	w.attributes("a-QUEUE_IAM_ROLE-dlq.fifo")
}

func TestAnExistingQueueKeepsItsAttributes(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	w := world{t: t, q: sqs.NewFromConfig(server.Config())}
	_, err := w.q.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("IamUserQueue.fifo"), Attributes: map[string]string{"FifoQueue": "true", "VisibilityTimeout": "7"},
	})
	require.NoError(t, err)
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: defaults(t)}))
	_, got := w.attributes("IamUserQueue.fifo")
	assert.Equal(t, "7", got["VisibilityTimeout"])
}

func TestAResourceThatCannotBeCreatedIsNamed(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*topology.Names){
		"create table x/y":  func(n *topology.Names) { n.EventLog = "x/y" },
		"create stream x/y": func(n *topology.Names) { n.Stream = "x/y" },
		"create queue x/y":  func(n *topology.Names) { n.UserQueue = "x/y.fifo" },
	} {
		server := localaws.New(localaws.Options{})
		t.Cleanup(server.Close)
		n := defaults(t)
		spoil(&n)
		require.ErrorContains(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: n}), want)
	}
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.ErrorIs(t, provision.Run(ctx, server.Config(), provision.Config{Names: defaults(t)}), context.Canceled)
}
