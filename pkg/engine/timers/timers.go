// Package timers keeps timers in a DynamoDB table and fires them: each belongs to a stream and is due at a time.
//
// A timer is set and cancelled in the transaction that appends to its stream, so it is there if and only if the stream says so, and no
// crash can lose it. A Poller queries what is due once a second. Of several Pollers one works, by a lease. It calls a handler, whose
// transaction deletes the timer; until then the timer is due again, in the next round, after a crash, in another process. So a timer
// may fire late and more than once, and the handler decides by the state of the stream whether it still means something. By the
// clock of the machine that polls, none fires early.
//
// # Table
//
// Table.CreateTableInput declares the table: partition key "bucket" (S), sort key "due" (S), no stream, no time to live, no index. A
// stream's timers are in one of four buckets, by a hash of its name, and those of a bucket in the order in which they are due. So a query
// of each bucket finds what is due, and reads nothing else. Each bucket takes about 250 changes a second: a write in a transaction costs
// two of a partition's 1,000 write units.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
//
// # Permissions
//
//   - Set and Cancel: dynamodb:PutItem and dynamodb:DeleteItem on the table.
//   - Poller: dynamodb:Query and dynamodb:DeleteItem on the table, and the rights of shards.DynamoDBLeases.
package timers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// buckets is the number of partitions. It is part of what is stored: a Poller looks into no other one.
const buckets = 4

// MaxName is the most bytes of a timer's name.
const MaxName = 256

// Timer is due at a time. There is one of a name, a stream and a time.
type Timer struct {
	Stream eventsourcing.StreamID
	Name   string
	// Due has milliseconds.
	Due time.Time
	// Version is that of the stream which has set the timer. It tells the timer from another one in its place.
	Version eventsourcing.Version
}

// Validate returns an error unless the timer can be stored.
func (t Timer) Validate() error {
	if t.Name == "" || len(t.Name) > MaxName {
		return fmt.Errorf("timer %q of %s: a name has 1 to %d bytes", t.Name, t.Stream, MaxName)
	}
	if ms := t.Due.UnixMilli(); ms < 0 || ms > lastDue {
		return fmt.Errorf("timer %q of %s: due at %v, which cannot be stored", t.Name, t.Stream, t.Due)
	}
	return nil
}

// DynamoDBAPI is the part of *dynamodb.Client that a Table uses.
type DynamoDBAPI interface {
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// Table is where timers are kept.
type Table struct {
	DB DynamoDBAPI
	// Name of the table. Defaults to "timers".
	Name string
}

func (t Table) name() *string { return aws.String(cmp.Or(t.Name, "timers")) }

// CreateTableInput declares the table, billed per request.
func (t Table) CreateTableInput() *dynamodb.CreateTableInput {
	return dynamo.SortedTable(*t.name(), "bucket", "due", types.ScalarAttributeTypeS)
}

// Set is the write of a valid timer, for the transaction that appends to its stream.
func (t Table) Set(timer Timer) types.TransactWriteItem {
	item := key(timer)
	item["stream"], item["name"] = dynamo.Text(timer.Stream.String()), dynamo.Text(timer.Name)
	item["at"], item["version"] = dynamo.Number(timer.Due.UnixMilli()), dynamo.Number(timer.Version)
	return types.TransactWriteItem{Put: &types.Put{TableName: t.name(), Item: item}}
}

// Cancel is the deletion of a timer, for the transaction that appends to its stream.
func (t Table) Cancel(timer Timer) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: t.name(), Key: key(timer)}}
}

// Discard deletes a timer that its stream does not know, if there is such a timer and no other one in its place.
func (t Table) Discard(ctx context.Context, timer Timer) error {
	_, err := t.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: t.name(), Key: key(timer),
		ConditionExpression:       aws.String("#version = :version"),
		ExpressionAttributeNames:  map[string]string{"#version": "version"},
		ExpressionAttributeValues: dynamo.Item{":version": dynamo.Number(timer.Version)},
	})
	if _, gone := errors.AsType[*types.ConditionalCheckFailedException](err); gone || err == nil {
		return nil
	}
	return fmt.Errorf("discard a timer of %s: %w", timer.Stream, err)
}

