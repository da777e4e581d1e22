// Broker routes events: it reads Kinesis and fans out to the SQS FIFO queues that subscribe to an event's category.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/broker/app"
)

func main() {
	service.Main("broker", "routes events: reads Kinesis and fans out to the subscribed SQS FIFO queues", app.New)
}
