// Streamer publishes the event log: it reads its DynamoDB stream and writes every event to Kinesis.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/streamer/app"
)

func main() {
	service.Main("streamer", "publishes the log: tails the DynamoDB stream of the EventLog into Kinesis", app.New)
}
