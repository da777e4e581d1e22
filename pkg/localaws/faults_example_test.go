package localaws_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// Half of all calls are slow, and the first two of CreateStream are throttled, which the SDK's retries hide.
func ExampleServer_SetFaults() {
	server := localaws.New(localaws.Options{})
	defer server.Close()
	err := server.SetFaults(localaws.Faults{Seed: 42, Faults: []localaws.Fault{
		{Kind: localaws.FaultLatency, Operation: "*", Probability: 0.5, Max: localaws.Duration(time.Millisecond)},
		{Kind: localaws.FaultThrottle, Operation: "Kinesis.CreateStream", Probability: 1, Limit: 2},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := kinesis.NewFromConfig(server.Config())
	_, err = client.CreateStream(context.Background(), &kinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(1)})
	fmt.Println(err, server.Calls()["Kinesis.CreateStream"], server.FaultReport().Faults[1].Strikes)
	// Output: <nil> 3 map[Kinesis.CreateStream:2]
}
