package fifoqueue_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

// createQueues creates a queue and its dead-letter queue and returns their URLs.
func createQueues(ctx context.Context, client *sqs.Client) (live, dead string) {
	create := func(name string, attributes map[string]string) string {
		out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
		if err != nil {
			log.Fatal(err)
		}
		return *out.QueueUrl
	}
	dead = create("orders-dead.fifo", fifoqueue.DeadLetterAttributes())
	live = create("orders.fifo", fifoqueue.Attributes("arn:aws:sqs:us-east-1:000000000000:orders-dead.fifo"))
	return live, dead
}

// Messages of one group keep their order, whatever fails on the way.
func ExamplePublisher_Publish() {
	server := localaws.New(localaws.Options{}) // embedded AWS; in production: config.LoadDefaultConfig and awscall.Configure
	defer server.Close()
	ctx, client := context.Background(), sqs.NewFromConfig(server.Config())
	live, _ := createQueues(ctx, client)

	err := fifoqueue.NewPublisher(client, live, retry.Backoff{}).Publish(ctx, []fifoqueue.Outgoing{
		{Group: "order-1", DeduplicationID: "order-1#1", Body: []byte("placed")},
		{Group: "order-2", DeduplicationID: "order-2#1", Body: []byte("placed")},
		{Group: "order-1", DeduplicationID: "order-1#2", Body: []byte("paid")},
	})
	if err != nil {
		log.Fatal(err)
	}
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &live, MaxNumberOfMessages: 10})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(out.Messages), "messages")
	// Output: 3 messages
}

// A consumer calls its handler with the messages of one group, in order. A message that can never be handled is moved to
// the dead-letter queue; after any other error it is received again.
func ExampleNewConsumer() {
	server := localaws.New(localaws.Options{}) // embedded AWS; in production: config.LoadDefaultConfig and awscall.Configure
	defer server.Close()
	ctx, stop := context.WithCancel(context.Background())
	client := sqs.NewFromConfig(server.Config())
	live, dead := createQueues(ctx, client)

	consumer, err := fifoqueue.NewConsumer(fifoqueue.Config{
		Client: client, QueueURL: live, DeadLetterURL: dead, Now: time.Now,
		Handler: func(_ context.Context, group string, messages []fifoqueue.Message) (done int, err error) {
			for i, m := range messages {
				switch string(m.Body) {
				case "placed":
					fmt.Println(group, "placed")
				case "paid":
					fmt.Println(group, "paid")
					stop() // a service runs until a signal
				default:
					return i, fifoqueue.Reject(errors.New("unknown message"))
				}
			}
			return len(messages), nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = fifoqueue.NewPublisher(client, live, retry.Backoff{}).Publish(ctx, []fifoqueue.Outgoing{
		{Group: "order-1", DeduplicationID: "order-1#1", Body: []byte("placed")},
		{Group: "order-1", DeduplicationID: "order-1#2", Body: []byte("broken")},
		{Group: "order-1", DeduplicationID: "order-1#3", Body: []byte("paid")},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := consumer.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order-1 placed
	// order-1 paid
}
