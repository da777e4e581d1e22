// Streamer publishes the log: it tails the DynamoDB stream of the EventLog into Kinesis.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/streamer/app"
)

func main() {
	service.Main("streamer", "publishes the log: tails the DynamoDB stream of the EventLog into Kinesis", app.New)
}
