package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const maxTransaction = 100

// errRaced: another writer moved a row meanwhile, or is about to. Read again.
var errRaced = errors.New("lost a race")

// Fence is what an own row says of its stream: how far it is applied, and which event was the last.
type Fence struct {
	Version       eventsourcing.Version `dynamodbav:"version"`
	Stream        string                `dynamodbav:"stream"`
	EventID       string                `dynamodbav:"event_id"`
	CorrelationID string                `dynamodbav:"correlation_id,omitempty"`
	CausationID   string                `dynamodbav:"causation_id,omitempty"`
	UpdatedAt     time.Time             `dynamodbav:"updated_at"` // when that event was recorded
}

type ownRow struct {
	Fence
	item Item // nil: there is none yet
}

func (w *work) read(ctx context.Context) (own ownRow, err error) {
	if own.item, err = w.reader.item(ctx, w.key); err != nil {
		return own, err
	}
	if err := attributevalue.UnmarshalMap(own.item, &own.Fence); err != nil {
		return own, fmt.Errorf("decode the fence: %w", err)
	}
	if own.Version != w.fence {
		w.fence, w.limit, w.failures, w.races = own.Version, maxRun, 0, 0
	}
	return own, nil
}

// put folds run and writes the rows that changed in one conditional write. Its errors: *unappliable, errRaced, or a
// fault that may pass.
func (w *work) put(ctx context.Context, own ownRow, run []eventsourcing.Record) error {
	c, err := w.src.fold(w.stream.ID, own.item, run)
	if err != nil {
		return err
	}
	last := run[len(run)-1]
	fence, err := attributevalue.MarshalMap(Fence{
		Version: last.Version, Stream: w.stream.String(), EventID: last.ID,
		CorrelationID: last.Metadata.CorrelationID, CausationID: last.Metadata.CausationID, UpdatedAt: last.RecordedAt,
	})
	if err != nil {
		return fmt.Errorf("encode the fence: %w", err)
	}
	item := with(c.state, fence, w.key.item())
	if w.src.listed {
		item["listed"] = text(w.stream.ID)
	}
	related, err := w.related(c)
	if err == nil {
		err = w.send(ctx, own.Version, item, related)
	}
	if permanent(err) {
		return &unappliable{len(run) / 2, err} // which of them is to blame is not known
	}
	return err
}

// related turns the difference between two sets of rows into writes: each only if the row is free or this stream's.
func (w *work) related(c change) (writes []types.TransactWriteItem, err error) {
	mine := aws.String("attribute_not_exists(#stream) OR #stream = :stream")
	names, values := map[string]string{"#stream": "stream"}, Item{":stream": text(w.stream.String())}
	for _, key := range sorted(c.after) {
		data := c.after[key]
		if before, ok := c.before[key]; ok && reflect.DeepEqual(before, data) {
			continue
		}
		if !w.ownable(key.Row) || !storable(key) {
			return nil, fmt.Errorf("%w: %q of %q cannot be a related row", ErrInvalidRow, key.Row, key.ID)
		}
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{
			TableName: &w.config.Table, Item: with(data, key.item(), Item{"stream": values[":stream"]}),
			ConditionExpression: mine, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}})
	}
	for _, key := range sorted(c.before) {
		if _, ok := c.after[key]; !ok {
			writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{
				TableName: &w.config.Table, Key: key.item(),
				ConditionExpression: mine, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}})
		}
	}
	if n := 1 + len(writes); n > maxTransaction {
		return nil, fmt.Errorf("%w: %d", ErrTooManyRows, n)
	}
	return writes, nil
}

func sorted(rows map[Key]Item) []Key {
	return slices.SortedFunc(maps.Keys(rows), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Row, b.Row))
	})
}

// send writes the own row, if its fence is still where it was, and with it the related rows.
func (w *work) send(ctx context.Context, fence eventsourcing.Version, item Item, related []types.TransactWriteItem) error {
	condition, names, values := fenceAt(fence)
	if len(related) == 0 {
		_, err := w.config.DB.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &w.config.Table, Item: item,
			ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		})
		return verdict(err, "write the own row")
	}
	own := types.TransactWriteItem{Put: &types.Put{
		TableName: &w.config.Table, Item: item,
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}
	_, err := w.config.DB.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: append([]types.TransactWriteItem{own}, related...),
	})
	return verdict(err, "write the rows")
}

// fenceAt is the condition on an own row that its stream is applied up to v.
func fenceAt(v eventsourcing.Version) (condition *string, names map[string]string, values Item) {
	if v == 0 {
		return aws.String("attribute_not_exists(#id)"), map[string]string{"#id": "id"}, nil
	}
	return aws.String("#version = :fence"), map[string]string{"#version": "version"}, Item{":fence": number(v)}
}

func number(v eventsourcing.Version) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(uint64(v), 10)}
}

// verdict sorts a write's error: errRaced, ErrNotOwner, or itself wrapped with the deed. The first item of a
// transaction is taken for the one that others race for, the rest for related rows.
func verdict(err error, deed string) error {
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
		return fmt.Errorf("%s: %w", deed, err)
	}
	foreign := false
	for i, reason := range cancelled.CancellationReasons {
		switch code := aws.ToString(reason.Code); {
		case code == "TransactionConflict", code == "ConditionalCheckFailed" && i == 0:
			return errRaced
		case code == "ConditionalCheckFailed":
			foreign = true
		}
	}
	if foreign {
		return fmt.Errorf("%s: %w", deed, ErrNotOwner)
	}
	return fmt.Errorf("%s: %w", deed, err)
}

// permanent reports whether a write will fail the same way for ever.
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
