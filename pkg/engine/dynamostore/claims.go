package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// ClaimsAPI is what Claims needs of *dynamodb.Client.
type ClaimsAPI interface {
	DynamoDBAPI
	TransactGetItems(context.Context, *dynamodb.TransactGetItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error)
}

// Claims is the claims table as an audit sees it, beside the log that it must agree with. Commands write it through
// Store.Append alone. It is safe for concurrent use.
type Claims struct {
	log *Store
	db  ClaimsAPI
}

// NewClaims returns the claims of the tables that cfg names.
func NewClaims(db ClaimsAPI, cfg Config) *Claims {
	cfg.KnownStreams = 1 // appends profit from it, and here are none
	return &Claims{log: NewStore(db, cfg), db: db}
}

// ClaimRow is a claim as the table has it. Its Key holds personal data: never log it.
type ClaimRow struct {
	Key string
	// Owner is a stream's text; "" where the row names none, which no append writes.
	Owner string
	seen  types.AttributeValue // Owner as it is in the row; nil: it is not
}

// EventLog reads streams.
func (c *Claims) EventLog() *Store { return c.log }

// Streams yields every stream that the log held when the call was made, and perhaps later ones, in pages as DynamoDB
// gives them: those of `limit` events, or of 1 MB of events if it is 0. Most pages are short, for it reads the whole log
// to find each stream's first event. The first error ends the sequence.
func (c *Claims) Streams(ctx context.Context, limit int32) iter.Seq2[[]string, error] {
	return pagesOf(ctx, c.db, &dynamodb.ScanInput{
		TableName: &c.log.cfg.Tables.Events, Limit: orNone(limit), ConsistentRead: aws.Bool(true),
		FilterExpression:          aws.String("#version = :first"),
		ProjectionExpression:      aws.String("#stream"),
		ExpressionAttributeNames:  map[string]string{"#stream": attrStream, "#version": attrVersion},
		ExpressionAttributeValues: item{":first": number(1)},
	}, func(it item) string { return textIn(it, attrStream) })
}

// Rows yields every claim that the table held throughout the call, and perhaps others, in pages of `limit`, or of 1 MB
// if it is 0. The first error ends the sequence.
func (c *Claims) Rows(ctx context.Context, limit int32) iter.Seq2[[]ClaimRow, error] {
	return pagesOf(ctx, c.db, &dynamodb.ScanInput{
		TableName: &c.log.cfg.Tables.Claims, Limit: orNone(limit), ConsistentRead: aws.Bool(true),
	}, rowOf)
}

func pagesOf[T any](ctx context.Context, db DynamoDBAPI, in *dynamodb.ScanInput, of func(item) T) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		for pages := dynamodb.NewScanPaginator(db, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, failed("scan "+*in.TableName, err))
				return
			}
			page := make([]T, len(out.Items))
			for i, it := range out.Items {
				page[i] = of(it)
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// At returns the claim's row, or nil, as of a moment no earlier than the call at which every one of the streams was at
// its version; if there was none such, or a writer is in the way, it is an eventsourcing.ErrGuardMoved.
func (c *Claims) At(ctx context.Context, key string, streams ...eventsourcing.Guard) (*ClaimRow, error) {
	const deed = "look at a claim"
	if len(streams) == 0 {
		out, err := c.db.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &c.log.cfg.Tables.Claims, Key: claimKey(key), ConsistentRead: aws.Bool(true),
		})
		if err != nil {
			return nil, failed(deed, err)
		}
		return rowIn(out.Item), nil
	}
	get := func(table string, key item) types.TransactGetItem {
		return types.TransactGetItem{Get: &types.Get{TableName: &table, Key: key}}
	}
	items := []types.TransactGetItem{get(c.log.cfg.Tables.Claims, claimKey(key))}
	for _, s := range streams {
		items = append(items, get(c.log.cfg.Tables.Events, eventKey(s.Stream, s.Version)),
			get(c.log.cfg.Tables.Events, eventKey(s.Stream, s.Version+1)))
	}
	out, err := c.db.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: items})
	if err != nil {
		return nil, moved(deed, err)
	}
	if len(out.Responses) != len(items) {
		return nil, fmt.Errorf("%s: %d answers for %d items", deed, len(out.Responses), len(items))
	}
	for i, s := range streams {
		head, next := out.Responses[1+2*i].Item, out.Responses[2+2*i].Item
		if (head != nil) != (s.Version > 0) || next != nil {
			return nil, fmt.Errorf("%s: %w: %s", deed, eventsourcing.ErrGuardMoved, s.Stream)
		}
	}
	return rowIn(out.Responses[0].Item), nil
}

