package check_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// rights returns the rights of each service, as "action resource"; "of x" means only items with the partition key x.
func rights(mode string) map[string][]string {
	leases := func(consumer string) []string {
		return each("dynamodb:", "DescribeTable table/leases", "Query table/leases of "+consumer, "PutItem table/leases of "+consumer,
			"DeleteItem table/leases of "+consumer)
	}
	projector := func(table, queue string) []string {
		dlq := strings.TrimSuffix(queue, ".fifo") + "-dlq.fifo"
		return slices.Concat(
			each("dynamodb:", "DescribeTable table/EventLog", "Query table/EventLog"),
			each("dynamodb:", "DescribeTable "+table, "GetItem "+table, "PutItem "+table, "DeleteItem "+table, "ConditionCheckItem "+table),
			each("dynamodb:", "Scan "+table+"/index/*"),
			each("sqs:", "GetQueueUrl "+queue, "ReceiveMessage "+queue, "DeleteMessage "+queue, "ChangeMessageVisibility "+queue),
			each("sqs:", "GetQueueUrl "+dlq, "SendMessage "+dlq),
		)
	}
	reading := map[string][]string{
		"polling": each("kinesis:", "DescribeStreamSummary stream/event-source", "ListShards stream/event-source",
			"GetShardIterator stream/event-source", "GetRecords stream/event-source"),
		"fanout": each("kinesis:", "DescribeStreamSummary stream/event-source", "ListShards stream/event-source",
			"RegisterStreamConsumer stream/event-source",
			"DescribeStreamConsumer stream/event-source", "DescribeStreamConsumer stream/event-source/consumer/*",
			"SubscribeToShard stream/event-source", "SubscribeToShard stream/event-source/consumer/*"),
	}
	return map[string][]string{
		"command-api": each("dynamodb:",
			"DescribeTable table/EventLog", "Query table/EventLog", "PutItem table/EventLog", "ConditionCheckItem table/EventLog",
			"DescribeTable table/set-validations", "PutItem table/set-validations", "DeleteItem table/set-validations",
			"DescribeTable table/commands", "GetItem table/commands", "PutItem table/commands",
			"GetItem table/snapshots", "PutItem table/snapshots", "DeleteItem table/snapshots"),
		"streamer": slices.Concat(leases("streamer"),
			each("dynamodb:", "DescribeTable table/EventLog", "Scan table/EventLog"),
			each("dynamodb:", "DescribeStream table/EventLog/stream/*",
				"GetShardIterator table/EventLog/stream/*", "GetRecords table/EventLog/stream/*"),
			each("kinesis:", "DescribeStreamSummary stream/event-source", "PutRecords stream/event-source")),
		"broker": slices.Concat(leases("broker"), reading[mode], each("dynamodb:", "Scan table/EventLog"),
			each("sqs:", "GetQueueUrl queue/IamUserQueue.fifo", "SendMessage queue/IamUserQueue.fifo",
				"GetQueueUrl queue/IamRoleQueue.fifo", "SendMessage queue/IamRoleQueue.fifo")),
		"projector-user": slices.Concat(projector("table/projection-user", "queue/IamUserQueue.fifo"),
			each("dynamodb:", "BatchGetItem table/projection-user")), // names of roles
		"projector-role": slices.Concat(projector("table/projection-roles", "queue/IamRoleQueue.fifo"),
			each("dynamodb:", "Query table/projection-roles")), // its members
	}
}

// seldom is the rights, by prefix, that the scenario does not use, and what needs them.
var seldom = map[string]string{ //nolint:gochecknoglobals // read only
	"dynamodb:Scan table/EventLog":                 "a stream has trimmed unread records: hop.Hop.Republish",
	"dynamodb:DeleteItem table/snapshots":          "a snapshot proves wrong: dynamostore.Snapshots.Delete",
	"dynamodb:DeleteItem table/leases of ":         "a shard is gone: shards.DynamoDBLeases",
	"dynamodb:DeleteItem table/projection-user":    "an aggregate is redriven: projection.Projector.Redrive",
	"sqs:SendMessage queue/IamUserQueue-dlq":       "a message is undecodable: fifoqueue.Consumer",
	"sqs:SendMessage queue/IamRoleQueue-dlq":       "a message is undecodable: fifoqueue.Consumer",
	"sqs:ChangeMessageVisibility queue/":           "handling takes long, fails or is released: fifoqueue.Consumer",
	"kinesis:SubscribeToShard stream/event-source": "IAM checks the consumer, and its stream with it",
	"kinesis:DescribeStreamConsumer stream/event-": "IAM checks the consumer, and its stream with it",
}

func each(prefix string, rights ...string) []string {
	for i := range rights {
		rights[i] = prefix + rights[i]
	}
	return rights
}

// TestRolesHaveTheseRightsAndNoOthers compares Terraform's rights with the list above.
func TestRolesHaveTheseRightsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"polling", "fanout"} {
		granted := map[string][]string{}
		m := data(t, map[string]cty.Value{"stream_mode": cty.StringVal(mode)})
		for service, statements := range m.Outputs["access"].AsValueMap() {
			granted[service] = grants(statements)
		}
		want := rights(mode)
		require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(granted)))
		for service := range want {
			assert.ElementsMatch(t, want[service], granted[service], "%s, %s", service, mode)
		}
	}
}

func grants(statements cty.Value) (out []string) {
	for it := statements.ElementIterator(); it.Next(); {
		_, s := it.Element()
		of := ""
		if s.Type().HasAttribute("leading_keys") {
			of = " of " + strings.Join(check.Strings(s.GetAttr("leading_keys")), ",")
		}
		for _, action := range check.Strings(s.GetAttr("actions")) {
			for _, resource := range check.Strings(s.GetAttr("resources")) {
				out = append(out, action+" "+resource+of)
			}
		}
	}
	return out
}

// TestServicesNeedTheseRightsAndNoOthers records the calls of every service through a whole scenario.
func TestServicesNeedTheseRightsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"polling", "fanout"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			var calls recorder
			env := map[string]string{"SNAPSHOT_EVERY": "2", "STREAM_MODE": mode, "COMMAND_CACHE": "0"}
			s := systemtest.New(t, env, calls.record)
			ill := runScenario(t, s)
			operate(t, s, env, calls.record, ill)
			for service, may := range rights(mode) {
				used := calls.of(service)
				for _, right := range used {
					assert.Contains(t, may, right, "%s needs a right that it has not", service)
				}
				for _, right := range may {
					if !slices.Contains(used, right) {
						assert.True(t, isSeldom(right), "%s has the right %s and never uses it", service, right)
					}
				}
			}
		})
	}
}

func isSeldom(right string) bool {
	for prefix := range seldom {
		if strings.HasPrefix(right, prefix) {
			return true
		}
	}
	return false
}
