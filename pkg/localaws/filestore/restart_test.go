package filestore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/localaws/filestore"
)

// TestRestartsChangeNoAnswer makes random calls on a server in memory, and on one that keeps its state and is stopped or killed and
// started again at random moments. Every answer must be the same.
func TestRestartsChangeNoAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t)
		defer p.close()
		steps := p.steps(t)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			rapid.SampledFrom(steps).Draw(t, "step")(t)
		}
		p.restart(t)
		readAll(p.call)
	})
}

// pair is two servers that get the same calls at the same times.
type pair struct {
	t        *rapid.T
	now      time.Time
	memory   *localaws.Server
	kept     *localaws.Server
	store    *filestore.Store
	dir      string
	root     string
	receipts [][2]string // of both servers
	left     []*filestore.Store
}

func newPair(t *rapid.T) *pair {
	root, err := os.MkdirTemp("", "filestore")
	require.NoError(t, err)
	p := &pair{t: t, now: time.Unix(1_800_000_000, 0).UTC(), root: root, dir: filepath.Join(root, "0")}
	p.memory = localaws.New(p.options())
	p.open()
	for _, c := range begin {
		require.Equal(t, http.StatusOK, p.call(c.target, "%s", c.body)["status"])
	}
	return p
}

// begin is what the calls begin with.
var begin = []struct{ target, body string }{
	{"DynamoDB.CreateTable", createTable},
	{"DynamoDB.UpdateTimeToLive", `{"TableName":"tab","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}`},
	{"Kinesis.CreateStream", `{"StreamName":"s","ShardCount":2}`},
	{"AmazonSQS.CreateQueue", `{"QueueName":"dead.fifo","Attributes":{"FifoQueue":"true"}}`},
	{"AmazonSQS.CreateQueue", `{"QueueName":"q.fifo","Attributes":{"FifoQueue":"true","RedrivePolicy":` +
		`"{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:dead.fifo\",\"maxReceiveCount\":2}"}}`},
	{"AmazonSQS.CreateQueue", `{"QueueName":"plain"}`},
}

const createTable = `{"TableName":"tab","BillingMode":"PAY_PER_REQUEST",
	"AttributeDefinitions":[{"AttributeName":"h","AttributeType":"S"},{"AttributeName":"r","AttributeType":"N"},
		{"AttributeName":"g","AttributeType":"B"}],
	"KeySchema":[{"AttributeName":"h","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],
	"GlobalSecondaryIndexes":[{"IndexName":"by_g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],
		"Projection":{"ProjectionType":"KEYS_ONLY"}}],
	"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}}`

func (p *pair) options() localaws.Options {
	return localaws.Options{Now: func() time.Time { return p.now }}
}

func (p *pair) open() {
	var err error
	p.store, err = filestore.OpenQuiet(p.dir)
	require.NoError(p.t, err)
	p.kept, err = localaws.Open(p.store, p.options())
	require.NoError(p.t, err)
}

// restart stops the server, or goes on from what is in the files at this moment, as after a kill.
func (p *pair) restart(t *rapid.T) {
	p.kept.Close()
	if rapid.Bool().Draw(t, "killed") {
		next := filepath.Join(p.root, fmt.Sprint(len(p.left)+1))
		require.NoError(t, os.CopyFS(next, os.DirFS(p.dir)))
		p.left = append(p.left, p.store)
		p.dir = next
	} else {
		require.NoError(t, p.store.Close())
	}
	p.open()
}

func (p *pair) close() {
	p.memory.Close()
	p.kept.Close()
	for _, s := range append(p.left, p.store) {
		require.NoError(p.t, s.Close())
	}
	require.NoError(p.t, os.RemoveAll(p.root))
}

var targets = map[string]string{
	"DynamoDB": "DynamoDB_20120810", "DynamoDBStreams": "DynamoDBStreams_20120810", "Kinesis": "Kinesis_20131202", "AmazonSQS": "AmazonSQS",
}

// wire returns the target of a request for an operation, which is named as counters name it.
func wire(operation string) string {
	service, name, _ := strings.Cut(operation, ".")
	return targets[service] + "." + name
}

type object = map[string]any

// as returns a part of an answer, or zero if it is absent.
func as[T any](part any) T {
	out, _ := part.(T)
	return out
}

// call makes a call on both servers and returns the answer of the one in memory.
func (p *pair) call(target, format string, args ...any) object {
	body := fmt.Sprintf(format, args...)
	return p.calls(target, body, body)
}

