package filestore_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/localaws/filestore"
)

// serveVariable makes this test program a server that keeps its state in a directory, until it is killed.
const serveVariable = "FILESTORE_TEST_SERVE"

func serve(dir string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	s, err := filestore.Open(dir)
	must(err)
	server, err := localaws.Open(s, localaws.Options{})
	must(err)
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	must(err)
	_, err = fmt.Fprintln(os.Stdout, listener.Addr())
	must(err)
	must(http.Serve(listener, server))
}

// TestAKillLosesNothingThatWasAnswered kills a real process, again and again, while clients write to it. Whatever it has answered is
// there afterwards, and of every transaction all or nothing.
func TestAKillLosesNothingThatWasAnswered(t *testing.T) {
	t.Parallel()
	w := world{t: t, dir: filepath.Join(t.TempDir(), "data")}
	for round := range 4 {
		w.run(round)
		w.check()
	}
}

// world is a directory and what a client knows about it.
type world struct {
	t   *testing.T
	dir string

	mu       sync.Mutex
	items    []string // of transactions that were answered
	records  []string
	messages []string
	queue    string
}

// run starts a process, writes until there were many answers, and kills it while more calls are made.
func (w *world) run(round int) {
	process := exec.CommandContext(w.t.Context(), os.Args[0])
	process.Env = append(os.Environ(), serveVariable+"="+w.dir)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, process.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(w.t, err)

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + address[:len(address)-1]), HTTPClient: &http.Client{Transport: transport},
		RetryMaxAttempts: 1, Credentials: aws.AnonymousCredentials{},
	}
	tables, streams, queues := dynamodb.NewFromConfig(cfg), kinesis.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	if round == 0 {
		w.create(tables, streams, queues)
	}
	var answered atomic.Int64
	var clients sync.WaitGroup
	client := func(name string, call func(id string) error, done *[]string) {
		clients.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%s-%d-%d", name, round, n)
				if call(id) != nil {
					return // the process has been killed
				}
				w.mu.Lock()
				*done = append(*done, id)
				w.mu.Unlock()
				if answered.Add(1) == 200 {
					assert.NoError(w.t, process.Process.Kill())
				}
			}
		})
	}
	ctx := w.t.Context()
	for i := range 3 {
		number := strconv.Itoa(i)
		client("t"+number, func(id string) error { return transact(ctx, tables, id) }, &w.items)
		client("r"+number, func(id string) error {
			_, err := streams.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: &id, Data: []byte(id)})
			return err
		}, &w.records)
		client("m"+number, func(id string) error {
			_, err := queues.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &w.queue, MessageBody: &id})
			return err
		}, &w.messages)
	}
	clients.Wait()
	require.ErrorContains(w.t, process.Wait(), "killed")
}

func (w *world) create(tables *dynamodb.Client, streams *kinesis.Client, queues *sqs.Client) {
	ctx := w.t.Context()
	_, err := tables.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("tab"), BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: ddb.KeyTypeHash}},
		StreamSpecification:  &ddb.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddb.StreamViewTypeNewImage},
	})
	require.NoError(w.t, err)
	_, err = streams.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	require.NoError(w.t, err)
	created, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	require.NoError(w.t, err)
	w.queue = *created.QueueUrl
}

// transact puts two items.
func transact(ctx context.Context, client *dynamodb.Client, id string) error {
	var items []ddb.TransactWriteItem
	for _, half := range []string{"/1", "/2"} {
		items = append(items, ddb.TransactWriteItem{Put: &ddb.Put{
			TableName: aws.String("tab"), Item: map[string]ddb.AttributeValue{"id": &ddb.AttributeValueMemberS{Value: id + half}},
		}})
	}
	_, err := client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	return err
}

// check reads a copy of the directory, since receiving messages hides them.
func (w *world) check() {
	s := open(w.t, killed(w.t, w.dir))
	defer func() { require.NoError(w.t, s.Close()) }()
	server, err := localaws.Open(s, localaws.Options{})
	require.NoError(w.t, err)
	defer server.Close()
	items := map[string]bool{}
	pages := dynamodb.NewScanPaginator(dynamodb.NewFromConfig(server.Config()), &dynamodb.ScanInput{TableName: aws.String("tab")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.t.Context())
		require.NoError(w.t, err)
		for _, item := range page.Items {
			items[item["id"].(*ddb.AttributeValueMemberS).Value] = true //nolint:errcheck,forcetypeassert // as transact puts them
		}
	}
	for id := range items {
		other := id[:len(id)-1] + map[byte]string{'1': "2", '2': "1"}[id[len(id)-1]]
		assert.True(w.t, items[other], "a transaction has all of its items or none: %s", id)
	}
	changes, records := changesOf(w.t, server), recordsOf(w.t, server)
	for _, id := range w.items {
		assert.True(w.t, items[id+"/1"], id)
		assert.True(w.t, changes[id+"/1"], "in the table's stream, too: %s", id)
	}
	for _, id := range w.records {
		assert.True(w.t, records[id], id)
	}
	messages := messagesOf(w.t, server)
	for _, id := range w.messages {
		assert.True(w.t, messages[id], id)
	}
}

func recordsOf(t *testing.T, server http.Handler) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	readToEnd(t, server, "Kinesis", `"StreamName":"s"`, "shardId-000000000000", func(r object) { out[as[string](r["PartitionKey"])] = true })
	return out
}

func changesOf(t *testing.T, server http.Handler) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	streams := as[[]any](post(t, server, "/", wire("DynamoDBStreams.ListStreams"), `{}`)["Streams"])
	arn := as[object](streams[0])["StreamArn"]
	description := post(t, server, "/", wire("DynamoDBStreams.DescribeStream"), fmt.Sprintf(`{"StreamArn":"%s"}`, arn))
	for _, shard := range as[[]any](as[object](description["StreamDescription"])["Shards"]) {
		id := as[string](as[object](shard)["ShardId"])
		readToEnd(t, server, "DynamoDBStreams", fmt.Sprintf(`"StreamArn":"%s"`, arn), id, func(r object) {
			keys := as[object](as[object](r["dynamodb"])["Keys"])
			out[as[string](as[object](keys["id"])["S"])] = true
		})
	}
	return out
}

func readToEnd(t *testing.T, server http.Handler, service, stream, shard string, f func(object)) {
	t.Helper()
	it := post(t, server, "/", wire(service+".GetShardIterator"),
		fmt.Sprintf(`{%s,"ShardId":"%s","ShardIteratorType":"TRIM_HORIZON"}`, stream, shard))["ShardIterator"]
	for {
		page := post(t, server, "/", wire(service+".GetRecords"), fmt.Sprintf(`{"ShardIterator":"%s"}`, it))
		records := as[[]any](page["Records"])
		for _, r := range records {
			f(as[object](r))
		}
		if it = page["NextShardIterator"]; it == nil || len(records) == 0 {
			return
		}
	}
}

func messagesOf(t *testing.T, server http.Handler) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for {
		page := post(t, server, "/", wire("AmazonSQS.ReceiveMessage"), `{"QueueUrl":"q","MaxNumberOfMessages":10,"VisibilityTimeout":600}`)
		messages := as[[]any](page["Messages"])
		for _, m := range messages {
			out[as[string](as[object](m)["Body"])] = true
		}
		if len(messages) == 0 {
			return out
		}
	}
}
