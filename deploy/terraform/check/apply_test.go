package check_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestServicesRunOnTheDeclaredResources creates tables, stream and queues in the embedded AWS from the HCL only, with names that are no
// defaults, runs the services with the environment of the module's output, and audits the result.
func TestServicesRunOnTheDeclaredResources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{})
		t.Cleanup(server.Close)
		m := data(t, map[string]cty.Value{"prefix": cty.StringVal("staging-")})
		apply(t, server.Config(), m)

		environment := map[string]string{}
		for name, v := range m.Outputs["environment"].AsValueMap() {
			environment[name] = v.AsString()
		}
		live(t, server.Config(), environment)
	})
}

// live runs every service with the environment of the module's output, sends some commands, waits until the read models show them, and
// audits the system. It returns the names of the resources.
func live(t *testing.T, target aws.Config, environment map[string]string) topology.Names {
	t.Helper()
	env := map[string]string{"ENVIRONMENT": auth.Local, "AUTH_MODE": "none", "RATE_LIMIT": "0", "STREAM_POLL": "10ms", "LOG_LEVEL": "error"}
	maps.Copy(env, environment)
	var cfg app.Config
	require.NoError(t, service.LoadConfig(service.Fixed(env), &cfg))
	inspector := systemtest.NewInspector(target, cfg.Names, systemtest.Client{
		HTTP: &http.Client{Transport: run(t, target, cfg)}, Base: "http://leftfold.test",
	})
	type object map[string]string
	const userID, roleID = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	for _, r := range []systemtest.Request{
		{Method: http.MethodPost, Path: "/users", Body: object{"id": userID, "email": "dan@example.com"}},
		{Method: http.MethodPost, Path: "/roles", Body: object{"id": roleID, "name": "auditor"}},
		{Method: http.MethodPost, Path: "/users/" + userID + "/roles", Body: object{"roleId": roleID}},
		{Method: http.MethodPut, Path: "/roles/" + roleID, Body: object{"name": "examiner"}},
		{Method: http.MethodPut, Path: "/users/" + userID + "/email", Body: object{"email": "d@example.com"}},
	} {
		a, err := inspector.Do(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, 202, a.Status, "%s %s: %s", r.Method, r.Path, a.Body)
	}
	_, err := inspector.Audit(t.Context())
	require.NoError(t, err)
	return inspector.Names
}

// run starts every service and returns the edge in front of their APIs.
func run(t *testing.T, target aws.Config, cfg app.Config) http.RoundTripper {
	t.Helper()
	front := edgeTo{}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var parts sync.WaitGroup
	t.Cleanup(func() {
		stop()
		parts.Wait()
	})
	for _, s := range cfg.All() {
		p, _, err := service.NewPlatform(cfg.Config, t.Output())
		require.NoError(t, err)
		p.AWS = target
		p = p.For(s.Name)
		a, err := s.New(ctx, p)
		require.NoError(t, err, s.Name)
		for _, check := range a.Checks {
			require.NoError(t, check.Probe(ctx), "%s: %s", s.Name, check.Name)
		}
		if a.Routes != nil {
			front[s.Name], _, err = a.Handler(p)
			require.NoError(t, err)
		}
		parts.Go(func() { assert.NoError(t, service.RunParts(ctx, p.Logger, time.Minute, a.Parts...), s.Name) })
	}
	return front
}

// edgeTo sends requests to the services as the edge does.
type edgeTo map[string]http.Handler

func (e edgeTo) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	e[topology.ServiceFor(r.Method, r.URL.Path)].ServeHTTP(w, r)
	return w.Result(), nil
}

// apply creates the resources of the module data, from its values only.
func apply(t *testing.T, target aws.Config, m *check.Module) {
	t.Helper()
	db, k, q := dynamodb.NewFromConfig(target), kinesis.NewFromConfig(target), sqs.NewFromConfig(target)
	for _, b := range m.Resources["aws_dynamodb_table"]["this"] {
		in, expiry := tableOf(b)
		_, err := db.CreateTable(t.Context(), in)
		require.NoError(t, err)
		if expiry != nil {
			_, err := db.UpdateTimeToLive(t.Context(), expiry)
			require.NoError(t, err)
		}
	}
	stream := m.Resources["aws_kinesis_stream"]["events"][""]
	shards, _ := stream.Attributes["shard_count"].AsBigFloat().Int64()
	_, err := k.CreateStream(t.Context(), &kinesis.CreateStreamInput{
		StreamName: aws.String(stream.Text("name")), ShardCount: aws.Int32(int32(shards)),
	})
	require.NoError(t, err)
	queues := m.Resources["aws_sqs_queue"]
	for key, dead := range queues["dead"] {
		made, err := q.CreateQueue(t.Context(), &sqs.CreateQueueInput{
			QueueName: aws.String(dead.Text("name")), Attributes: queueAttributes(t, dead),
		})
		require.NoError(t, err)
		of, err := q.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: made.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
		})
		require.NoError(t, err)
		attributes := maps.Clone(queueAttributes(t, queues["this"][key]))
		attributes["RedrivePolicy"] = strings.Replace(queues["this"][key].Text("redrive_policy"), dead.Text("arn"), of.Attributes["QueueArn"], 1)
		_, err = q.CreateQueue(t.Context(), &sqs.CreateQueueInput{
			QueueName: aws.String(queues["this"][key].Text("name")), Attributes: attributes,
		})
		require.NoError(t, err)
	}
}

// tableOf returns the table that a resource describes.
func tableOf(b check.Block) (*dynamodb.CreateTableInput, *dynamodb.UpdateTimeToLiveInput) {
	key := func(attribute string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: aws.String(attribute), KeyType: kind}
	}
	in := &dynamodb.CreateTableInput{
		TableName: aws.String(b.Text("name")), BillingMode: types.BillingMode(b.Text("billing_mode")),
		KeySchema: []types.KeySchemaElement{key(b.Text("hash_key"), types.KeyTypeHash)},
	}
	if sort := b.Text("range_key"); sort != "" {
		in.KeySchema = append(in.KeySchema, key(sort, types.KeyTypeRange))
	}
	for _, a := range b.Blocks["attribute"] {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(a.Text("name")), AttributeType: types.ScalarAttributeType(a.Text("type")),
		})
	}
	for _, i := range b.Blocks["global_secondary_index"] {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(i.Text("name")), KeySchema: []types.KeySchemaElement{key(i.Text("hash_key"), types.KeyTypeHash)},
			Projection: &types.Projection{ProjectionType: types.ProjectionType(i.Text("projection_type"))},
		})
	}
	if b.Attributes["stream_enabled"].True() {
		in.StreamSpecification = &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewType(b.Text("stream_view_type")),
		}
	}
	for _, e := range b.Blocks["ttl"] {
		return in, &dynamodb.UpdateTimeToLiveInput{TableName: in.TableName, TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(e.Text("attribute_name")), Enabled: aws.Bool(e.Attributes["enabled"].True()),
		}}
	}
	return in, nil
}