// All yields every timer, those of a bucket in the order in which they are due. One that cannot be read comes with an error, and ends
// nothing; the error of a call ends the sequence.
func (t Table) All(ctx context.Context) iter.Seq2[Timer, error] {
	return func(yield func(Timer, error) bool) {
		for bucket := range buckets {
			for page, err := range t.rows(ctx, bucket, "", time.Time{}) {
				if err != nil {
					yield(Timer{}, err)
					return
				}
				for _, item := range page {
					if !yield(timerOf(item)) {
						return
					}
				}
			}
		}
	}
}

// rows yields the rows of a bucket whose time compares with at as condition says, such as "< :at", the first due first, in pages.
// With "" it yields all. Its reads are eventually consistent: what is not seen is seen in the next round.
func (t Table) rows(ctx context.Context, bucket int, condition string, at time.Time) iter.Seq2[[]dynamo.Item, error] {
	in := &dynamodb.QueryInput{
		TableName:                 t.name(),
		KeyConditionExpression:    aws.String("#bucket = :bucket"),
		ExpressionAttributeNames:  map[string]string{"#bucket": "bucket"},
		ExpressionAttributeValues: dynamo.Item{":bucket": dynamo.Text(strconv.Itoa(bucket))},
	}
	if condition != "" {
		in.KeyConditionExpression = aws.String("#bucket = :bucket AND #due " + condition)
		in.ExpressionAttributeNames["#due"] = "due"
		in.ExpressionAttributeValues[":at"] = dynamo.Text(sortable(at.UnixMilli()))
	}
	return func(yield func([]dynamo.Item, error) bool) {
		for pages := dynamodb.NewQueryPaginator(t.DB, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, fmt.Errorf("query %s: %w", *t.name(), err))
				return
			}
			if !yield(page.Items, nil) {
				return
			}
		}
	}
}

// until yields what is due at a time.
func (t Table) until(ctx context.Context, bucket int, now time.Time) iter.Seq2[[]dynamo.Item, error] {
	return t.rows(ctx, bucket, "< :at", now.Add(time.Millisecond))
}

// parked counts the timers that never fire, by category.
func (t Table) parked(ctx context.Context) (map[string]int, error) {
	n := map[string]int{}
	for bucket := range buckets {
		for page, err := range t.rows(ctx, bucket, ">= :at", Never()) {
			if err != nil {
				return nil, err
			}
			for _, item := range page {
				if timer, err := timerOf(item); err == nil { // All reports what is none
					n[timer.Stream.Category]++
				}
			}
		}
	}
	return n, nil
}

// lastDue is the last time of timers, in milliseconds since the Unix epoch: the texts of later ones would be longer.
const lastDue = 999_999_999_999_999

// Never is when a timer is due that does not fire: it lists a stream that is parked, and is counted.
func Never() time.Time { return time.UnixMilli(lastDue).UTC() }

func sortable(ms int64) string { return fmt.Sprintf("%015d", ms) }

// key is the timer's place in the table. A stream has no space.
func key(t Timer) dynamo.Item {
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Stream.String())) // a hash never fails
	return dynamo.Item{
		"bucket": dynamo.Text(strconv.Itoa(int(h.Sum32() % buckets))),
		"due":    dynamo.Text(sortable(t.Due.UnixMilli()) + " " + t.Stream.String() + " " + t.Name),
	}
}

func timerOf(item dynamo.Item) (Timer, error) {
	var stored struct {
		Stream  string                `dynamodbav:"stream"`
		Name    string                `dynamodbav:"name"`
		At      int64                 `dynamodbav:"at"`
		Version eventsourcing.Version `dynamodbav:"version"`
	}
	err := attributevalue.UnmarshalMap(item, &stored)
	if err != nil {
		return Timer{}, fmt.Errorf("read a timer: %w", err)
	}
	t := Timer{Name: stored.Name, Due: time.UnixMilli(stored.At).UTC(), Version: stored.Version}
	if t.Stream, err = eventsourcing.ParseStreamID(stored.Stream); err != nil {
		return Timer{}, fmt.Errorf("read a timer: %w", err)
	}
	return t, nil
}
