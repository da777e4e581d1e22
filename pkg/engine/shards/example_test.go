package shards_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// newAWS returns an embedded AWS with a table of leases and a Kinesis stream of orders with one record.
func newAWS(ctx context.Context) (cfg aws.Config, closeIt func()) {
	server := localaws.New(localaws.Options{})
	cfg = server.Config() // in production: config.LoadDefaultConfig and awscall.Configure
	check := func(_ any, err error) {
		if err != nil {
			panic(err)
		}
	}
	stream := kinesis.NewFromConfig(cfg)
	check(dynamodb.NewFromConfig(cfg).CreateTable(ctx, shards.CreateTableInput("leases")))
	check(stream.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("orders"), ShardCount: aws.Int32(1)}))
	check(stream.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("orders"), PartitionKey: aws.String("order-1"), Data: []byte("paid"),
	}))
	return cfg, server.Close
}

// republish is called when the stream has trimmed records before they were read.
func republish(_ context.Context, shard string) error {
	fmt.Println("read what the source of the stream still has:", shard)
	return nil
}

// A reader of a Kinesis stream. Start any number of them, on any machine: they share the shards.
func ExampleNewReader() {
	ctx, stop := context.WithCancel(context.Background())
	cfg, closeIt := newAWS(ctx)
	defer closeIt()
	reader, err := shards.NewReader(shards.Config[[]byte]{
		Consumer:  "billing",
		Stream:    shards.NewKinesisStream(kinesis.NewFromConfig(cfg), "orders"),
		Leases:    shards.NewDynamoDBLeases(dynamodb.NewFromConfig(cfg), "leases"),
		Retention: 24 * time.Hour,
		Handle: func(_ context.Context, _ string, records []shards.Record[[]byte]) error {
			for _, r := range records {
				fmt.Printf("%s: %s\n", r.Key, r.Value)
			}
			stop() // a service reads until it is stopped
			return nil
		},
		Republish: republish,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := reader.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: order-1: paid
}

// The same by enhanced fan-out: records are pushed, and the consumer has its own throughput.
func ExampleNewKinesisFanOut() {
	ctx, stop := context.WithCancel(context.Background())
	cfg, closeIt := newAWS(ctx)
	defer closeIt()
	reader, err := shards.NewReader(shards.Config[[]byte]{
		Consumer:   "billing",
		Stream:     shards.NewKinesisFanOut(kinesis.NewFromConfig(cfg), "orders", "billing"),
		Leases:     shards.NewDynamoDBLeases(dynamodb.NewFromConfig(cfg), "leases"),
		Retention:  24 * time.Hour,
		Checkpoint: 5 * time.Second, // fewer writes of leases, more repetition after a crash
		Handle: func(_ context.Context, _ string, records []shards.Record[[]byte]) error {
			fmt.Printf("%s, pushed\n", records[0].Value)
			stop()
			return nil
		},
		Republish: republish,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := reader.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: paid, pushed
}

// A reader of the items that are put into a DynamoDB table.
func ExampleNewDynamoDBStream() {
	ctx, stop := context.WithCancel(context.Background())
	cfg, closeIt := newAWS(ctx)
	defer closeIt()
	db := dynamodb.NewFromConfig(cfg)
	_, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: aws.String("people"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("name"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("name"), KeyType: types.KeyTypeHash}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	if err != nil {
		fmt.Println(err)
	}
	err = dynamodb.NewTableExistsWaiter(db).Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("people")}, time.Minute)
	if err != nil {
		fmt.Println(err)
	}
	item := map[string]types.AttributeValue{"name": &types.AttributeValueMemberS{Value: "Ada"}}
	if _, err := db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("people"), Item: item}); err != nil {
		fmt.Println(err)
	}
	reader, err := shards.NewReader(shards.Config[shards.Image]{
		Consumer: "greeter",
		Stream:   shards.NewDynamoDBStream(dynamodbstreams.NewFromConfig(cfg), db, "people"),
		Leases:   shards.NewDynamoDBLeases(db, "leases"),
		Handle: func(_ context.Context, _ string, records []shards.Record[shards.Image]) error {
			if name, ok := records[0].Value["name"].(*streamtypes.AttributeValueMemberS); ok {
				fmt.Println("Hello", name.Value)
			}
			stop()
			return nil
		},
		Republish: republish,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := reader.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: Hello Ada
}
