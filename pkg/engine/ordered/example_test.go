package ordered_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

// The service refuses a2 once. It is sent again before a3, while b continues.
func ExampleSend() {
	refused := false
	put := func(_ context.Context, batch []string) (failed map[int]error, err error) {
		fmt.Println("put", batch)
		for i, entry := range batch {
			if entry == "a2" && !refused {
				refused = true
				failed = map[int]error{i: errors.New("throttled")}
			}
		}
		return failed, nil
	}
	err := ordered.Send(context.Background(), []string{"a1", "a2", "a3", "b1", "b2", "b3"}, ordered.Options[string]{
		Key:      func(entry string) string { return entry[:1] },
		Size:     func(entry string) int { return len(entry) },
		MaxCount: 10, MaxBytes: 1000,
		InFlight: 1,
		Put:      put,
		Backoff:  retry.Backoff{First: 10 * time.Millisecond, Jitter: func(limit time.Duration) time.Duration { return limit }},
	})
	fmt.Println(err)
	// Output:
	// put [a1 b1]
	// put [a2 b2]
	// put [b3]
	// put [a2]
	// put [a3]
	// <nil>
}

// Records of one key keep their order in the stream, whatever PutRecords refuses.
func ExampleKinesisPublisher_Publish() {
	server := localaws.New(localaws.Options{}) // embedded AWS; in production: config.LoadDefaultConfig and awscall.Configure
	defer server.Close()
	ctx, client := context.Background(), kinesis.NewFromConfig(server.Config())
	_, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(1)})
	if err != nil {
		log.Fatal(err)
	}
	waiter := kinesis.NewStreamExistsWaiter(client)
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("events")}, time.Minute); err != nil {
		log.Fatal(err)
	}

	err = ordered.NewKinesisPublisher(client, "events", retry.Backoff{}).Publish(ctx, []ordered.KinesisRecord{
		{Key: "door-1", Data: []byte("opened")},
		{Key: "door-2", Data: []byte("opened")},
		{Key: "door-1", Data: []byte("closed")},
	})
	fmt.Println(err)
	// Output: <nil>
}
