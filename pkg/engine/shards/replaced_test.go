package shards_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

func (k *kinesisFleet) delete() {
	k.t.Helper()
	_, err := k.DeleteStream(k.t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("s"), EnforceConsumerDeletion: aws.Bool(true)})
	require.NoError(k.t, err)
}

func (k *kinesisFleet) create(shardCount int32) {
	k.t.Helper()
	_, err := k.CreateStream(k.t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: &shardCount})
	require.NoError(k.t, err)
}

// gaps returns what Republish was called for.
func (k *kinesisFleet) gaps() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trimmed
}

func TestAKinesisStreamMadeAnewIsRead(t *testing.T) {
	t.Parallel()
	inBothModes(t, 1, func(t *testing.T, k *kinesisFleet) {
		k.send(5)
		x := k.start("x")
		y := k.start("y")
		after(10 * time.Second)
		k.split(k.open()[0], "170141183460469231731687303715884105728")
		k.send(5)
		after(30 * time.Second)
		require.Equal(t, keys*10, k.handled.Total())

		k.send(5)
		k.delete() // with records that nobody has read, or will
		after(time.Minute)
		k.create(1) // its shard has the ID of the one that was split, and is done
		k.send(5)
		after(15 * time.Second)
		assert.GreaterOrEqual(t, k.handled.Total(), keys*15, "what the new stream has")
		assert.Equal(t, []string{sourceLease}, k.gaps(), "and the log has what the former one had")
		k.send(5)
		before := k.handled.Total()
		after(5 * time.Second)
		assert.GreaterOrEqual(t, k.handled.Total(), before)
		x.end()
		y.end()

		k.delete() // while no reader runs, with as many records
		after(time.Minute)
		k.create(2)
		k.send(25)
		z := k.start("z")
		after(15 * time.Second)
		z.end()
		assert.Equal(t, []string{sourceLease, sourceLease}, k.gaps())
		leases, err := k.leases.List(t.Context(), "c")
		require.NoError(t, err)
		assert.Len(t, leases, 3, "two shards and the source")
	})
}

func TestAFanOutConsumerThatIsRegisteredAnewIsFound(t *testing.T) {
	t.Parallel()
	fannedOut(t, 2, func(t *testing.T, k *kinesisFleet) {
		r := k.start("x")
		k.send(5)
		after(10 * time.Second)
		stream := aws.String(k.streamARN())
		_, err := k.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{
			StreamARN: stream, ConsumerName: aws.String("broker"),
		})
		require.NoError(t, err)
		k.send(5)
		after(20 * time.Second)
		r.end()
		k.complete()
	})
}

func (k *kinesisFleet) streamARN() string {
	k.t.Helper()
	out, err := k.DescribeStreamSummary(k.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	require.NoError(k.t, err)
	return *out.StreamDescriptionSummary.StreamARN
}

// tableFleet puts numbered items into a table and reads its stream.
type tableFleet struct {
	t       *testing.T
	db      *dynamodb.Client
	streams *dynamodbstreams.Client
	leases  *shards.DynamoDBLeases
	logs    bytes.Buffer
	log     *slog.Logger

	mu   sync.Mutex
	got  map[string]bool
	gaps []string
}

func newTableFleet(t *testing.T) *tableFleet {
	t.Helper()
	server, leases := newLocalAWS(t)
	f := &tableFleet{
		t: t, db: dynamodb.NewFromConfig(server.Config()), streams: dynamodbstreams.NewFromConfig(server.Config()), leases: leases,
		got: map[string]bool{},
	}
	f.log = slog.New(slog.NewTextHandler(&f.logs, nil))
	_, err := f.db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("log"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	require.NoError(t, err)
	after(time.Minute)
	return f
}

// stream switches the table's stream off, or on with a view type.
func (f *tableFleet) stream(view types.StreamViewType) {
	f.t.Helper()
	spec := &types.StreamSpecification{StreamEnabled: aws.Bool(view != ""), StreamViewType: view}
	_, err := f.db.UpdateTable(f.t.Context(), &dynamodb.UpdateTableInput{TableName: aws.String("log"), StreamSpecification: spec})
	require.NoError(f.t, err)
}

func (f *tableFleet) put(from, to int) {
	f.t.Helper()
	for n := from; n < to; n++ {
		_, err := f.db.PutItem(f.t.Context(), &dynamodb.PutItemInput{TableName: aws.String("log"), Item: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: strconv.Itoa(n)},
		}})
		require.NoError(f.t, err)
	}
}

func (f *tableFleet) start(owner string) *reader {
	f.t.Helper()
	r, err := shards.NewReader(shards.Config[shards.Image]{
		Consumer: "c", Owner: owner, Leases: f.leases, Now: time.Now,
		Stream: shards.NewDynamoDBStream(f.streams, f.db, "log"), Logger: f.log,
		Handle: func(_ context.Context, _ string, records []shards.Record[shards.Image]) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, r := range records {
				if id, ok := r.Value["id"].(*streamtypes.AttributeValueMemberS); ok {
					f.got[id.Value] = true
				}
			}
			return nil
		},
		// It reads the table, as a republishing of the log does.
		Republish: func(ctx context.Context, shard string) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.gaps = append(f.gaps, shard)
			out, err := f.db.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("log"), ConsistentRead: aws.Bool(true)})
			if err != nil {
				return err
			}
			for _, item := range out.Items {
				if id, ok := item["id"].(*types.AttributeValueMemberS); ok {
					f.got[id.Value] = true
				}
			}
			return nil
		},
	})
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(f.t.Context())
	out := &reader{t: f.t, stop: cancel, done: make(chan error, 1)}
	go func() { out.done <- r.Run(ctx) }()
	return out
}

