package shards

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
)

// LeasesAPI is the part of *dynamodb.Client that DynamoDBLeases uses.
type LeasesAPI interface {
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// DynamoDBLeases stores leases in a DynamoDB table, which many consumers may share.
type DynamoDBLeases struct {
	client LeasesAPI
	table  string
}

// NewDynamoDBLeases returns the leases in the table of that name; see CreateTableInput.
func NewDynamoDBLeases(client LeasesAPI, table string) *DynamoDBLeases {
	return &DynamoDBLeases{client: client, table: table}
}

// CreateTableInput declares the table that DynamoDBLeases needs.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	return dynamo.SortedTable(name, "consumer", "shard", types.ScalarAttributeTypeS)
}

// List implements Leases.
func (d *DynamoDBLeases) List(ctx context.Context, consumer string) ([]Lease, error) {
	pages := dynamodb.NewQueryPaginator(d.client, &dynamodb.QueryInput{
		TableName:                 aws.String(d.table),
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#consumer = :consumer"),
		ExpressionAttributeNames:  map[string]string{"#consumer": "consumer"},
		ExpressionAttributeValues: dynamo.Item{":consumer": dynamo.Text(consumer)},
	})
	var leases []Lease
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("query table %s: %w", d.table, err)
		}
		for _, item := range page.Items {
			leases = append(leases, leaseOf(item))
		}
	}
	return leases, nil
}

// Put implements Leases.
func (d *DynamoDBLeases) Put(ctx context.Context, next, expected Lease) error {
	item, err := next.item()
	if err != nil {
		return d.wrap("encode", next, err)
	}
	in := &dynamodb.PutItemInput{
		TableName: aws.String(d.table), Item: item,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if expected.Counter == 0 && expected.damaged == nil {
		in.ConditionExpression = aws.String("attribute_not_exists(#shard)")
		in.ExpressionAttributeNames = map[string]string{"#shard": "shard"}
	} else {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = unchangedSince(expected)
	}
	_, err = d.client.PutItem(ctx, in)
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return d.wrap("put", next, err)
	}
	return d.lost(next, refused.Item)
}

// Delete implements Leases.
func (d *DynamoDBLeases) Delete(ctx context.Context, expected Lease) error {
	condition, names, values := unchangedSince(expected)
	names["#shard"] = "shard"
	_, err := d.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                           aws.String(d.table),
		Key:                                 dynamo.Item{"consumer": dynamo.Text(expected.Consumer), "shard": dynamo.Text(expected.Shard)},
		ConditionExpression:                 aws.String("attribute_not_exists(#shard) OR (" + *condition + ")"),
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return d.wrap("delete", expected, err)
	}
	return d.lost(Lease{}, refused.Item) // the zero Lease equals no stored one
}

func (d *DynamoDBLeases) wrap(operation string, l Lease, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s lease of %s in table %s: %w", operation, l.Shard, d.table, err)
}

// lost returns nil if wanted is stored, since then only the answer to an earlier write was lost, else a *LostError.
func (d *DynamoDBLeases) lost(wanted Lease, item dynamo.Item) error {
	if len(item) == 0 {
		return &LostError{}
	}
	stored := leaseOf(item)
	if stored.damaged == nil && stored.Owner == wanted.Owner && stored.Counter == wanted.Counter && stored.Shard == wanted.Shard &&
		stored.Checkpoint == wanted.Checkpoint && stored.State == wanted.State && stored.Source == wanted.Source &&
		maps.Equal(stored.Targets, wanted.Targets) {
		return nil
	}
	return &LostError{Stored: stored}
}

// unchangedSince is the condition that the stored lease has the owner and the counter of l.
func unchangedSince(l Lease) (condition *string, names map[string]string, values dynamo.Item) {
	names = map[string]string{"#owner": "owner", "#counter": "counter"}
	if l.damaged == nil {
		return aws.String("#owner = :owner AND #counter = :counter"), names,
			dynamo.Item{":owner": dynamo.Text(l.Owner), ":counter": dynamo.Number(l.Counter)}
	}
	var terms []string
	for _, name := range []string{"owner", "counter"} { // as stored, whatever their types
		v := l.damaged.item[name]
		if v == nil {
			terms = append(terms, "attribute_not_exists(#"+name+")")
			continue
		}
		if values == nil {
			values = dynamo.Item{} // DynamoDB refuses an empty one
		}
		terms, values[":"+name] = append(terms, "#"+name+" = :"+name), v
	}
	return aws.String(strings.Join(terms, " AND ")), names, values
}

// storedLease is a Lease as stored.
type storedLease struct {
	Lease

	ReadAt int64 `dynamodbav:"read_at,omitempty"` // in milliseconds since the Unix epoch
}

func (l Lease) item() (dynamo.Item, error) {
	stored := storedLease{Lease: l}
	stored.Parents = append([]string{}, l.Parents...) // a nil slice would be stored as null
	if !l.ReadAt.IsZero() {
		stored.ReadAt = l.ReadAt.UnixMilli()
	}
	return attributevalue.MarshalMap(stored)
}

// damaged is an item that is no lease, as stored.
type damaged struct {
	item dynamo.Item
	err  error
}

// leaseOf returns the lease in an item. Of one that cannot be read only the key is known.
func leaseOf(item dynamo.Item) Lease {
	l, err := parseLease(item)
	if err == nil {
		return l
	}
	bad := Lease{damaged: &damaged{item, err}}
	if v, ok := item["consumer"].(*types.AttributeValueMemberS); ok {
		bad.Consumer = v.Value
	}
	if v, ok := item["shard"].(*types.AttributeValueMemberS); ok {
		bad.Shard = v.Value
	}
	return bad
}

func parseLease(item dynamo.Item) (Lease, error) {
	for _, name := range []string{"consumer", "shard", "owner", "counter", "checkpoint", "parents", "state"} {
		if item[name] == nil {
			return Lease{}, fmt.Errorf("lease: attribute %s is missing", name)
		}
	}
	var stored storedLease
	if err := attributevalue.UnmarshalMap(item, &stored); err != nil {
		return Lease{}, fmt.Errorf("lease: %w", err)
	}
	if stored.ReadAt != 0 {
		stored.Lease.ReadAt = time.UnixMilli(stored.ReadAt).UTC()
	}
	return stored.Lease, nil
}
