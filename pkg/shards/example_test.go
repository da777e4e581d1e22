package shards_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/shards"
)

// A reader of a Kinesis stream. Start as many as you like, anywhere: they share the shards.
func ExampleNew() {
	server := localaws.New(localaws.Options{}) // in production: config.LoadDefaultConfig
	defer server.Close()
	ctx, stop := context.WithCancel(context.Background())
	db, stream := dynamodb.NewFromConfig(server.Config()), kinesis.NewFromConfig(server.Config())
	_, err := db.CreateTable(ctx, shards.Table("leases"))
	if err != nil {
		fmt.Println(err)
	}
	_, err = stream.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("orders"), ShardCount: aws.Int32(1)})
	if err != nil {
		fmt.Println(err)
	}
	err = kinesis.NewStreamExistsWaiter(stream).Wait(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("orders")}, time.Minute)
	if err != nil {
		fmt.Println(err)
	}
	_, err = stream.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("orders"), PartitionKey: aws.String("order-1"), Data: []byte("paid"),
	})
	if err != nil {
		fmt.Println(err)
	}

	reader, err := shards.New(shards.Config[[]byte]{
		Consumer:  "billing",
		Stream:    shards.NewKinesis(stream, "orders"),
		Leases:    shards.NewDynamoDBLeases(db, "leases"),
		Now:       time.Now,
		Retention: 24 * time.Hour,
		Handle: func(_ context.Context, _ string, records []shards.Record[[]byte]) error {
			for _, r := range records {
				fmt.Printf("%s: %s\n", r.Key, r.Value)
			}
			stop() // a service would go on until it is told to stop
			return nil
		},
		OnTrimmed: func(_ context.Context, shard string) error {
			fmt.Println("read anew from where it all came from:", shard)
			return nil
		},
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
