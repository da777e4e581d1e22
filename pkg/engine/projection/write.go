package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
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

// read reads the own row. One that cannot be read is rebuilt first, and a fence of effects that is not there is derived.
func (a *applier) read(ctx context.Context) (own ownRow, err error) {
	own.item, err = a.reader.item(ctx, a.key)
	if err == nil && own.item == nil && a.src.effect != nil {
		var written bool
		if written, err = a.derive(ctx, nil); written {
			err = errAgain
		}
	}
	if err != nil || own.item == nil {
		return own, err
	}
	if err := decode(own.item, &own.Fence); err != nil {
		a.badRow(ctx, a.key, err)
		if err := a.rebuild(ctx); err != nil {
			return own, err
		}
		return own, errRaced
	}
	a.at(own.Version)
	return own, nil
}

// at notes that the own row is at that version.
func (a *applier) at(fence eventsourcing.Version) {
	if fence != a.fence {
		a.fence, a.limit, a.failures, a.races = fence, a.most, 0, 0
	}
}

// put folds run and writes the changed rows in one conditional write. It returns an *unappliableError, errRaced, or a
// passing fault.
func (a *applier) put(ctx context.Context, own ownRow, run []eventsourcing.Record) error {
	c, err := a.src.fold(a.stream.ID, own.item, run)
	if err != nil {
		return err
	}
	item, err := a.ownItem(c.state, run[len(run)-1])
	if err != nil {
		return err
	}
	related, err := a.related(c)
	switch {
	case err != nil:
	case a.src.effect != nil:
		err = a.bringAbout(ctx, run[len(run)-1], own.item, item)
	default:
		err = a.send(ctx, own.item, item, related)
	}
	if permanent(err) {
		at := len(run) / 2 // any of the records may be the cause
		if a.src.effect != nil {
			at = len(run) - 1
		}
		if rows := len(related); errors.Is(err, ErrTooManyRows) && rows >= maxTransaction {
			at = min(at, len(run)*(maxTransaction-1)/rows)
			a.most = max(at, 1)
		}
		return &unappliableError{at, err}
	}
	if err == nil {
		a.recent.keep(a.key, item)
	}
	return err
}

// ownItem is the own row with that state as of the last record.
func (a *applier) ownItem(state Item, last eventsourcing.Record) (Item, error) {
	fence, err := fenceItem(last)
	if err != nil {
		return nil, err
	}
	item := with(state, fence, a.key.item())
	if a.src.listed {
		item["listed"] = dynamo.Text(a.stream.ID)
	}
	return item, nil
}

// fenceItem is the fence of a row as of a record.
func fenceItem(of eventsourcing.Record) (Item, error) {
	fence, err := attributevalue.MarshalMap(Fence{
		Version: of.Version, Stream: of.Stream.String(), EventID: of.ID,
		CorrelationID: of.Metadata.CorrelationID, CausationID: of.Metadata.CausationID, UpdatedAt: of.RecordedAt,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the fence: %w", err)
	}
	return fence, nil
}

// relatedItem is a related row with that data.
func (a *applier) relatedItem(key Key, data Item) Item {
	return with(data, key.item(), Item{"stream": dynamo.Text(a.stream.String())})
}

// related returns writes for the related rows that differ, and for the entries, each conditional on that no other stream owns the
// row.
func (a *applier) related(c change) (writes []types.TransactWriteItem, err error) {
	owned := aws.String("attribute_not_exists(#stream) OR #stream = :stream OR NOT attribute_type(#stream, :text)")
	names := map[string]string{"#stream": "stream"}
	values := Item{":stream": dynamo.Text(a.stream.String()), ":text": dynamo.Text("S")}
	put := func(key Key, item Item) {
		if !a.derivable(key.Row) || !storable(key) {
			err = fmt.Errorf("%w: %q of %q cannot be a related row", ErrInvalidRow, key.Row, key.ID)
		}
		writes = append(writes, types.TransactWriteItem{Put: &types.Put{
			TableName: &a.config.Table, Item: item,
			ConditionExpression: owned, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}})
	}
	for _, key := range sorted(c.after) {
		data := c.after[key]
		if before, ok := c.before[key]; ok && reflect.DeepEqual(before, data) {
			continue
		}
		put(key, a.relatedItem(key, data))
	}
	for _, key := range sorted(c.entries) {
		if _, dup := c.after[key]; dup {
			return nil, derivedTwice(key)
		}
		put(key, c.entries[key])
	}
	for _, key := range sorted(c.before) {
		if _, ok := c.after[key]; !ok {
			writes = append(writes, types.TransactWriteItem{Delete: &types.Delete{
				TableName: &a.config.Table, Key: key.item(),
				ConditionExpression: owned, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
			}})
		}
	}
	return writes, err
}

func sorted(rows map[Key]Item) []Key {
	return slices.SortedFunc(maps.Keys(rows), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Row, b.Row))
	})
}

// send writes the own row, if it is as it was, and the related rows in the same transaction.
func (a *applier) send(ctx context.Context, was, item Item, related []types.TransactWriteItem) error {
	if n := 1 + len(related); n > maxTransaction {
		return fmt.Errorf("%w: %d", ErrTooManyRows, n)
	}
	own := a.fencedPut(was, item)
	if len(related) == 0 {
		_, err := a.config.DB.PutItem(ctx, dynamo.PutItem(own))
		return writeError("write the own row", err)
	}
	return a.transact(ctx, types.TransactWriteItem{Put: own}, related)
}

// fencedPut replaces the own row, if it is as it was.
func (a *applier) fencedPut(was, item Item) *types.Put {
	condition, names, values := unchanged(was)
	return &types.Put{
		TableName: &a.config.Table, Item: item,
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}
}

// transact writes what concerns the own row, and the related rows, at once.
func (a *applier) transact(ctx context.Context, own types.TransactWriteItem, related []types.TransactWriteItem) error {
	_, err := a.config.DB.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: append([]types.TransactWriteItem{own}, related...),
	})
	return writeError("write the rows", err)
}

// identity are the attributes that tell one write of an own row from any other, as if each write had made a new row: events that
// a log lost and got again differ in their ID, and rebuilds at one version in what they write.
var identity = []string{"version", "event_id", attrRebuild}

// unchanged is the condition that an own row is as it was read or written; nil: that there is none.
func unchanged(was Item) (condition *string, names map[string]string, values Item) {
	return same(was, identity...)
}

// same is the condition that attributes of a row are as they were when the row was read as was; nil: that there is no row.
func same(was Item, attrs ...string) (condition *string, names map[string]string, values Item) {
	names = map[string]string{"#id": "id"}
	if was == nil {
		return aws.String("attribute_not_exists(#id)"), names, nil
	}
	values = Item{}
	parts := []string{"attribute_exists(#id)"}
	for _, attr := range attrs {
		names["#"+attr] = attr
		if value := was[attr]; value != nil {
			parts, values[":"+attr] = append(parts, "#"+attr+" = :"+attr), value
		} else {
			parts = append(parts, "attribute_not_exists(#"+attr+")")
		}
	}
	if len(values) == 0 { // which DynamoDB refuses to be empty
		values = nil
	}
	return aws.String(strings.Join(parts, " AND ")), names, values
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
	if errors.Is(err, ErrInvalidRow) || errors.Is(err, ErrNoEffect) || errors.Is(err, ErrTooManyRows) || errors.Is(err, ErrNotOwner) {
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