func (f *tableFleet) handled() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

func TestATablesStreamThatIsSwitchedOffAndOnLosesNothing(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"under running readers": true, "while none runs": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newTableFleet(t)
				x := f.start("x")
				f.put(0, 10)
				after(5 * time.Second)
				if !running {
					x.end()
				}
				f.put(10, 20)
				f.stream("")
				after(2 * time.Minute)
				f.put(20, 30) // into no stream
				f.stream(types.StreamViewTypeNewAndOldImages)
				f.put(30, 40)
				if !running {
					x = f.start("x")
				}
				y := f.start("y")
				after(15 * time.Second)
				assert.Equal(t, 40, f.handled())
				assert.Equal(t, []string{sourceLease}, f.gaps)
				f.put(40, 50)
				after(5 * time.Second)
				assert.Equal(t, 50, f.handled())
				x.end()
				y.end()
			})
		})
	}
}

// Something else damaged a lease: of the shard, of the source or of a reader. The others are not held up, and nothing is lost, not even
// what was trimmed meanwhile.
func TestALeaseThatCannotBeReadLosesNothing(t *testing.T) {
	t.Parallel()
	type item = map[string]types.AttributeValue
	damages := map[string]func(item){
		"no state":              func(it item) { delete(it, "state") },
		"no owner, no counter":  func(it item) { delete(it, "owner"); delete(it, "counter") },
		"a counter that is not": func(it item) { it["counter"] = &types.AttributeValueMemberS{Value: "x"} },
		"a position as a map":   func(it item) { it["checkpoint"] = &types.AttributeValueMemberM{Value: item{}} },
	}
	for damage, spoil := range damages {
		for _, shard := range []string{"shardId", sourceLease, "reader/"} {
			for _, running := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, running: %t", shard, damage, running), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						f := newTableFleet(t)
						x := f.start("x")
						f.put(0, 10)
						after(5 * time.Second)
						if !running {
							x.end()
						}
						spoilLease(f, shard, spoil)
						f.put(10, 20)
						if !running {
							after(25 * time.Hour) // DynamoDB keeps records for 24 hours
							x = f.start("x")
						}
						after(15 * time.Second)
						y := f.start("y")
						after(15 * time.Second)
						f.put(20, 30)
						after(30 * time.Second)
						assert.Equal(t, 30, f.handled())
						leases, err := f.leases.List(t.Context(), "c")
						require.NoError(t, err)
						for _, l := range leases {
							assert.NotEmpty(t, l.State, "%s was written anew", l.Shard)
						}
						x.end()
						y.end()
						if strings.Contains(f.logs.String(), "lease cannot be read") {
							assert.Contains(t, f.gaps, sourceLease)
						} else { // its owner wrote it anew before anyone read it, or removed it at its end
							assert.NotEqual(t, sourceLease, shard)
						}
					})
				})
			}
		}
	}
}

// spoilLease damages the lease whose shard begins like that, if there is one.
func spoilLease(f *tableFleet, shard string, spoil func(map[string]types.AttributeValue)) {
	f.t.Helper()
	out, err := f.db.Scan(f.t.Context(), &dynamodb.ScanInput{TableName: aws.String("leases")})
	require.NoError(f.t, err)
	for _, item := range out.Items {
		if name, ok := item["shard"].(*types.AttributeValueMemberS); ok && strings.HasPrefix(name.Value, shard) {
			spoil(item)
			_, err := f.db.PutItem(f.t.Context(), &dynamodb.PutItemInput{TableName: aws.String("leases"), Item: item})
			require.NoError(f.t, err)
		}
	}
}

func TestATablesStreamWithoutNewImagesIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newTableFleet(t)
		x := f.start("x")
		f.put(0, 10)
		after(5 * time.Second)
		f.stream("")
		f.put(10, 20)
		after(15 * time.Second)
		assert.Contains(t, f.logs.String(), "the stream of table log is DISABLED: enable it with view type NEW_IMAGE")
		f.stream(types.StreamViewTypeKeysOnly)
		f.put(20, 30)
		after(15 * time.Second)
		assert.Contains(t, f.logs.String(), "has view type KEYS_ONLY, so it has no new items: disable it and enable it with NEW_IMAGE")
		assert.Equal(t, 10, f.handled())
		assert.Empty(t, f.gaps, "as long as there is nothing to read")
		f.stream("")
		after(time.Second)
		f.stream(types.StreamViewTypeNewImage)
		after(15 * time.Second)
		assert.Equal(t, 30, f.handled())
		x.end()
	})
}
