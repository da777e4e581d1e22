package awscall

import "time"

// The limits of an attempt. AWS answers calls of one item in milliseconds, and a page of a megabyte in a fraction of a second;
// a busy partition or a failover of a host takes longer. A limit must be well below a lease's duration, so that a reader that
// meets a silent connection still renews its leases in time.
const (
	quick   = 3 * time.Second  // one item, a few messages
	bulk    = 5 * time.Second  // megabytes, or many items at once
	control = 10 * time.Second // everything else: tables, streams and queues, credentials
)

// limits has every operation that this repository calls.
var limits = map[string]time.Duration{ // read only
	"DynamoDB.GetItem":            quick,
	"DynamoDB.PutItem":            quick,
	"DynamoDB.UpdateItem":         quick,
	"DynamoDB.DeleteItem":         quick,
	"DynamoDB.Query":              bulk,
	"DynamoDB.Scan":               bulk,
	"DynamoDB.BatchGetItem":       bulk,
	"DynamoDB.TransactGetItems":   bulk,
	"DynamoDB.TransactWriteItems": bulk,
	"DynamoDB.DescribeTable":      quick,
	"DynamoDB.CreateTable":        control,
	"DynamoDB.DeleteTable":        control,
	"DynamoDB.DescribeTimeToLive": control,
	"DynamoDB.UpdateTimeToLive":   control,

	"DynamoDB.UpdateTable":               control,
	"DynamoDB.ListTagsOfResource":        control,
	"DynamoDB.DescribeContinuousBackups": control,
	"DynamoDB.UpdateContinuousBackups":   control,

	"DynamoDB Streams.DescribeStream":   bulk,
	"DynamoDB Streams.GetShardIterator": quick,
	"DynamoDB Streams.GetRecords":       bulk,

	"Kinesis.ListShards":             bulk,
	"Kinesis.GetShardIterator":       quick,
	"Kinesis.GetRecords":             bulk,
	"Kinesis.PutRecord":              bulk,
	"Kinesis.PutRecords":             bulk,
	"Kinesis.SubscribeToShard":       bulk,
	"Kinesis.DescribeStreamSummary":  quick,
	"Kinesis.DescribeStreamConsumer": quick,
	"Kinesis.RegisterStreamConsumer": control,
	"Kinesis.CreateStream":           control,
	"Kinesis.DescribeStream":         control,
	"Kinesis.SplitShard":             control,

	"SQS.GetQueueUrl":                  quick,
	"SQS.ReceiveMessage":               quick, // and for as long as it waits for messages
	"SQS.SendMessageBatch":             quick,
	"SQS.DeleteMessageBatch":           quick,
	"SQS.ChangeMessageVisibilityBatch": quick,
	"SQS.CreateQueue":                  control,
	"SQS.GetQueueAttributes":           control,

	"S3.ListObjectsV2": bulk,
	"S3.GetObject":     bulk,
	"S3.PutObject":     control, // ten megabytes
}

// streams are the operations whose answer the caller reads: a stream of events, or a large object.
var streams = map[string]bool{"Kinesis.SubscribeToShard": true, "S3.GetObject": true} // read only

// Limit returns how long an attempt of an operation, such as "DynamoDB.GetItem", may take. The services' names are the SDK's. A
// receive from SQS may take longer by its WaitTimeSeconds.
func Limit(operation string) time.Duration {
	if limit, ok := limits[operation]; ok {
		return limit
	}
	return control
}
