package localaws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/localaws/filestore"
)

// must keeps the examples short.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// usersTable is a table with the key "id" and a stream.
func usersTable() *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            aws.String("users"),
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		BillingMode:          types.BillingModePayPerRequest,
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	}
}

func user(id, name string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"id": &types.AttributeValueMemberS{Value: id}, "name": &types.AttributeValueMemberS{Value: name},
	}
}

// A server in the process, and an item in a table.
func Example() {
	server := localaws.New(localaws.Options{})
	defer server.Close()

	ctx := context.Background()
	client := dynamodb.NewFromConfig(server.Config())
	must(client.CreateTable(ctx, usersTable()))
	must(client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("users"), Item: user("1", "Ada")}))
	got := must(client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String("users"), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}},
	}))
	if name, ok := got.Item["name"].(*types.AttributeValueMemberS); ok {
		fmt.Println(name.Value)
	}
	// Output: Ada
}

// A transaction with a failed condition changes nothing and reports a reason for each item.
func Example_transaction() {
	server := localaws.New(localaws.Options{})
	defer server.Close()

	ctx := context.Background()
	client := dynamodb.NewFromConfig(server.Config())
	must(client.CreateTable(ctx, usersTable()))
	must(client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("users"), Item: user("1", "Ada")}))

	var puts []types.TransactWriteItem
	for _, id := range []string{"1", "2"} {
		puts = append(puts, types.TransactWriteItem{Put: &types.Put{
			TableName: aws.String("users"), Item: user(id, "Bob"), ConditionExpression: aws.String("attribute_not_exists(id)"),
		}})
	}
	_, err := client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: puts})
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		for _, reason := range cancelled.CancellationReasons {
			fmt.Println(*reason.Code)
		}
	}
	fmt.Println(must(client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("users")})).Count, "item")
	// Output:
	// ConditionalCheckFailed
	// None
	// 1 item
}

// The stream of a table has a record of every change.
func Example_tableStream() {
	server := localaws.New(localaws.Options{})
	defer server.Close()

	ctx := context.Background()
	client, streams := dynamodb.NewFromConfig(server.Config()), dynamodbstreams.NewFromConfig(server.Config())
	table := must(client.CreateTable(ctx, usersTable())).TableDescription
	for _, name := range []string{"Ada", "Ada Lovelace"} {
		must(client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("users"), Item: user("1", name)}))
	}

	arn := table.LatestStreamArn
	stream := must(streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: arn}))
	for _, shard := range stream.StreamDescription.Shards {
		it := must(streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
			StreamArn: arn, ShardId: shard.ShardId, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
		}))
		page := must(streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: it.ShardIterator}))
		for _, r := range page.Records {
			if name, ok := r.Dynamodb.NewImage["name"].(*streamtypes.AttributeValueMemberS); ok {
				fmt.Println(r.EventName, name.Value)
			}
		}
	}
	// Output:
	// INSERT Ada
	// MODIFY Ada Lovelace
}

// A record is put into a Kinesis stream and read from its shard.
func Example_kinesis() {
	server := localaws.New(localaws.Options{})
	defer server.Close()

	ctx := context.Background()
	client := kinesis.NewFromConfig(server.Config())
	must(client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(1)}))
	put := must(client.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("events"), PartitionKey: aws.String("user-1"), Data: []byte("registered"),
	}))
	it := must(client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String("events"), ShardId: put.ShardId, ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon,
	}))
	page := must(client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator}))
	fmt.Printf("%s: %s\n", *put.ShardId, page.Records[0].Data)
	// Output: shardId-000000000000: registered
}

// A FIFO queue drops a duplicate and delivers the messages of a group in order.
func Example_fifoQueue() {
	server := localaws.New(localaws.Options{})
	defer server.Close()

	ctx := context.Background()
	client := sqs.NewFromConfig(server.Config())
	queue := must(client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("mails.fifo"), Attributes: map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"},
	}))
	for _, body := range []string{"welcome", "welcome", "goodbye"} {
		must(client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: queue.QueueUrl, MessageGroupId: aws.String("user-1"), MessageBody: aws.String(body),
		}))
	}
	got := must(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, MaxNumberOfMessages: 10}))
	for _, m := range got.Messages {
		fmt.Println(*m.Body)
		must(client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: queue.QueueUrl, ReceiptHandle: m.ReceiptHandle}))
	}
	// Output:
	// welcome
	// goodbye
}

// The server is an http.Handler, so it can serve clients in any language on a port.
func Example_port() {
	server := localaws.New(localaws.Options{})
	defer server.Close()
	listener := httptest.NewUnstartedServer(server)
	listener.Config.Protocols = new(http.Protocols)
	listener.Config.Protocols.SetHTTP1(true)
	listener.Config.Protocols.SetUnencryptedHTTP2(true)
	listener.Start()
	defer listener.Close()

	cfg := server.Config() // for its region and credentials
	cfg.HTTPClient, cfg.BaseEndpoint = nil, aws.String(listener.URL)
	client := sqs.NewFromConfig(cfg)
	queue := must(client.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String("jobs")}))
	fmt.Println(strings.TrimPrefix(*queue.QueueUrl, listener.URL))
	// Output: /000000000000/jobs
}

// Half of all calls are delayed, and the first two CreateStream are throttled, which the SDK's retries hide.
func ExampleServer_SetFaults() {
	server := localaws.New(localaws.Options{})
	defer server.Close()
	err := server.SetFaults(localaws.Faults{Seed: 42, Faults: []localaws.Fault{
		{Kind: localaws.FaultLatency, Operation: "*", Probability: 0.5, Max: localaws.Duration(time.Millisecond)},
		{Kind: localaws.FaultThrottle, Operation: "Kinesis.CreateStream", Probability: 1, Limit: 2},
	}})
	if err != nil {
		panic(err)
	}
	client := kinesis.NewFromConfig(server.Config())
	_, err = client.CreateStream(context.Background(), &kinesis.CreateStreamInput{
		StreamName: aws.String("events"), ShardCount: aws.Int32(1),
	})
	fmt.Println(err, server.Calls()["Kinesis.CreateStream"], server.FaultReport().Faults[1].Strikes)
	// Output: <nil> 3 map[Kinesis.CreateStream:2]
}

// A test can check how often its code calls AWS.
func ExampleServer_Calls() {
	server := localaws.New(localaws.Options{})
	defer server.Close()

	client := sqs.NewFromConfig(server.Config())
	for range 3 {
		must(client.ListQueues(context.Background(), &sqs.ListQueuesInput{}))
	}
	fmt.Println(server.Calls())
	// Output: map[AmazonSQS.ListQueues:3]
}

// What is kept in a directory is there after a restart.
func ExampleOpen() {
	dir := must(os.MkdirTemp("", "localaws"))
	defer func() { _ = os.RemoveAll(dir) }()
	session := func(use func(context.Context, *dynamodb.Client)) {
		store := must(filestore.Open(dir))
		defer func() { _ = store.Close() }()
		server := must(localaws.Open(store, localaws.Options{}))
		defer server.Close()
		use(context.Background(), dynamodb.NewFromConfig(server.Config()))
	}
	session(func(ctx context.Context, client *dynamodb.Client) {
		must(client.CreateTable(ctx, usersTable()))
		must(client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("users"), Item: user("1", "Ada")}))
	})
	session(func(ctx context.Context, client *dynamodb.Client) {
		fmt.Println(must(client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("users")})).Count)
	})
	// Output: 1
}