func (p *pair) calls(target, memory, kept string) object {
	one := post(p.t, p.memory, "/", wire(target), memory)
	other := post(p.t, p.kept, "/", wire(target), kept)
	if target == "AmazonSQS.ReceiveMessage" {
		p.remember(one, other)
	}
	require.Equal(p.t, comparable(one), comparable(other), "%s %s", target, memory)
	require.NotEqual(p.t, http.StatusInternalServerError, one["status"], "%s %s: %v", target, memory, one)
	return one
}

// testingT is what *testing.T and *rapid.T have in common here.
type testingT interface {
	require.TestingT
	Context() context.Context
}

func post(t testingT, server http.Handler, path, target, body string) object {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	out := object{}
	if w.Body.Len() > 0 {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), "%s", w.Body)
	}
	out["status"] = w.Code
	require.NotEqual(t, http.StatusNotImplemented, w.Code, "%s %s: %s", target, body, w.Body)
	return out
}

func (p *pair) admin(path, format string, args ...any) {
	body := fmt.Sprintf(format, args...)
	require.Equal(p.t, post(p.t, p.memory, path, "", body), post(p.t, p.kept, path, "", body), "%s %s", path, body)
}

// remember keeps the receipts of messages that both servers have received.
func (p *pair) remember(one, other object) {
	a, b := byBody(one["Messages"]), byBody(other["Messages"])
	for i := range min(len(a), len(b)) {
		p.receipts = append(p.receipts, [2]string{as[string](as[object](a[i])["ReceiptHandle"]), as[string](as[object](b[i])["ReceiptHandle"])})
	}
}

// byBody sorts messages: which group comes first is not promised, and not kept.
func byBody(messages any) []any {
	list := as[[]any](messages)
	slices.SortFunc(list, func(a, b any) int {
		return strings.Compare(as[string](as[object](a)["Body"]), as[string](as[object](b)["Body"]))
	})
	return list
}

// comparable returns an answer without what is random.
func comparable(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for name, member := range v {
			if name != "MessageId" && name != "ReceiptHandle" {
				out[name] = comparable(member)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = comparable(v[i])
		}
		return out
	}
	return v
}

// steps are those of one service, so that they meet, between restarts and pauses.
func (p *pair) steps(t *rapid.T) []func(*rapid.T) {
	services := map[string]func() []func(*rapid.T){"dynamodb": p.dynamoSteps, "kinesis": p.kinesisSteps, "sqs": p.queueSteps}
	return append(p.clockSteps(), services[rapid.SampledFrom(slices.Sorted(maps.Keys(services))).Draw(t, "service")]()...)
}

func (p *pair) clockSteps() []func(*rapid.T) {
	restart := func(t *rapid.T) { p.restart(t) }
	return []func(*rapid.T){
		restart, restart,
		func(t *rapid.T) { require.NoError(t, p.store.Snapshot(io.Discard)) }, // the journal goes into the database
		func(t *rapid.T) {
			p.now = p.now.Add(rapid.SampledFrom([]time.Duration{
				time.Millisecond, time.Second, 31 * time.Second, 6 * time.Minute, 2 * time.Hour, 25 * time.Hour,
			}).Draw(t, "pause"))
		},
		func(*rapid.T) { readAll(p.call) },
	}
}

func key(t *rapid.T) string {
	return fmt.Sprintf(`"h":{"S":"%s"},"r":{"N":"%d"}`, rapid.SampledFrom([]string{"a", "b", "\\u0000"}).Draw(t, "h"),
		rapid.IntRange(-1, 1).Draw(t, "r"))
}

func (p *pair) item(t *rapid.T) string {
	return "{" + key(t) + rapid.SampledFrom([]string{
		``, `,"v":{"L":[{"NULL":true},{"M":{}},{"SS":["x","y"]},{"BOOL":false}]}`, `,"g":{"B":"AAE="}`,
		`,"g":{"B":"AAE="},"w":{"NS":["1","2.5"]}`,
		fmt.Sprintf(`,"ttl":{"N":"%d"}`, p.now.Add(time.Minute).Unix()),
	}).Draw(t, "attributes") + "}"
}

