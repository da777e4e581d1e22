package pipelines

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Times of an idempotency record: how long it counts, and how long the function that began it may take.
const (
	remembered      = time.Hour
	functionTimeout = 30 * time.Second
)

// errInProgress means that something is being done elsewhere.
var errInProgress = errors.New("in progress")

// Once is the idempotency of Powertools for AWS Lambda: a record says that a key's work is in progress, and later that it is completed.
// After an error the record is deleted; after a crash it counts until the function's time is over.
// https://docs.aws.amazon.com/powertools/python/latest/utilities/idempotency/
type Once struct {
	DB    *dynamodb.Client
	Table string
}

// entry is a record, as Powertools stores it.
type entry struct {
	ID         string `dynamodbav:"id"`
	Status     string `dynamodbav:"status"`
	Expiration int64  `dynamodbav:"expiration"`
	InProgress int64  `dynamodbav:"in_progress_expiration"` // in milliseconds
}

// Do does work unless it was done under that key.
func (o Once) Do(ctx context.Context, key string, work func() error) error {
	began, err := o.begin(ctx, key)
	if err != nil || !began {
		return err
	}
	if err := work(); err != nil {
		return errors.Join(err, o.forget(ctx, key))
	}
	return o.complete(ctx, key)
}

// begin returns false if the work was completed.
func (o Once) begin(ctx context.Context, key string) (bool, error) {
	now := time.Now()
	item, err := attributevalue.MarshalMap(entry{
		ID: key, Status: "INPROGRESS", Expiration: now.Add(remembered).Unix(), InProgress: now.Add(functionTimeout).UnixMilli(),
	})
	if err != nil {
		return false, err
	}
	values, err := attributevalue.MarshalMap(map[string]any{":now": now.Unix(), ":inprogress": "INPROGRESS", ":ms": now.UnixMilli()})
	if err != nil {
		return false, err
	}
	_, err = o.DB.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &o.Table, Item: item,
		ConditionExpression: aws.String("attribute_not_exists(id) OR #expiration < :now OR " +
			"(#status = :inprogress AND attribute_exists(#inprogress) AND #inprogress < :ms)"),
		ExpressionAttributeNames: map[string]string{
			"#expiration": "expiration", "#status": "status", "#inprogress": "in_progress_expiration",
		},
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return err == nil, err
	}
	var stored entry
	if err := attributevalue.UnmarshalMap(refused.Item, &stored); err != nil {
		return false, err
	}
	if stored.Status == "INPROGRESS" {
		return false, errInProgress
	}
	return false, nil
}

func (o Once) complete(ctx context.Context, key string) error {
	item, err := attributevalue.MarshalMap(entry{ID: key, Status: "COMPLETED", Expiration: time.Now().Add(remembered).Unix()})
	if err != nil {
		return err
	}
	_, err = o.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: &o.Table, Item: item})
	return err
}

func (o Once) forget(ctx context.Context, key string) error {
	_, err := o.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &o.Table, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: key}},
	})
	return err
}
