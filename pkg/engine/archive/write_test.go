package archive_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// The archive gets every event, through crashes before and after a file is stored, a storage that fails, a split, records that are
// trimmed unread, and a stream that is made anew.
func TestTheWriterLosesNoEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t)
		first := p.write()
		p.publish()
		time.Sleep(time.Minute)
		first.files.fail.Store(true)
		p.publish()
		time.Sleep(time.Minute)
		first.files.fail.Store(false)
		p.publish()
		first.files.crash.Store(true) // once a file is stored
		p.publish()
		time.Sleep(time.Minute)
		first.kill()

		second := p.write()
		p.publish()
		_, err := p.kinesis.SplitShard(t.Context(), &kinesis.SplitShardInput{
			StreamName: aws.String("s"), ShardToSplit: aws.String("shardId-000000000000"),
			NewStartingHashKey: aws.String("170141183460469231731687303715884105728"),
		})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		p.publish()
		time.Sleep(time.Minute)
		second.stop()
		p.isWhole()

		p.publish()
		time.Sleep(25 * time.Hour)
		require.NoError(t, p.server.TrimStream("s", time.Time{}))
		third := p.write()
		p.publish()
		time.Sleep(time.Minute)
		p.isWhole()

		third.files.fail.Store(true)
		p.publish()
		_, err = p.kinesis.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("s")})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		p.createStream()
		third.files.fail.Store(false)
		p.publish()
		time.Sleep(time.Minute)
		third.stop()

		p.isWhole()
	})
}

func TestAnItemThatCannotBeArchivedKeepsNoOtherOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t)
		p.publish()
		long := "bank/account/" + strings.Repeat("x", eventsourcing.MaxStreamText)
		for stream, id := range map[string]string{long: "e", "bank/account/none": ""} {
			one := &types.AttributeValueMemberN{Value: "1"}
			item := map[string]types.AttributeValue{"version": one, "schema": one}
			for name, value := range map[string]string{
				"stream": stream, "id": id, "name": "bank/account/opened", "data": "{}", "recorded_at": "2000-01-01T00:00:00.000Z",
			} {
				item[name] = &types.AttributeValueMemberS{Value: value}
			}
			_, err := p.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("EventLog"), Item: item})
			require.NoError(t, err)
		}

		require.NoError(t, archive.Writer{Storage: p.folder, EventLog: p.log, Now: time.Now}.Republish(t.Context(), "s"))
		result, found := verified(t, p.folder, p.log)
		assert.Len(t, found, 2)
		for _, f := range found {
			assert.Contains(t, f, string(archive.Unreadable))
		}
		assert.EqualValues(t, p.published, result.Logged)
	})
}

// publisher logs events and puts them into a stream.
type publisher struct {
	t         *testing.T
	server    *localaws.Server
	db        *dynamodb.Client
	kinesis   *kinesis.Client
	leases    *shards.DynamoDBLeases
	log       *dynamostore.Store
	folder    archive.Folder
	published eventsourcing.Version
	writers   int
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{t: t, server: localaws.New(localaws.Options{}), folder: archive.Folder(t.TempDir())}
	t.Cleanup(p.server.Close)
	p.db = dynamodb.NewFromConfig(p.server.Config())
	p.kinesis = kinesis.NewFromConfig(p.server.Config())
	for _, table := range append((dynamostore.Tables{}).CreateTableInputs(), shards.CreateTableInput("leases")) {
		_, err := p.db.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}
	p.leases, p.log = shards.NewDynamoDBLeases(p.db, "leases"), dynamostore.NewStore(p.db, dynamostore.Config{})
	p.createStream()
	return p
}

func (p *publisher) createStream() {
	p.t.Helper()
	_, err := p.kinesis.CreateStream(p.t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	require.NoError(p.t, err)
	time.Sleep(time.Minute)
}

// publish logs five events and puts them into the stream.
func (p *publisher) publish() {
	p.t.Helper()
	for range 5 {
		p.published++
		r := event(fmt.Sprint("account-", p.published%3), (p.published+2)/3)
		require.NoError(p.t, p.log.Append(p.t.Context(), eventsourcing.Commit{
			Stream: r.Stream, Expected: r.Version - 1, Records: []eventsourcing.Record{r},
		}))
		_, err := p.kinesis.PutRecord(p.t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("s"), PartitionKey: aws.String(r.Stream.String()), Data: line(p.t, r),
		})
		require.NoError(p.t, err)
	}
}

func (p *publisher) isWhole() {
	p.t.Helper()
	result, found := verified(p.t, p.folder, p.log)
	assert.Empty(p.t, found)
	assert.EqualValues(p.t, p.published, result.Logged)
	assert.Zero(p.t, result.Young)
}

// writer is a reader of the stream that archives.
type writer struct {
	files *failing
	dead  *atomic.Bool
	stop  func()
}

func (p *publisher) write() writer {
	p.t.Helper()
	p.writers++
	w := writer{files: &failing{Folder: p.folder}, dead: new(atomic.Bool)}
	w.files.dead = w.dead
	archiver := archive.Writer{Storage: w.files, EventLog: p.log, Now: time.Now}
	reader, err := shards.NewReader(shards.Config[[]byte]{
		Consumer: "archive", Owner: fmt.Sprint("writer-", p.writers), Stream: shards.NewKinesisStream(p.kinesis, "s"),
		Leases: mortal{p.leases, w.dead}, Handle: archiver.Handle, Republish: archiver.Republish,
		Poll: 10 * time.Second, Retention: 24 * time.Hour,
	})
	require.NoError(p.t, err)
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- reader.Run(ctx) }()
	w.stop = func() {
		cancel()
		require.NoError(p.t, <-ended)
	}
	return w
}

// kill ends it as SIGKILL does: nothing that it does has an effect any more.
func (w writer) kill() {
	w.dead.Store(true)
	w.stop()
}

// mortal are leases that a dead process does not write.
type mortal struct {
	shards.Leases

	dead *atomic.Bool
}

func (m mortal) Put(ctx context.Context, next, held shards.Lease) error {
	if m.dead.Load() {
		return errors.New("dead")
	}
	return m.Leases.Put(ctx, next, held)
}

// failing is a folder that can fail, or kill the process once it has stored a file.
type failing struct {
	archive.Folder

	fail, crash atomic.Bool
	dead        *atomic.Bool
}

func (f *failing) Put(ctx context.Context, name string, content []byte) error {
	if f.fail.Load() || f.dead.Load() {
		return errors.New("no space left on device")
	}
	err := f.Folder.Put(ctx, name, content)
	if f.crash.Load() {
		f.dead.Store(true)
		return errors.New("dead")
	}
	return err
}
