package fifoqueue_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// A publisher and a consumer of one queue.
func ExampleNewConsumer() {
	server := localaws.New(localaws.Options{}) // in production: config.LoadDefaultConfig
	defer server.Close()
	client := sqs.NewFromConfig(server.Config())
	ctx, stop := context.WithCancel(context.Background())
	for _, name := range []string{"orders.fifo", "orders-dead.fifo"} {
		// fifoqueue.Attributes declares a live queue in full; it wants its dead-letter queue's ARN
		_, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: aws.String(name), Attributes: fifoqueue.DeadLetterAttributes(),
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	live, err := fifoqueue.QueueURL(ctx, client, "orders.fifo")
	if err != nil {
		fmt.Println(err)
	}
	dead, err := fifoqueue.QueueURL(ctx, client, "orders-dead.fifo")
	if err != nil {
		fmt.Println(err)
	}
	err = fifoqueue.NewPublisher(client, live).Publish(ctx, []fifoqueue.Outgoing{
		{Group: "order-1", DeduplicationID: "order-1#1", Body: []byte("placed")},
		{Group: "order-1", DeduplicationID: "order-1#2", Body: []byte("paid")},
	})
	if err != nil {
		fmt.Println(err)
	}

	consumer, err := fifoqueue.NewConsumer(fifoqueue.Config{
		Client: client, QueueURL: live, DeadLetterURL: dead, Now: time.Now,
		Handler: func(_ context.Context, group string, messages []fifoqueue.Message) (int, error) {
			for _, m := range messages {
				fmt.Printf("%s: %s\n", group, m.Body)
				if string(m.Body) == "paid" {
					stop() // a service would go on until it is told to stop
				}
			}
			return len(messages), nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := consumer.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// order-1: placed
	// order-1: paid
}
