package check_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
)

const root = "../../.."

func defaults(t *testing.T) (n topology.Names) {
	t.Helper()
	require.NoError(t, service.LoadConfig(service.Fixed(nil), &n))
	return n
}

// arns returns the ARN and id of a resource, without partition, region and account.
func arns(kind, name, _ string, b check.Block) map[string]cty.Value {
	arn := func(what string) map[string]cty.Value { return map[string]cty.Value{"arn": cty.StringVal(what)} }
	switch kind {
	case "aws_dynamodb_table":
		return arn("table/" + b.Text("name"))
	case "aws_kinesis_stream":
		return arn("stream/" + b.Text("name"))
	case "aws_sqs_queue":
		return map[string]cty.Value{"arn": cty.StringVal("queue/" + b.Text("name")), "id": cty.StringVal(b.Text("name"))}
	case "aws_s3_bucket":
		return map[string]cty.Value{"arn": cty.StringVal(b.Text("bucket")), "id": cty.StringVal(b.Text("bucket"))}
	case "aws_caller_identity":
		return map[string]cty.Value{"account_id": cty.StringVal("123456789012")}
	case "aws_partition":
		return map[string]cty.Value{"partition": cty.StringVal("aws")}
	case "aws_region":
		return map[string]cty.Value{"region": cty.StringVal("eu-central-1")}
	case "aws_iam_policy_document":
		return map[string]cty.Value{"json": cty.StringVal("{}")}
	default:
		return map[string]cty.Value{
			"arn": cty.StringVal(kind + "/" + name), "id": cty.StringVal(kind + "/" + name), "key_id": cty.StringVal(name),
		}
	}
}

func evaluate(t *testing.T, module string, vars map[string]cty.Value) *check.Module {
	t.Helper()
	m, err := check.Evaluate(filepath.Join(root, "deploy/terraform", module), vars, arns)
	require.NoError(t, err)
	return m
}

// data returns the module data, all of which can be evaluated.
func data(t *testing.T, vars map[string]cty.Value) *check.Module {
	t.Helper()
	m := evaluate(t, "modules/data", vars)
	require.Empty(t, m.Blind)
	return m
}

// table is what both sides declare of a table.
type table struct {
	Billing        string
	Keys           map[string]string // attribute, by kind of key
	Attributes     map[string]string // type, by name
	Indexes        map[string]string // "attribute kind projection", by name
	StreamView     string
	ExpiresAt      string
	IndexedByRange bool
}

// TestTablesAreThoseOfProvision compares every table with the one that provision creates.
func TestTablesAreThoseOfProvision(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: defaults(t)}))
	db := dynamodb.NewFromConfig(server.Config())
	list, err := db.ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	want := map[string]table{}
	for _, name := range list.TableNames {
		want[name] = provisioned(t, db, name)
	}
	got := map[string]table{}
	for _, b := range data(t, nil).Resources["aws_dynamodb_table"]["this"] {
		got[b.Text("name")] = terraformed(b)
	}
	assert.Equal(t, want, got)
}

func provisioned(t *testing.T, db *dynamodb.Client, name string) table {
	t.Helper()
	out, err := db.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	require.NoError(t, err)
	expiry, err := db.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	require.NoError(t, err)
	d := out.Table
	is := table{
		Billing: string(d.BillingModeSummary.BillingMode), Keys: keys(d.KeySchema), Attributes: map[string]string{}, Indexes: map[string]string{},
		ExpiresAt: aws.ToString(expiry.TimeToLiveDescription.AttributeName),
	}
	for _, a := range d.AttributeDefinitions {
		is.Attributes[*a.AttributeName] = string(a.AttributeType)
	}
	for _, i := range d.GlobalSecondaryIndexes {
		k := keys(i.KeySchema)
		is.IndexedByRange = is.IndexedByRange || k["RANGE"] != ""
		is.Indexes[*i.IndexName] = k["HASH"] + " " + string(i.Projection.ProjectionType)
	}
	if d.StreamSpecification != nil && aws.ToBool(d.StreamSpecification.StreamEnabled) {
		is.StreamView = string(d.StreamSpecification.StreamViewType)
	}
	return is
}

func keys(schema []types.KeySchemaElement) map[string]string {
	out := map[string]string{}
	for _, k := range schema {
		out[string(k.KeyType)] = *k.AttributeName
	}
	return out
}

func terraformed(b check.Block) table {
	is := table{
		Billing: b.Text("billing_mode"), Keys: map[string]string{"HASH": b.Text("hash_key")},
		Attributes: map[string]string{}, Indexes: map[string]string{},
	}
	if sort := b.Text("range_key"); sort != "" {
		is.Keys["RANGE"] = sort
	}
	for _, a := range b.Blocks["attribute"] {
		is.Attributes[a.Text("name")] = a.Text("type")
	}
	for _, i := range b.Blocks["global_secondary_index"] {
		is.IndexedByRange = is.IndexedByRange || i.Text("range_key") != ""
		is.Indexes[i.Text("name")] = i.Text("hash_key") + " " + i.Text("projection_type")
	}
	if b.Attributes["stream_enabled"].True() {
		is.StreamView = b.Text("stream_view_type")
	}
	for _, e := range b.Blocks["ttl"] {
		if e.Attributes["enabled"].True() {
			is.ExpiresAt = e.Text("attribute_name")
		}
	}
	return is
}

