// Package publish publishes newly appended events to Kinesis, each stream's in order.
package publish

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
)

// Image is an item of the event log's table as DynamoDB Streams shows it.
type Image = map[string]types.AttributeValue

// NewPublisher returns the hop to the Kinesis stream of that name. It sets Name, Source, Target, Targets and Decode of c.
func NewPublisher(stream string, target ordered.Options[ordered.KinesisRecord], c hop.Config[Image]) *hop.Hop[Image] {
	c.Name, c.Source, c.Target = "publish", "the event log's stream", "Kinesis"
	c.Decode = func(image Image) (hop.Event, error) {
		r, err := dynamostore.FromStreamImage(image)
		if err != nil {
			return hop.Event{}, err
		}
		return hop.Encode(r)
	}
	kinesis := hop.NewTarget(target, func(e hop.Event) ordered.KinesisRecord {
		return ordered.KinesisRecord{Key: e.Stream.String(), Data: e.Envelope}
	})
	kinesis.Name = stream
	c.Targets = []hop.Target{kinesis}
	return hop.New(c)
}
