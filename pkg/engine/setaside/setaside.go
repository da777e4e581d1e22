// Package setaside keeps a list of what a hop can never move on: which record, where it came from and why. It is for
// operators, who remove the cause and release the entry.
//
// # Table
//
// CreateTableInput declares the table: partition key "id" (S). An entry's ID is a hash of the record's place, so that a
// repetition replaces it: the list is as long as there are such records.
//
// # Permissions
//
//   - Keep: dynamodb:PutItem on the table.
//   - All, Remove: dynamodb:Scan and dynamodb:DeleteItem on the table.
package setaside

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
)

// Entry is a record that was set aside.
type Entry struct {
	ID        string `dynamodbav:"id"`
	Operation string `dynamodbav:"operation"` // the hop's name
	// Stream, Version and EventID are as the record has them, valid or not, as far as they are known.
	Stream  string `dynamodbav:"stream,omitempty"`
	Version string `dynamodbav:"version,omitempty"`
	EventID string `dynamodbav:"event_id,omitempty"`
	// Shard and Sequence are where the hop read it last.
	Shard    string    `dynamodbav:"shard,omitempty"`
	Sequence string    `dynamodbav:"sequence,omitempty"`
	Reason   string    `dynamodbav:"reason"` // may quote the record: not for logs
	At       time.Time `dynamodbav:"at"`
}

// inLog reports whether the entry names an item of the event log.
func (e Entry) inLog() bool { return e.Stream != "" && e.Version != "" }

// DynamoDBAPI is the part of *dynamodb.Client that a List uses.
type DynamoDBAPI interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// List is a list in a DynamoDB table. Safe for concurrent use.
type List struct {
	db    DynamoDBAPI
	table string
	now   func() time.Time
}

// CreateTableInput declares the table of a List.
func CreateTableInput(name string) *dynamodb.CreateTableInput { return dynamo.Table(name, "id") }

// NewList returns the list in the table of that name.
func NewList(db DynamoDBAPI, table string, now func() time.Time) *List { return &List{db, table, now} }

// maxReason is the most bytes of a reason that are kept.
const maxReason = 1024

// Keep adds an entry, or replaces that of the same record. It is a hop.Config.SetAside.
func (l *List) Keep(ctx context.Context, p hop.Place, reason error) error {
	e := Entry{
		Operation: p.Operation, Stream: p.Stream, Version: p.Version, EventID: p.EventID, Shard: p.Shard, Sequence: string(p.Sequence),
		Reason: strings.ToValidUTF8(reason.Error(), "\uFFFD"), At: l.now().UTC(),
	}
	if len(e.Reason) > maxReason {
		e.Reason = strings.ToValidUTF8(e.Reason[:maxReason], "") + "…"
	}
	e.ID = idOf(e)
	item, err := attributevalue.MarshalMap(e)
	if err == nil {
		_, err = l.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &l.table, Item: item})
	}
	if err != nil {
		return fmt.Errorf("keep in table %s: %w", l.table, err)
	}
	return nil
}

// idOf identifies the item of the event log, whichever hop met it, or else the place in the shard.
func idOf(e Entry) string {
	place := fmt.Sprintf("%q %q %q", e.Operation, e.Shard, e.Sequence)
	if e.inLog() {
		place = fmt.Sprintf("%q %q", e.Stream, e.Version)
	}
	h := sha256.Sum256([]byte(place))
	return hex.EncodeToString(h[:8])
}

// All yields every entry, in no order. The first error ends the sequence.
func (l *List) All(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		pages := dynamodb.NewScanPaginator(l.db, &dynamodb.ScanInput{TableName: &l.table, ConsistentRead: aws.Bool(true)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Entry{}, fmt.Errorf("scan table %s: %w", l.table, err))
				return
			}
			for _, item := range page.Items {
				var e Entry
				if err := attributevalue.UnmarshalMap(item, &e); err != nil { // nothing that Keep writes
					e.Reason = "this entry cannot be read: " + err.Error()
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Remove removes the entry, unless its record has been set aside again since it was read.
func (l *List) Remove(ctx context.Context, e Entry) error {
	at, err := attributevalue.Marshal(e.At)
	if err != nil {
		return fmt.Errorf("encode the time of an entry: %w", err)
	}
	_, err = l.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &l.table, Key: dynamo.Item{"id": dynamo.Text(e.ID)},
		ConditionExpression:       aws.String("attribute_not_exists(#at) OR #at = :at"),
		ExpressionAttributeNames:  map[string]string{"#at": "at"},
		ExpressionAttributeValues: dynamo.Item{":at": at},
	})
	if _, again := errors.AsType[*types.ConditionalCheckFailedException](err); again {
		return ErrAgain
	}
	if err != nil {
		return fmt.Errorf("remove from table %s: %w", l.table, err)
	}
	return nil
}

// ErrAgain means that the record was set aside again meanwhile.
var ErrAgain = errors.New("set aside again meanwhile")