// Assign makes owner the claim's, if its row is still as seen (nil: absent) and every one of the streams at its version.
// Else nothing is written, and it is an eventsourcing.ErrGuardMoved.
func (c *Claims) Assign(ctx context.Context, key string, seen *ClaimRow, owner eventsourcing.StreamID, streams ...eventsourcing.Guard) error {
	condition, names, values := asSeen(seen)
	return c.write(ctx, "put a claim", types.TransactWriteItem{Put: &types.Put{
		TableName: &c.log.cfg.Tables.Claims, Item: item{attrConstraint: text(key), attrStream: text(owner.String())},
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, streams)
}

// Delete deletes the claim on the terms of Assign.
func (c *Claims) Delete(ctx context.Context, seen ClaimRow, streams ...eventsourcing.Guard) error {
	condition, names, values := asSeen(&seen)
	return c.write(ctx, "delete a claim", types.TransactWriteItem{Delete: &types.Delete{
		TableName: &c.log.cfg.Tables.Claims, Key: claimKey(seen.Key),
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, streams)
}

func (c *Claims) write(ctx context.Context, deed string, change types.TransactWriteItem, streams []eventsourcing.Guard) error {
	p := plan{}
	p.add(change, nil)
	for _, s := range streams {
		p.absent(c.log.cfg.Tables.Events, s.Stream, s.Version+1, nil)
		if s.Version > 0 {
			p.exists(c.log.cfg.Tables.Events, s.Stream, s.Version, nil)
		}
	}
	in := &dynamodb.TransactWriteItemsInput{} // the SDK adds a token, so that its own retries write once
	for _, a := range p.actions {
		in.TransactItems = append(in.TransactItems, a.item)
	}
	_, err := c.db.TransactWriteItems(ctx, in)
	return moved(deed, err)
}

// moved tells what has changed meanwhile, or is just changing, from what went wrong.
func moved(deed string, err error) error {
	canceled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return failed(deed, err)
	}
	for _, reason := range canceled.CancellationReasons {
		switch code := aws.ToString(reason.Code); code {
		case "", "None", conditionFailed, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
		default:
			return fmt.Errorf("%s: %s: %s", deed, code, aws.ToString(reason.Message))
		}
	}
	return fmt.Errorf("%s: %w", deed, eventsourcing.ErrGuardMoved)
}

func asSeen(row *ClaimRow) (condition *string, names map[string]string, values item) {
	switch {
	case row == nil:
		return aws.String("attribute_not_exists(#key)"), map[string]string{"#key": attrConstraint}, nil
	case row.seen == nil:
		return aws.String("attribute_exists(#key) AND attribute_not_exists(#owner)"),
			map[string]string{"#key": attrConstraint, "#owner": attrStream}, nil
	default:
		return aws.String("#owner = :seen"), map[string]string{"#owner": attrStream}, item{":seen": row.seen}
	}
}

func rowIn(it item) *ClaimRow {
	if it == nil {
		return nil
	}
	row := rowOf(it)
	return &row
}

func rowOf(it item) ClaimRow {
	return ClaimRow{Key: textIn(it, attrConstraint), Owner: textIn(it, attrStream), seen: it[attrStream]}
}

func textIn(it item, name string) string {
	v, ok := it[name].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return v.Value
}

func claimKey(key string) item { return item{attrConstraint: text(key)} }

func orNone(limit int32) *int32 {
	if limit <= 0 {
		return nil
	}
	return &limit
}
