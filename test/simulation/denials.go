package simulation

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// Denial is a right that one service lacks for a while.
type Denial struct {
	Service, Operation string
	// Share is the part of a batch's entries that is refused, because of the queue's key. Zero: the whole call.
	Share float64
	// After is when it begins, since the trouble began, and For how long it lasts.
	After, For time.Duration
}

// rights are the calls that services make all the time.
var rights = map[string][]string{ // read only
	commandAPI: {"DynamoDB.TransactWriteItems", "DynamoDB.PutItem", "DynamoDB.Query"},
	streaming:  {"DynamoDBStreams.GetRecords", "DynamoDBStreams.GetShardIterator", "Kinesis.PutRecords", "DynamoDB.PutItem"},
	brokering:  {"Kinesis.GetRecords", "Kinesis.ListShards", "AmazonSQS.SendMessageBatch", "DynamoDB.PutItem"},
	projectorUser: {
		"AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch", "DynamoDB.TransactWriteItems", "DynamoDB.PutItem", "DynamoDB.GetItem",
	},
	projectorRole: {
		"AmazonSQS.ReceiveMessage", "AmazonSQS.ChangeMessageVisibilityBatch", "DynamoDB.TransactWriteItems", "DynamoDB.Query",
	},
	projectorAudit: {"AmazonSQS.ReceiveMessage", "DynamoDB.TransactWriteItems", "DynamoDB.GetItem"},
	processing:     {"AmazonSQS.ReceiveMessage", "DynamoDB.TransactWriteItems", "DynamoDB.Query", "DynamoDB.PutItem"},
}

// Denials returns those of each right of a service, one after the other.
func Denials(service string) (out []Denial) {
	for i, operation := range rights[service] {
		out = append(out, Denial{Service: service, Operation: operation, After: time.Duration(5+12*i) * time.Second, For: 10 * time.Second})
	}
	return out
}

func drawDenials(random *rand.Rand) (out []Denial) {
	for range 1 + random.IntN(3) {
		services := Services()
		service := services[random.IntN(len(services))]
		of := rights[service]
		d := Denial{
			Service: service, Operation: of[random.IntN(len(of))],
			After: time.Duration(random.Int64N(int64(30 * time.Second))), For: pauseLength(random),
		}
		if random.IntN(2) == 0 && d.Operation == "AmazonSQS.SendMessageBatch" {
			d.Share = 0.5
		}
		out = append(out, d)
	}
	return out
}

// fault is the denial in a trouble that begins now.
func (d Denial) fault(now time.Time) localaws.Fault {
	return localaws.Fault{
		Kind: localaws.FaultDeny, Operation: d.Operation, AccessKey: d.Service, Probability: 1, Share: d.Share,
		From: now.Add(d.After), Until: now.Add(d.After + d.For),
	}
}

// signedBy returns credentials by which AWS knows the service.
func signedBy(service string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: service, SecretAccessKey: "simulated"}, nil
	})
}