func (p *pair) dynamoSteps() []func(*rapid.T) {
	return []func(*rapid.T){
		func(t *rapid.T) {
			p.call("DynamoDB.PutItem", `{"TableName":"tab","Item":%s,"ReturnValues":"ALL_OLD"}`, p.item(t))
		},
		func(t *rapid.T) {
			p.call("DynamoDB.PutItem", `{"TableName":"tab","Item":%s,"ConditionExpression":"attribute_not_exists(h)"}`, p.item(t))
		},
		func(t *rapid.T) {
			p.call("DynamoDB.DeleteItem", `{"TableName":"tab","Key":{%s},"ReturnValues":"ALL_OLD"}`, key(t))
		},
		func(t *rapid.T) {
			p.call("DynamoDB.UpdateItem", `{"TableName":"tab","Key":{%s},"UpdateExpression":"ADD n :n REMOVE g",
				"ExpressionAttributeValues":{":n":{"N":"0.1"}},"ReturnValues":"ALL_NEW"}`, key(t))
		},
		func(t *rapid.T) {
			p.call("DynamoDB.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"tab","Item":%s}},
				{"Delete":{"TableName":"tab","Key":{%s}}}],"ClientRequestToken":"%s","ReturnConsumedCapacity":"TOTAL"}`,
				p.item(t), key(t), rapid.SampledFrom([]string{"one", "two"}).Draw(t, "token"))
		},
		func(t *rapid.T) {
			p.call("DynamoDB.BatchWriteItem", `{"RequestItems":{"tab":[{"PutRequest":{"Item":%s}}]}}`, p.item(t))
		},
		func(*rapid.T) { p.admin("/_localaws/rotate", `{"table":"tab"}`) },
		func(*rapid.T) { p.admin("/_localaws/trim", `{"table":"tab"}`) },
		func(t *rapid.T) {
			p.call("DynamoDB.UpdateTable", `{"TableName":"tab","StreamSpecification":{"StreamEnabled":%s}}`,
				rapid.SampledFrom([]string{`false`, `true,"StreamViewType":"KEYS_ONLY"`}).Draw(t, "stream"))
		},
		func(t *rapid.T) {
			p.call("DynamoDB.UpdateTimeToLive", `{"TableName":"tab","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":%t}}`,
				rapid.Bool().Draw(t, "ttl"))
		},
		func(*rapid.T) {
			p.call("DynamoDB.UpdateTable", `{"TableName":"tab","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"by_g"}}]}`)
		},
		func(*rapid.T) {
			p.call("DynamoDB.UpdateTable", `{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"B"}],
				"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"by_g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],
				"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["w"]}}}]}`)
		},
		func(*rapid.T) {
			p.call("DynamoDB.TagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab","Tags":[{"Key":"k","Value":""}]}`)
		},
		func(*rapid.T) {
			p.call("DynamoDB.UntagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab","TagKeys":["k"]}`)
		},
		func(t *rapid.T) {
			p.call("DynamoDB.UpdateContinuousBackups",
				`{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":%t}}`, rapid.Bool().Draw(t, "recovery"))
		},
		func(*rapid.T) { p.call("DynamoDB.DescribeContinuousBackups", `{"TableName":"tab"}`) },
		func(*rapid.T) { p.call("DynamoDB.DeleteTable", `{"TableName":"tab"}`) },
		func(*rapid.T) { p.call("DynamoDB.CreateTable", createTable) },
	}
}