// attributes maps arguments of Terraform to attributes of SQS; what is in neither has SQS's default on both sides.
var attributes = map[string]string{ //nolint:gochecknoglobals // read only
	"fifo_queue": "FifoQueue", "deduplication_scope": "DeduplicationScope", "fifo_throughput_limit": "FifoThroughputLimit",
	"message_retention_seconds": "MessageRetentionPeriod", "visibility_timeout_seconds": "VisibilityTimeout",
	"redrive_policy":              "RedrivePolicy",
	"content_based_deduplication": "ContentBasedDeduplication", "delay_seconds": "DelaySeconds",
	"receive_wait_time_seconds": "ReceiveMessageWaitTimeSeconds", "max_message_size": "MaximumMessageSize",
}

func TestQueuesAreThoseOfProvision(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: defaults(t)}))
	q := sqs.NewFromConfig(server.Config())
	list, err := q.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	require.NoError(t, err)
	want := map[string]map[string]string{}
	for _, url := range list.QueueUrls {
		out, err := q.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
		})
		require.NoError(t, err)
		want[url[strings.LastIndex(url, "/")+1:]] = out.Attributes
	}
	got := map[string]map[string]string{}
	for _, kind := range data(t, nil).Resources["aws_sqs_queue"] {
		for _, b := range kind {
			got[b.Text("name")] = queueAttributes(t, b)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	for name, of := range got {
		for attribute, value := range of {
			assert.Equal(t, redrive(want[name], attribute), value, "%s: %s", name, attribute)
		}
		for _, attribute := range []string{"FifoQueue", "DeduplicationScope", "FifoThroughputLimit", "MessageRetentionPeriod"} {
			assert.Contains(t, of, attribute, name)
		}
		assert.Equal(t, want[name]["RedrivePolicy"] != "", of["RedrivePolicy"] != "", name)
		if _, set := of["VisibilityTimeout"]; !set {
			assert.Equal(t, "30", want[name]["VisibilityTimeout"], "%s: SQS's default", name)
		}
	}
}

// queueAttributes translates a resource; other arguments are about keys.
func queueAttributes(t *testing.T, b check.Block) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, v := range b.Attributes {
		attribute, known := attributes[name]
		switch {
		case !known:
			assert.Contains(t, []string{"name", "arn", "id", "kms_master_key_id", "kms_data_key_reuse_period_seconds"}, name)
		case v.Type() == cty.Bool:
			out[attribute] = strconv.FormatBool(v.True())
		case v.Type() == cty.Number:
			n, _ := v.AsBigFloat().Int64()
			out[attribute] = strconv.FormatInt(n, 10)
		default:
			out[attribute] = redrive(map[string]string{attribute: v.AsString()}, attribute)
		}
	}
	return out
}

// redrive returns an attribute; of a redrive policy, the queue's name and the count.
func redrive(of map[string]string, attribute string) string {
	var policy struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.Number
	}
	if attribute != "RedrivePolicy" || json.Unmarshal([]byte(of[attribute]), &policy) != nil {
		return of[attribute]
	}
	arn := policy.DeadLetterTargetArn
	return fmt.Sprint(arn[strings.LastIndexAny(arn, ":/")+1:], " after ", policy.MaxReceiveCount)
}

func TestTheStreamIsThatOfProvision(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: defaults(t)}))
	in := &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(defaults(t).Stream)}
	out, err := kinesis.NewFromConfig(server.Config()).DescribeStreamSummary(t.Context(), in)
	require.NoError(t, err)
	b := data(t, nil).Resources["aws_kinesis_stream"]["events"][""]
	want := out.StreamDescriptionSummary
	assert.Equal(t, *want.StreamName, b.Text("name"))
	shards, _ := b.Attributes["shard_count"].AsBigFloat().Int64()
	assert.Equal(t, int64(*want.OpenShardCount), shards)
	hours, _ := b.Attributes["retention_period"].AsBigFloat().Int64()
	assert.Equal(t, int64(*want.RetentionPeriodHours), hours)
}

// TestAPrefixIsInEveryName: two systems in one account share nothing.
func TestAPrefixIsInEveryName(t *testing.T) {
	t.Parallel()
	m := data(t, map[string]cty.Value{"prefix": cty.StringVal("staging-")})
	for kind, names := range m.Resources {
		for name, instances := range names {
			for key, b := range instances {
				unnamed := slices.Contains([]string{"aws_cloudwatch_log_stream", "aws_iam_role_policy"}, kind)
				if own := b.Text("name") + b.Text("bucket"); own != "" && !unnamed {
					assert.Contains(t, own, "staging-", "%s.%s[%s]", kind, name, key)
				}
			}
		}
	}
	for variable, v := range m.Outputs["environment"].AsValueMap() {
		if strings.HasPrefix(variable, "TABLE_") || strings.HasPrefix(variable, "QUEUE_IAM_") || variable == "STREAM_EVENTS" {
			assert.True(t, strings.HasPrefix(v.AsString(), "staging-"), variable)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(text)
}
