package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// ClaimsAPI is the part of *dynamodb.Client that Claims uses.
type ClaimsAPI interface {
	DynamoDBAPI
	TransactGetItems(context.Context, *dynamodb.TransactGetItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactGetItemsOutput, error)
}

// Claims reads and repairs the claims table, for an audit that compares it with the event log. Commands take and
// release claims only by Store.Append: see plan.go. It is safe for concurrent use.
type Claims struct {
	eventLog *Store
	db       ClaimsAPI
}

// NewClaims returns the claims in the tables that cfg names.
func NewClaims(db ClaimsAPI, cfg Config) *Claims {
	eventLog := NewStore(db, cfg)
	eventLog.known.Resize(1) // for appends only
	return &Claims{eventLog: eventLog, db: db}
}

// ClaimRow is a row of the claims table. Its Key holds personal data: never log it.
type ClaimRow struct {
	Key string
	// Owner is the owner stream as text; "" if the row names none, which Append never writes.
	Owner string
	owner types.AttributeValue // as stored; nil if it is missing
}

// EventLog returns the event log beside the claims.
func (c *Claims) EventLog() *Store { return c.eventLog }

// Streams yields the streams of Store.Heads by their names.
func (c *Claims) Streams(ctx context.Context, limit int32) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		for heads, err := range c.eventLog.Heads(ctx, limit) {
			streams := make([]string, len(heads))
			for i, h := range heads {
				streams[i] = h.Stream
			}
			if !yield(streams, err) {
				return
			}
		}
	}
}

// Rows yields every claim that was in the table throughout the call, and perhaps others, in pages of limit claims, or of
// 1 MB if it is 0. The first error ends the sequence.
func (c *Claims) Rows(ctx context.Context, limit int32) iter.Seq2[[]ClaimRow, error] {
	return scan(ctx, c.db, &dynamodb.ScanInput{
		TableName: &c.eventLog.cfg.Tables.Claims, Limit: orNone(limit), ConsistentRead: aws.Bool(true),
	}, func(it item) (ClaimRow, error) { return *rowIn(it), nil })
}

// At returns the claim's row, or nil if there is none, as of a moment after the call at which each of the streams was at
// its version. If it finds no such moment, the error is an eventsourcing.ErrGuardMoved.
func (c *Claims) At(ctx context.Context, key string, streams ...eventsourcing.Guard) (*ClaimRow, error) {
	const operation = "read a claim"
	if len(streams) == 0 {
		out, err := c.db.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &c.eventLog.cfg.Tables.Claims, Key: claimKey(key), ConsistentRead: aws.Bool(true),
		})
		if err != nil {
			return nil, failed(operation, err)
		}
		return rowIn(out.Item), nil
	}
	get := func(table string, key item) types.TransactGetItem {
		return types.TransactGetItem{Get: &types.Get{TableName: &table, Key: key}}
	}
	items := []types.TransactGetItem{get(c.eventLog.cfg.Tables.Claims, claimKey(key))}
	for _, s := range streams {
		items = append(items, get(c.eventLog.cfg.Tables.Events, eventKey(s.Stream, s.Version)),
			get(c.eventLog.cfg.Tables.Events, eventKey(s.Stream, s.Version+1)))
	}
	out, err := c.db.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: items})
	if err != nil {
		return nil, moved(operation, err)
	}
	if len(out.Responses) != len(items) {
		return nil, fmt.Errorf("%s: %d answers for %d items", operation, len(out.Responses), len(items))
	}
	for i, s := range streams {
		head, next := out.Responses[1+2*i].Item, out.Responses[2+2*i].Item
		if (head != nil) != (s.Version > 0) || next != nil {
			return nil, fmt.Errorf("%s: %w: %s", operation, eventsourcing.ErrGuardMoved, s.Stream)
		}
	}
	return rowIn(out.Responses[0].Item), nil
}

// Assign makes owner the claim's owner, if its row is as expected (nil: there is none) and each of the streams at its
// version. Otherwise nothing is written, and the error is an eventsourcing.ErrGuardMoved.
func (c *Claims) Assign(
	ctx context.Context, key string, expected *ClaimRow, owner eventsourcing.StreamID, streams ...eventsourcing.Guard,
) error {
	condition, names, values := rowIs(expected)
	return c.write(ctx, "put a claim", types.TransactWriteItem{Put: &types.Put{
		TableName: &c.eventLog.cfg.Tables.Claims, Item: item{attrConstraint: dynamo.Text(key), attrStream: dynamo.Text(owner.String())},
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, streams)
}

// Delete deletes the claim, under the conditions of Assign.
func (c *Claims) Delete(ctx context.Context, expected ClaimRow, streams ...eventsourcing.Guard) error {
	condition, names, values := rowIs(&expected)
	return c.write(ctx, "delete a claim", types.TransactWriteItem{Delete: &types.Delete{
		TableName: &c.eventLog.cfg.Tables.Claims, Key: claimKey(expected.Key),
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, streams)
}

func (c *Claims) write(ctx context.Context, operation string, change types.TransactWriteItem, streams []eventsourcing.Guard) error {
	p := plan{}
	p.add(change, nil)
	for _, s := range streams {
		p.absent(c.eventLog.cfg.Tables.Events, s.Stream, s.Version+1, nil)
		if s.Version > 0 {
			p.exists(c.eventLog.cfg.Tables.Events, s.Stream, s.Version, nil)
		}
	}
	in := &dynamodb.TransactWriteItemsInput{} // the SDK adds a token, so that its own retries write once
	for _, a := range p.actions {
		in.TransactItems = append(in.TransactItems, a.item)
	}
	_, err := c.db.TransactWriteItems(ctx, in)
	return moved(operation, err)
}

// moved returns an eventsourcing.ErrGuardMoved if the error means that something has changed or is being changed.
func moved(operation string, err error) error {
	canceled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return failed(operation, err)
	}
	for _, reason := range canceled.CancellationReasons {
		switch code := aws.ToString(reason.Code); code {
		case "", "None", conditionFailed, "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
		default:
			return fmt.Errorf("%s: %s: %s", operation, code, aws.ToString(reason.Message))
		}
	}
	return fmt.Errorf("%s: %w", operation, eventsourcing.ErrGuardMoved)
}

// rowIs is the condition that the stored row is row; nil: that there is none.
func rowIs(row *ClaimRow) (condition *string, names map[string]string, values item) {
	switch {
	case row == nil:
		return aws.String("attribute_not_exists(#key)"), map[string]string{"#key": attrConstraint}, nil
	case row.owner == nil:
		return aws.String("attribute_exists(#key) AND attribute_not_exists(#owner)"),
			map[string]string{"#key": attrConstraint, "#owner": attrStream}, nil
	default:
		return aws.String("#owner = :stored"), map[string]string{"#owner": attrStream}, item{":stored": row.owner}
	}
}

func rowIn(it item) *ClaimRow {
	if it == nil {
		return nil
	}
	return &ClaimRow{Key: textIn(it, attrConstraint), Owner: textIn(it, attrStream), owner: it[attrStream]}
}

func textIn(it item, name string) string {
	v, ok := it[name].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return v.Value
}

func claimKey(key string) item { return item{attrConstraint: dynamo.Text(key)} }

func orNone(limit int32) *int32 {
	if limit <= 0 {
		return nil
	}
	return &limit
}
