package e2e_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/shards/shardstest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/eventstoretest"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/test/e2e/containers"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// externalAWS returns an AWS outside this process, as LEFTFOLD_AWS says: "localstack" starts one in a container, "environment" is
// the one that the SDK's variables configure, maybe AWS itself. AWS_ENDPOINT_URL without LEFTFOLD_AWS means the latter.
func externalAWS(t *testing.T) (cfg aws.Config, transport *http.Transport) {
	t.Helper()
	which := os.Getenv("LEFTFOLD_AWS")
	if which == "" && os.Getenv("AWS_ENDPOINT_URL") != "" {
		which = "environment"
	}
	switch which {
	case "":
		t.Skip("neither LEFTFOLD_AWS nor AWS_ENDPOINT_URL is set: no AWS but the embedded one (make test-docker starts LocalStack)")
	case "environment":
	case "localstack":
		t.Setenv("AWS_ENDPOINT_URL", containers.LocalStack(t, containers.Network(t)))
		t.Setenv("AWS_REGION", "us-east-1")
		t.Setenv("AWS_ACCESS_KEY_ID", "local")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "local")
	default:
		t.Fatalf("LEFTFOLD_AWS is %q; want localstack or environment", which)
	}
	cfg, err := awsconfig.Load(t.Context())
	require.NoError(t, err)
	transport = &http.Transport{MaxIdleConnsPerHost: 64, Proxy: http.ProxyFromEnvironment}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.HTTPClient = &http.Client{Transport: transport}
	return cfg, transport
}

// TestAnExternalAWSPassesTheSameTests runs the suites of store and reader, and the system, on an AWS outside this process. Everything
// that it creates has a name of this run and is deleted at its end.
func TestAnExternalAWSPassesTheSameTests(t *testing.T) {
	cfg, transport := externalAWS(t)
	run := "leftfold-test-" + strings.ToLower(rand.Text()[:8]) + "-"
	db := dynamodb.NewFromConfig(cfg)

	t.Run("store", func(t *testing.T) {
		tables := dynamostore.Tables{Events: run + "events", Claims: run + "claims", Commands: run + "results", Snapshots: run + "states"}
		for _, in := range tables.CreateTableInputs() {
			createTable(t, db, in)
		}
		store := dynamostore.NewStore(db, dynamostore.Config{Tables: tables})
		t.Run("events", func(t *testing.T) {
			eventstoretest.Run(t, func(testing.TB) eventsourcing.Store { return store })
		})
		t.Run("snapshots", func(t *testing.T) {
			eventstoretest.RunSnapshots(t, func(testing.TB) eventsourcing.Snapshots { return dynamostore.NewSnapshots(db, tables) })
		})
	})

	t.Run("reader", func(t *testing.T) {
		leases := shardstest.Leases(t, db, run+"reader")
		t.Run("leases", func(t *testing.T) { shardstest.RunLeases(t, leases) })
		t.Run("DynamoDB stream", func(t *testing.T) {
			shardstest.Run(t, func(t *testing.T, play func(*testing.T, shardstest.Subject[shards.Image])) {
				play(t, shardstest.DynamoDB(t, db, dynamodbstreams.NewFromConfig(cfg), run+rand.Text(), leases))
			})
		})
		read := func(t *testing.T, open func(*kinesis.Client, string) shards.Stream[[]byte]) {
			t.Helper()
			shardstest.Run(t, func(t *testing.T, play func(*testing.T, shardstest.Subject[[]byte])) {
				play(t, shardstest.Kinesis(t, kinesis.NewFromConfig(cfg), run+rand.Text(), leases, open))
			})
		}
		t.Run("Kinesis polled", func(t *testing.T) {
			read(t, func(c *kinesis.Client, name string) shards.Stream[[]byte] { return shards.NewKinesisStream(c, name) })
		})
		t.Run("Kinesis by fan-out", func(t *testing.T) {
			if os.Getenv("AWS_ENDPOINT_URL") != "" {
				t.Skip("AWS_ENDPOINT_URL may name LocalStack, which sends no initial response to SubscribeToShard: the SDK would wait forever")
			}
			read(t, func(c *kinesis.Client, name string) shards.Stream[[]byte] {
				return shards.NewKinesisFanOut(c, name, "reader")
			})
		})
	})

	t.Run("system", func(t *testing.T) {
		names, env := systemtest.Named(t, run)
		env["STREAM_POLL"] = "200ms"
		t.Cleanup(func() { assert.NoError(t, systemtest.Remove(context.WithoutCancel(t.Context()), cfg, names)) }) // once all services stopped
		s := systemtest.On(t, cfg, transport, env)
		keepsItsContract(t, s.Inspector, 4, 400)
	})
}

// keepsItsContract sends commands to a new system and compares the answers, the log, the read models, the reserved values and
// the dead letters.
func keepsItsContract(t *testing.T, inspector systemtest.Inspector, clients, commands int) {
	t.Helper()
	outcomes := newTraffic(inspector.Client, 20, 5).send(t.Context(), t, clients, commands)
	fold, err := inspector.Audit(t.Context())
	require.NoError(t, err)
	records, err := inspector.Records(t.Context())
	require.NoError(t, err)
	inLog(t, outcomes, records)
	t.Logf("%d events of %d users and %d roles", fold.Events, len(fold.Users), len(fold.Roles))
}

// createTable creates a table until the test's end.
func createTable(t *testing.T, db *dynamodb.Client, in *dynamodb.CreateTableInput) {
	t.Helper()
	_, err := db.CreateTable(t.Context(), in)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: in.TableName})
		assert.NoError(t, err)
	})
	require.NoError(t, dynamodb.NewTableExistsWaiter(db).Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: in.TableName}, time.Minute))
}
