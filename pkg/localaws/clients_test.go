package localaws_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// serve serves a new server on a port, over HTTP/1.1 and HTTP/2, and returns its URL.
func serve(t *testing.T) (*localaws.Server, string) {
	t.Helper()
	server := newServer(t)
	ts := httptest.NewUnstartedServer(server)
	ts.Config.Protocols = new(http.Protocols)
	ts.Config.Protocols.SetHTTP1(true)
	ts.Config.Protocols.SetUnencryptedHTTP2(true)
	ts.Start()
	t.Cleanup(ts.Close)
	t.Cleanup(ts.CloseClientConnections)
	return server, ts.URL
}

// patience is how long a foreign client may show no progress. It only ends a test that would fail anyway.
const patience = 3 * time.Minute

// run runs a program in another language with the server's URL as its argument, and returns what it printed.
func run(t *testing.T, url, command string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), command, append(args, url)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func TestBoto3Works(t *testing.T) {
	t.Parallel()
	if exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run() != nil {
		t.Skip("python3 cannot import boto3: not tried")
	}
	_, url := serve(t)
	assert.Equal(t, "hello in SQS, hello in Kinesis, hello in DynamoDB, 000000000000", run(t, url, "python3", "testdata/greetings.py"))
}

// The JavaScript SDK speaks HTTP/2 with Kinesis.
func TestTheJavaScriptSDKWorks(t *testing.T) {
	t.Parallel()
	if exec.CommandContext(t.Context(), "node", "-e", `require("@aws-sdk/client-kinesis")`).Run() != nil {
		t.Skip("node finds no @aws-sdk/client-kinesis (NODE_PATH says where else to look): not tried")
	}
	_, url := serve(t)
	assert.Equal(t, "hello over h2", run(t, url, "node", "--no-warnings", "testdata/kinesis.cjs"))
}

// stream is what a reader has to read: written in rounds, with a change of the shards before each but the first.
type stream struct {
	write  func(t *testing.T, key string, n int)
	change func(t *testing.T, round int)
}

// The Kinesis Client Library and its adapter for DynamoDB Streams run as AWS publishes them. Each record arrives, at least once,
// and first in the order of its key, while shards are split, merged and rotated.
//
// Source: https://docs.aws.amazon.com/streams/latest/dev/kcl.html
func TestTheKinesisClientLibraryReadsEverythingInOrder(t *testing.T) {
	t.Parallel()
	library := os.Getenv("LEFTFOLD_KCL")
	if library == "" {
		t.Skip("LEFTFOLD_KCL does not name the compiled testdata/kcl: `make test-kcl` compiles it, if there are a JDK and Maven")
	}
	for _, mode := range []string{"fanout", "polling", "dynamodb"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			server, url := serve(t)
			classes := filepath.Join(library, "kinesis")
			name, s := recordsOf(t, server)
			if mode == "dynamodb" {
				classes = filepath.Join(library, "dynamodb")
				name, s = changesOf(t, server)
			}
			read := readByKCL(t, classes, url, mode, name)
			const keys, perRound, rounds = 20, 5, 3
			for round := range rounds {
				if round > 0 {
					s.change(t, round)
				}
				for n := round * perRound; n < (round+1)*perRound; n++ {
					for key := range keys {
						s.write(t, "key-"+strconv.Itoa(key), n)
					}
				}
				if round == 0 { // the later changes happen while it reads
					read.expect(t, keys, perRound)
				}
			}
			read.expect(t, keys, rounds*perRound)
		})
	}
}

// recordsOf is a stream whose shard is split and then merged again.
func recordsOf(t *testing.T, server *localaws.Server) (string, stream) {
	t.Helper()
	client, name := kinesis.NewFromConfig(server.Config()), aws.String("events")
	_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	return *name, stream{
		write: func(t *testing.T, key string, n int) {
			t.Helper()
			_, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: name, PartitionKey: &key, Data: []byte(strconv.Itoa(n))})
			require.NoError(t, err)
		},
		change: func(t *testing.T, round int) {
			t.Helper()
			if round == 1 {
				_, err := client.SplitShard(t.Context(), &kinesis.SplitShardInput{
					StreamName: name, ShardToSplit: aws.String("shardId-000000000000"),
					NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
				})
				require.NoError(t, err)
				return
			}
			_, err := client.MergeShards(t.Context(), &kinesis.MergeShardsInput{
				StreamName: name, ShardToMerge: aws.String("shardId-000000000001"), AdjacentShardToMerge: aws.String("shardId-000000000002"),
			})
			require.NoError(t, err)
		},
	}
}

// changesOf is the stream of a table, whose shards are rotated.
func changesOf(t *testing.T, server *localaws.Server) (string, stream) {
	t.Helper()
	client, table := dynamodb.NewFromConfig(server.Config()), aws.String("events")
	created, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: table, BillingMode: dynamodbtypes.BillingModePayPerRequest,
		AttributeDefinitions: []dynamodbtypes.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: "S"}},
		KeySchema:            []dynamodbtypes.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: "HASH"}},
		StreamSpecification:  &dynamodbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: "NEW_IMAGE"},
	})
	require.NoError(t, err)
	return *created.TableDescription.LatestStreamArn, stream{
		write: func(t *testing.T, key string, n int) {
			t.Helper()
			_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: map[string]dynamodbtypes.AttributeValue{
				"id": &dynamodbtypes.AttributeValueMemberS{Value: key},
				"n":  &dynamodbtypes.AttributeValueMemberN{Value: strconv.Itoa(n)},
			}})
			require.NoError(t, err)
		},
		change: func(t *testing.T, _ int) {
			t.Helper()
			require.NoError(t, server.RotateShards(*table))
		},
	}
}

// reading is a running reader.
type reading struct {
	lines <-chan string
	seen  map[string]int // by key, how many records have been read
	log   string         // a file
}

func readByKCL(t *testing.T, classes, url, mode, stream string) *reading {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
		"-cp", classes+string(os.PathListSeparator)+filepath.Join(classes, "*"), "Reader", url, mode, stream)
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()    // asks it to end
		for range lines { // repeated records
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the reader: %v", err)
		}
		_ = log.Close()
	})
	return &reading{lines: lines, seen: map[string]int{}, log: log.Name()}
}

// expect reads until every key has n records. A record may come again, but never before one that precedes it.
func (r *reading) expect(t *testing.T, keys, n int) {
	t.Helper()
	complete := func() bool {
		if len(r.seen) < keys {
			return false
		}
		for _, count := range r.seen {
			if count < n {
				return false
			}
		}
		return true
	}
	for !complete() {
		select {
		case line, ok := <-r.lines:
			require.True(t, ok, "the reader has ended:\n%s", r.tail())
			key, number, _ := strings.Cut(line, "\t")
			got, err := strconv.Atoi(number)
			require.NoError(t, err, line)
			require.LessOrEqual(t, got, r.seen[key], "%s skipped a record", key)
			r.seen[key] = max(r.seen[key], got+1)
		case <-time.After(patience):
			require.FailNow(t, "no further record", "read so far: %v\n%s", r.seen, r.tail())
		}
	}
}

func (r *reading) tail() string {
	b, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-8000):])
}