func (p *pair) kinesisSteps() []func(*rapid.T) {
	openShard := func(t *rapid.T) (object, bool) {
		shards := as[[]any](p.call("Kinesis.ListShards", `{"StreamName":"s","ShardFilter":{"Type":"AT_LATEST"}}`)["Shards"])
		if len(shards) == 0 || len(shards) > 4 {
			return nil, false
		}
		return as[object](rapid.SampledFrom(shards).Draw(t, "shard")), true
	}
	put := func(t *rapid.T) {
		p.call("Kinesis.PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"%d","Data":"AAH/"},{"PartitionKey":"x","Data":""}]}`,
			rapid.IntRange(0, 9).Draw(t, "key"))
	}
	return []func(*rapid.T){
		put, put, put,
		func(t *rapid.T) {
			if shard, ok := openShard(t); ok {
				p.call("Kinesis.SplitShard", `{"StreamName":"s","ShardToSplit":"%s","NewStartingHashKey":"%s1"}`, shard["ShardId"],
					rapid.StringMatching(`[1-3][0-9]{36}`).Draw(t, "at"))
			}
		},
		func(*rapid.T) {
			shards := as[[]any](p.call("Kinesis.ListShards", `{"StreamName":"s","ShardFilter":{"Type":"AT_LATEST"}}`)["Shards"])
			if len(shards) > 1 {
				p.call("Kinesis.MergeShards", `{"StreamName":"s","ShardToMerge":"%s","AdjacentShardToMerge":"%s"}`,
					as[object](shards[0])["ShardId"], as[object](shards[1])["ShardId"])
			}
		},
		func(*rapid.T) { p.call("Kinesis.DeleteStream", `{"StreamName":"s","EnforceConsumerDeletion":true}`) },
		func(*rapid.T) { p.call("Kinesis.CreateStream", `{"StreamName":"s","ShardCount":1,"Tags":{"a":"b"}}`) },
		func(*rapid.T) {
			p.call("Kinesis.IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`)
		},
		func(*rapid.T) {
			p.call("Kinesis.DecreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":24}`)
		},
		func(*rapid.T) {
			p.call("Kinesis.UpdateMaxRecordSize", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","MaxRecordSizeInKiB":2048}`)
		},
		func(*rapid.T) { p.call("Kinesis.AddTagsToStream", `{"StreamName":"s","Tags":{"c":"d"}}`) },
		func(*rapid.T) { p.call("Kinesis.RemoveTagsFromStream", `{"StreamName":"s","TagKeys":["a"]}`) },
		func(*rapid.T) {
			p.call("Kinesis.RegisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`)
		},
		func(*rapid.T) {
			p.call("Kinesis.DeregisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`)
		},
		func(*rapid.T) { p.admin("/_localaws/trim", `{"stream":"s"}`) },
	}
}

var queues = []string{"q.fifo", "dead.fifo", "plain"}

func (p *pair) queueSteps() []func(*rapid.T) {
	queue := func(t *rapid.T) string { return rapid.SampledFrom(queues).Draw(t, "queue") }
	sends := 0
	send := func(t *rapid.T) {
		q := queue(t)
		if !p.room(q) {
			return
		}
		sends++
		more := ""
		if strings.HasSuffix(q, ".fifo") {
			more = fmt.Sprintf(`,"MessageGroupId":"%s","MessageDeduplicationId":"%d"`,
				rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group"), rapid.IntRange(0, 5).Draw(t, "id"))
		} else if rapid.Bool().Draw(t, "delayed") {
			more = `,"DelaySeconds":30`
		}
		p.call("AmazonSQS.SendMessage", `{"QueueUrl":"%s","MessageBody":"%03d",
			"MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAE="}}%s}`, q, sends, more)
	}
	receive := func(t *rapid.T) {
		q, more := queue(t), ""
		if strings.HasSuffix(q, ".fifo") && rapid.Bool().Draw(t, "attempt") {
			more = `,"ReceiveRequestAttemptId":"again"`
		}
		p.call("AmazonSQS.ReceiveMessage", `{"QueueUrl":"%s","MaxNumberOfMessages":10,"AttributeNames":["All"],
			"MessageAttributeNames":["All"],"VisibilityTimeout":%d%s}`, q, rapid.SampledFrom([]int{0, 1, 60}).Draw(t, "timeout"), more)
	}
	settle := func(t *rapid.T) {
		if len(p.receipts) == 0 {
			return
		}
		r := p.receipts[rapid.IntRange(0, len(p.receipts)-1).Draw(t, "receipt")]
		operation, format := "AmazonSQS.DeleteMessage", `{"QueueUrl":"%s","ReceiptHandle":"%s"}`
		if rapid.Bool().Draw(t, "change") {
			operation, format = "AmazonSQS.ChangeMessageVisibility", `{"QueueUrl":"%s","ReceiptHandle":"%s","VisibilityTimeout":5}`
		}
		q := queue(t)
		one, other := fmt.Sprintf(format, q, r[0]), fmt.Sprintf(format, q, r[1])
		p.settle(operation, one, other)
	}
	return []func(*rapid.T){
		send, send, send, receive, receive, receive, settle, settle,
		func(*rapid.T) {
			p.call("AmazonSQS.ReceiveMessage", `{"QueueUrl":"q.fifo","MaxNumberOfMessages":10,"VisibilityTimeout":60,
				"ReceiveRequestAttemptId":"again"}`)
		},
		func(t *rapid.T) { p.call("AmazonSQS.PurgeQueue", `{"QueueUrl":"%s"}`, queue(t)) },
		func(t *rapid.T) { p.call("AmazonSQS.TagQueue", `{"QueueUrl":"%s","Tags":{"a":"b"}}`, queue(t)) },
		func(t *rapid.T) { p.call("AmazonSQS.UntagQueue", `{"QueueUrl":"%s","TagKeys":["a"]}`, queue(t)) },
		func(t *rapid.T) {
			p.call("AmazonSQS.SetQueueAttributes", `{"QueueUrl":"%s","Attributes":{"DelaySeconds":"%d"}}`, queue(t),
				rapid.IntRange(0, 1).Draw(t, "delay"))
		},
		func(*rapid.T) { p.call("AmazonSQS.DeleteQueue", `{"QueueUrl":"dead.fifo"}`) },
		func(*rapid.T) {
			p.call("AmazonSQS.CreateQueue", `{"QueueName":"dead.fifo","Attributes":{"FifoQueue":"true"}}`)
		},
	}
}

// settle uses receipts, which the texts of errors repeat.
func (p *pair) settle(operation, memory, kept string) {
	one, other := post(p.t, p.memory, "/", wire(operation), memory), post(p.t, p.kept, "/", wire(operation), kept)
	require.Equal(p.t, one["status"], other["status"])
	require.Equal(p.t, one["__type"], other["__type"])
}

// room reports whether a queue has so few messages that a receive can take all of them.
func (p *pair) room(queue string) bool {
	attributes := as[object](p.call("AmazonSQS.GetQueueAttributes", `{"QueueUrl":"%s","AttributeNames":["All"]}`, queue)["Attributes"])
	sum := 0
	for _, name := range []string{"", "Delayed", "NotVisible"} {
		var n int
		_, _ = fmt.Sscan(fmt.Sprint(attributes["ApproximateNumberOfMessages"+name]), &n) // zero for a queue that is gone
		sum += n
	}
	return sum < 4 // together with the dead letters of another queue
}

// readAll reads everything that can be read without changing it.
func readAll(call func(target, format string, args ...any) object) {
	for _, c := range []struct{ target, body string }{
		{"DynamoDB.ListTables", `{}`},
		{"DynamoDB.DescribeTable", `{"TableName":"tab"}`},
		{"DynamoDB.DescribeTimeToLive", `{"TableName":"tab"}`},
		{"DynamoDB.ListTagsOfResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab"}`},
		{"DynamoDB.Scan", `{"TableName":"tab"}`},
		{"DynamoDB.Scan", `{"TableName":"tab","IndexName":"by_g"}`},
		{"Kinesis.DescribeStreamSummary", `{"StreamName":"s"}`},
		{"Kinesis.DescribeStream", `{"StreamName":"s"}`},
		{"Kinesis.ListTagsForStream", `{"StreamName":"s"}`},
		{"Kinesis.ListStreamConsumers", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}`},
		{"AmazonSQS.ListQueues", `{}`},
		{"AmazonSQS.ListDeadLetterSourceQueues", `{"QueueUrl":"dead.fifo"}`},
	} {
		call(c.target, "%s", c.body)
	}
	for _, q := range queues {
		call("AmazonSQS.GetQueueAttributes", `{"QueueUrl":"%s","AttributeNames":["All"]}`, q)
		call("AmazonSQS.ListQueueTags", `{"QueueUrl":"%s"}`, q)
	}
	streams := as[[]any](call("DynamoDBStreams.ListStreams", `{}`)["Streams"])
	for _, s := range streams {
		arn := as[object](s)["StreamArn"]
		description := as[object](call("DynamoDBStreams.DescribeStream", `{"StreamArn":"%s"}`, arn)["StreamDescription"])
		shards := as[[]any](description["Shards"])
		for _, sh := range shards {
			readShard(call, "DynamoDBStreams", fmt.Sprintf(`"StreamArn":"%s"`, arn), as[object](sh)["ShardId"])
		}
	}
	shards := as[[]any](call("Kinesis.ListShards", `{"StreamName":"s"}`)["Shards"])
	for _, sh := range shards {
		readShard(call, "Kinesis", `"StreamName":"s"`, as[object](sh)["ShardId"])
	}
}

func readShard(call func(target, format string, args ...any) object, service, stream string, shard any) {
	for _, kind := range []string{"TRIM_HORIZON", "LATEST"} {
		got := call(service+".GetShardIterator", `{%s,"ShardId":"%s","ShardIteratorType":"%s"}`, stream, shard, kind)
		if it, ok := got["ShardIterator"]; ok {
			call(service+".GetRecords", `{"ShardIterator":"%s"}`, it)
		}
	}
}
