// Streamer publishes the log: it tails the DynamoDB stream of the EventLog into Kinesis.
package main

import (
	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/services/streamer/app"
)

func main() {
	process.Main("streamer", "publishes the log: tails the DynamoDB stream of the EventLog into Kinesis", app.New)
}
