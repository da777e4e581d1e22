package generation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
)

// ErrMoved means that another process has written the state meanwhile.
var ErrMoved = errors.New("another operator has changed the generations meanwhile; when its command has ended, run this one again")

// DynamoDBAPI is the part of *dynamodb.Client that a Control uses.
type DynamoDBAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// CreateTableInput declares the table of states.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	return dynamo.Table(name, "projection")
}

// Control reads and writes the state of one projection.
type Control struct {
	DB DynamoDBAPI
	// Table is the table of states.
	Table string
	// Projection is the projection's name, such as "users".
	Projection string
}

// Read returns the state: the last one written before, or a later one.
func (c Control) Read(ctx context.Context) (State, error) {
	out, err := c.DB.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &c.Table, Key: dynamo.Item{"projection": dynamo.Text(c.Projection)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return State{}, fmt.Errorf("read the generations of %s: %w", c.Projection, err)
	}
	if out.Item == nil {
		return Initial(), nil
	}
	var s State
	if err := attributevalue.UnmarshalMap(out.Item, &s); err != nil {
		return State{}, fmt.Errorf("read the generations of %s: %w", c.Projection, err)
	}
	return s, nil
}

// Write writes the state that follows the one of the same revision, and returns it; ErrMoved if there is another one.
func (c Control) Write(ctx context.Context, s State, now time.Time) (State, error) {
	was := s.Revision
	s.Revision, s.At = was+1, now.UTC()
	item, err := attributevalue.MarshalMap(s)
	if err != nil {
		return s, fmt.Errorf("encode the generations of %s: %w", c.Projection, err)
	}
	item["projection"] = dynamo.Text(c.Projection)
	in := &dynamodb.PutItemInput{
		TableName: &c.Table, Item: item,
		ConditionExpression:       aws.String("attribute_not_exists(#revision) OR #revision = :was"),
		ExpressionAttributeNames:  map[string]string{"#revision": "revision"},
		ExpressionAttributeValues: dynamo.Item{":was": dynamo.Number(was)},
	}
	if was > 0 {
		in.ConditionExpression = aws.String("#revision = :was")
	}
	_, err = c.DB.PutItem(ctx, in)
	if _, moved := errors.AsType[*types.ConditionalCheckFailedException](err); moved {
		if is, err := c.Read(ctx); err == nil && is.equal(s) { // the answer to the first attempt was lost
			return is, nil
		}
		return s, fmt.Errorf("write the generations of %s: %w", c.Projection, ErrMoved)
	}
	if err != nil {
		return s, fmt.Errorf("write the generations of %s: %w", c.Projection, err)
	}
	return s, nil
}

// equal reports whether two states are the same write.
func (s State) equal(t State) bool {
	return s.Revision == t.Revision && s.Phase == t.Phase && s.Current == t.Current && s.At.Equal(t.At) && s.Highest == t.Highest
}
