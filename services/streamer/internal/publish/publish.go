// Package publish publishes newly appended events to Kinesis, each stream's in order.
package publish

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
)

// Image is an item of the event log's table as DynamoDB Streams shows it.
type Image = map[string]types.AttributeValue

// Target stores records in order; *ordered.KinesisPublisher is one.
type Target interface {
	Publish(ctx context.Context, records []ordered.KinesisRecord) error
}

// NewPublisher returns the hop to target. It sets Name, Source, Target, Decode and Put of c.
func NewPublisher(target Target, c hop.Config[Image]) *hop.Hop[Image] {
	c.Name, c.Source, c.Target = "publish", "the event log's stream", "Kinesis"
	c.Decode = func(image Image) (hop.Event, error) {
		r, err := dynamostore.FromStreamImage(image)
		return hop.Event{Record: r}, err
	}
	c.Put = func(ctx context.Context, events []hop.Event) error {
		records := make([]ordered.KinesisRecord, len(events))
		for i, e := range events {
			records[i] = ordered.KinesisRecord{Key: e.Stream.String(), Data: e.Envelope}
		}
		return target.Publish(ctx, records)
	}
	return hop.New(c)
}
