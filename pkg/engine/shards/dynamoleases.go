package shards

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// LeasesAPI is what DynamoDBLeases needs of the AWS client.
type LeasesAPI interface {
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// DynamoDBLeases keeps leases in a DynamoDB table, which many consumers may share.
type DynamoDBLeases struct {
	client LeasesAPI
	table  string
}

// NewDynamoDBLeases keeps leases in the table of that name; see CreateTableInput.
func NewDynamoDBLeases(client LeasesAPI, table string) *DynamoDBLeases {
	return &DynamoDBLeases{client: client, table: table}
}

// CreateTableInput declares the table that DynamoDBLeases needs.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("consumer"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("shard"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("consumer"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("shard"), KeyType: types.KeyTypeRange},
		},
	}
}

// List implements Leases.
func (d *DynamoDBLeases) List(ctx context.Context, consumer string) ([]Lease, error) {
	pages := dynamodb.NewQueryPaginator(d.client, &dynamodb.QueryInput{
		TableName:                 aws.String(d.table),
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#consumer = :consumer"),
		ExpressionAttributeNames:  map[string]string{"#consumer": "consumer"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":consumer": text(consumer)},
	})
	var leases []Lease
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("query table %s: %w", d.table, err)
		}
		for _, item := range page.Items {
			l, err := parseLease(item)
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", d.table, err)
			}
			leases = append(leases, l)
		}
	}
	return leases, nil
}

// Put implements Leases.
func (d *DynamoDBLeases) Put(ctx context.Context, next, seen Lease) error {
	in := &dynamodb.PutItemInput{
		TableName: aws.String(d.table), Item: next.item(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if seen.Counter == 0 {
		in.ConditionExpression = aws.String("attribute_not_exists(#shard)")
		in.ExpressionAttributeNames = map[string]string{"#shard": "shard"}
	} else {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = asSeen(seen)
	}
	_, err := d.client.PutItem(ctx, in)
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return d.wrap("put", next, err)
	}
	return d.lost(next, refused.Item)
}

// Delete implements Leases.
func (d *DynamoDBLeases) Delete(ctx context.Context, seen Lease) error {
	condition, names, values := asSeen(seen)
	names["#shard"] = "shard"
	_, err := d.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                 aws.String(d.table),
		Key:                       map[string]types.AttributeValue{"consumer": text(seen.Consumer), "shard": text(seen.Shard)},
		ConditionExpression:       aws.String("attribute_not_exists(#shard) OR (" + *condition + ")"),
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
		// what is stored instead does not matter: the zero Lease equals no stored one
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return d.wrap("delete", seen, err)
	}
	return d.lost(Lease{}, refused.Item)
}

func (d *DynamoDBLeases) wrap(deed string, l Lease, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s lease of %s in table %s: %w", deed, l.Shard, d.table, err)
}

// lost tells a write of others from an own one whose answer was lost.
func (d *DynamoDBLeases) lost(wanted Lease, item map[string]types.AttributeValue) error {
	if len(item) == 0 {
		return &LostError{}
	}
	stored, err := parseLease(item)
	if err != nil {
		return fmt.Errorf("table %s: %w", d.table, err)
	}
	if stored.Owner == wanted.Owner && stored.Counter == wanted.Counter && stored.Shard == wanted.Shard &&
		stored.Checkpoint == wanted.Checkpoint && stored.State == wanted.State {
		return nil
	}
	return &LostError{Stored: stored}
}

func asSeen(seen Lease) (condition *string, names map[string]string, values map[string]types.AttributeValue) {
	return aws.String("#owner = :owner AND #counter = :counter"),
		map[string]string{"#owner": "owner", "#counter": "counter"},
		map[string]types.AttributeValue{":owner": text(seen.Owner), ":counter": number(seen.Counter)}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func (l Lease) item() map[string]types.AttributeValue {
	parents := make([]types.AttributeValue, len(l.Parents))
	for i, p := range l.Parents {
		parents[i] = text(p)
	}
	item := map[string]types.AttributeValue{
		"consumer": text(l.Consumer), "shard": text(l.Shard), "owner": text(l.Owner), "counter": number(l.Counter),
		"checkpoint": text(string(l.Checkpoint)), "state": text(string(l.State)),
		"parents": &types.AttributeValueMemberL{Value: parents},
	}
	if !l.ReadAt.IsZero() {
		item["read_at"] = number(l.ReadAt.UnixMilli())
	}
	return item
}

func parseLease(item map[string]types.AttributeValue) (Lease, error) {
	var errs []error
	str := func(name string, v types.AttributeValue) string {
		s, ok := v.(*types.AttributeValueMemberS)
		if !ok {
			errs = append(errs, fmt.Errorf("lease: attribute %s is no string", name))
			return ""
		}
		return s.Value
	}
	num := func(name string) int64 {
		n, ok := item[name].(*types.AttributeValueMemberN)
		if !ok {
			errs = append(errs, fmt.Errorf("lease: attribute %s is no number", name))
			return 0
		}
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			errs = append(errs, fmt.Errorf("lease: attribute %s: %w", name, err))
		}
		return i
	}
	l := Lease{
		Consumer: str("consumer", item["consumer"]), Shard: str("shard", item["shard"]), Owner: str("owner", item["owner"]),
		Counter: num("counter"), Checkpoint: Position(str("checkpoint", item["checkpoint"])),
		State: State(str("state", item["state"])),
	}
	if parents, ok := item["parents"].(*types.AttributeValueMemberL); ok {
		for _, p := range parents.Value {
			l.Parents = append(l.Parents, str("parents", p))
		}
	} else {
		errs = append(errs, errors.New("lease: attribute parents is no list"))
	}
	if _, ok := item["read_at"]; ok {
		l.ReadAt = time.UnixMilli(num("read_at")).UTC()
	}
	return l, errors.Join(errs...)
}
