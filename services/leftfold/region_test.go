package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// Services of any region find their tables, stream and queues in the embedded AWS.
func TestTheEmbeddedAWSIsOfTheRegionAskedFor(t *testing.T) {
	for flags, region := range map[string]string{"": "eu-central-1", "--region ap-southeast-2": "ap-southeast-2"} {
		t.Setenv("AWS_REGION", "eu-central-1")
		t.Setenv("AWS_ADDR", "127.0.0.1:0")
		t.Setenv("STOP_TIMEOUT", "5m")
		banner, out := io.Pipe()
		root := newRoot(out, io.Discard)
		root.SetArgs(append([]string{"aws"}, strings.Fields(flags)...))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- root.ExecuteContext(ctx) }()
		var export string
		for lines := bufio.NewScanner(banner); export == "" && lines.Scan(); {
			_, export, _ = strings.Cut(lines.Text(), "export AWS_ENDPOINT_URL=")
		}
		go func() { _, _ = io.Copy(io.Discard, banner) }() // the rest, until it is closed
		endpoint, rest, _ := strings.Cut(export, " ")
		require.Contains(t, rest, "AWS_DEFAULT_REGION="+region)
		queues := sqs.New(sqs.Options{
			Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		})
		_, err := queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("IamUserQueue.fifo")})
		require.NoError(t, err)
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, out.Close())
	}
}

func TestARegionHasTheFormOfAName(t *testing.T) {
	t.Parallel()
	err := service.LoadConfig(service.Fixed(map[string]string{"AWS_REGION": "EU Central"}), &app.AWSConfig{})
	require.EqualError(t, err, "AWS_REGION=EU Central: want the name of a region, such as eu-central-1")
}
