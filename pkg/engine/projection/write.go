package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// maxTransaction is the limit of DynamoDB:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const maxTransaction = 100

// errRaced: another writer has changed a row, or is about to. Read again.
var errRaced = errors.New("lost a race")

// Fence is the part of an own row that says up to which version its stream is applied, and by which event.
type Fence struct {
	Version       eventsourcing.Version `dynamodbav:"version"`
	Stream        string                `dynamodbav:"stream"`
	EventID       string                `dynamodbav:"event_id"`
	CorrelationID string                `dynamodbav:"correlation_id,omitempty"`
	CausationID   string                `dynamodbav:"causation_id,omitempty"`
	UpdatedAt     time.Time             `dynamodbav:"updated_at"` // when that event was recorded
}

// check refuses what no projection writes.
func (f Fence) check() error {
	if f.Version < 1 || f.Stream == "" {
		return errors.New("no fence")
	}
	return nil
}

type ownRow struct {
	Fence
	item Item // nil if there is no row yet
}

// read reads the own row. One that cannot be read is rebuilt first.
func (a *applier) read(ctx context.Context) (own ownRow, err error) {
	if own.item, err = a.reader.item(ctx, a.key); err != nil || own.item == nil {
		return own, err
	}
	if err := decode(own.item, &own.Fence); err != nil {
		a.badRow(ctx, a.key, err)
		if err := a.rebuild(ctx); err != nil {
			return own, err
		}
		return own, errRaced
	}
	if own.Version != a.fence {
		a.fence, a.limit, a.failures, a.races = own.Version, maxRun, 0, 0
	}
	return own, nil
}

// put folds run and writes the changed rows in one conditional write. It returns an *unappliableError, errRaced, or a
// passing fault.
func (a *applier) put(ctx context.Context, own ownRow, run []eventsourcing.Record) error {
	c, err := a.src.fold(a.stream.ID, own.item, run)
	if err != nil {
		return err
	}
	related, err := a.related(c)
	if err == nil {
		err = a.sendOwn(ctx, own.item, c.state, run[len(run)-1], related)
	}
	if permanent(err) {
		return &unappliableError{len(run) / 2, err} // any of the records may be the cause
	}
	return err
}

// sendOwn writes the own row with that state as of the last record, and the related rows.
func (a *applier) sendOwn(
	ctx context.Context, was, state Item, last eventsourcing.Record, related []types.TransactWriteItem,
) error {
	item, err := a.ownItem(state, last)
	if err != nil {
		return err
	}
	return a.send(ctx, was, item, related)
}

// ownItem is the own row with that state as of the last record.
func (a *applier) ownItem(state Item, last eventsourcing.Record) (Item, error) {
	fence, err := attributevalue.MarshalMap(Fence{
		Version: last.Version, Stream: a.stream.String(), EventID: last.ID,
		CorrelationID: last.Metadata.CorrelationID, CausationID: last.Metadata.CausationID, UpdatedAt: last.RecordedAt,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the fence: %w", err)
	}
	item := with(state, fence, a.key.item())
	if a.src.listed {
		item["listed"] = dynamo.Text(a.stream.ID)
	}
	return item, nil
}

// relatedItem is a related row with that data.
func (a *applier) relatedItem(key Key, data Item) Item {
	return with(data, key.item(), Item{"stream": dynamo.Text(a.stream.String())})
}

// related returns writes for the rows that differ, each conditional on that no other stream owns the row.
func (a *applier) related(c change) (writes []types.TransactWriteItem, err error) {
	owned := aws.String("attribute_not_exists(#stream) OR #stream = :stream OR NOT attribute_type(#stream, :text)")
	names := map[string]string{"#stream": "stream"}
	values := Item{":stream": dynamo.Text(a.stream.String()), ":text": dynamo.Text("S")}
	for _, key := range sorted(c.after) {
		data := c.after[key]
		if before, ok := c.before[key]; ok && reflect.DeepEqual(before, data) {
			continue
		}
		if !a.derivable(key.Row) || !storable(key) {
			return nil, fmt.Errorf("%w: %q of %q cannot be a related row", ErrInvalidRow, key.Row, key.ID)
		}
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{
			TableName: &a.config.Table, Item: a.relatedItem(key, data),
			ConditionExpression: owned, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}})
	}
	for _, key := range sorted(c.before) {
		if _, ok := c.after[key]; !ok {
			writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{
				TableName: &a.config.Table, Key: key.item(),
				ConditionExpression: owned, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}})
		}
	}
	return writes, nil
}

func sorted(rows map[Key]Item) []Key {
	return slices.SortedFunc(maps.Keys(rows), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Row, b.Row))
	})
}

// send writes the own row, if its fence is the one that was read, and the related rows in the same transaction.
func (a *applier) send(ctx context.Context, was, item Item, related []types.TransactWriteItem) error {
	if n := 1 + len(related); n > maxTransaction {
		return fmt.Errorf("%w: %d", ErrTooManyRows, n)
	}
	condition, names, values := same("version", was)
	own := &types.Put{
		TableName: &a.config.Table, Item: item,
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}
	if len(related) == 0 {
		_, err := a.config.DB.PutItem(ctx, dynamo.PutItem(own))
		return writeError("write the own row", err)
	}
	return a.transact(ctx, types.TransactWriteItem{Put: own}, related)
}

// transact writes what concerns the own row, and the related rows, at once.
func (a *applier) transact(ctx context.Context, own types.TransactWriteItem, related []types.TransactWriteItem) error {
	_, err := a.config.DB.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: append([]types.TransactWriteItem{own}, related...),
	})
	return writeError("write the rows", err)
}

// same is the condition that an attribute of a row has the value that it had when the row was read as was; nil: that there
// is no row.
func same(attr string, was Item) (condition *string, names map[string]string, values Item) {
	switch value := was[attr]; {
	case was == nil:
		return aws.String("attribute_not_exists(#id)"), map[string]string{"#id": "id"}, nil
	case value == nil: // a bad row
		return aws.String("attribute_exists(#id) AND attribute_not_exists(#attr)"), map[string]string{"#id": "id", "#attr": attr}, nil
	default:
		return aws.String("#attr = :was"), map[string]string{"#attr": attr}, Item{":was": value}
	}
}

// writeError returns what the error of a write means: errRaced, ErrNotOwner, or err wrapped with the operation. The first
// item of a transaction must be the one that other writers race for, and the others related rows.
func writeError(operation string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return errRaced
	}
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return errRaced
	}
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return fmt.Errorf("%s: %w", operation, err)
	}
	notOwner := false
	for i, reason := range cancelled.CancellationReasons {
		switch code := aws.ToString(reason.Code); {
		case code == "TransactionConflict", code == "ConditionalCheckFailed" && i == 0:
			return errRaced
		case code == "ConditionalCheckFailed":
			notOwner = true
		}
	}
	if notOwner {
		return fmt.Errorf("%s: %w", operation, ErrNotOwner)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// permanent reports whether a retry of the write will fail in the same way.
func permanent(err error) bool {
	if errors.Is(err, ErrInvalidRow) || errors.Is(err, ErrTooManyRows) || errors.Is(err, ErrNotOwner) {
		return true
	}
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		for _, reason := range cancelled.CancellationReasons {
			if code := aws.ToString(reason.Code); code == "ValidationError" || code == "ItemCollectionSizeLimitExceeded" {
				return true
			}
		}
		return false
	}
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorCode() == "ValidationException"
}
