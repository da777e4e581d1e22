package cases

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
)

// floor is the least that a program can do which writes what a command writes: bare calls of the SDK, from this process.
type floor struct {
	db    *dynamodb.Client
	table string
}

// newFloor makes a table as the log's, without anyone who reads its stream.
func newFloor(ctx context.Context, db *dynamodb.Client) (floor, error) {
	in := dynamostore.Tables{Events: "bare"}.CreateTableInputs()[0]
	_, err := db.CreateTable(ctx, in)
	return floor{db, *in.TableName}, err
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// item is as large as an event.
func item() map[string]types.AttributeValue {
	id := newID()
	return map[string]types.AttributeValue{
		"stream": text("org/iam/user/" + id), "version": number("1"), "id": text(id), "name": text("org/iam/user/updated"),
		"schema": number("1"), "data": text(`{"firstName":"abcdefghijklmnopqrstuvwx","lastName":"Lee"}`),
		"recorded_at": text("2026-01-02T03:04:05.678Z"),
		"metadata": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
			"correlation_id": text(id), "causation_id": text(id), "actor": text("anonymous"),
		}},
	}
}

// put writes one item, if it does not exist.
func (f floor) put(ctx context.Context, _ int) error {
	_, err := f.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &f.table, Item: item(), ConditionExpression: aws.String("attribute_not_exists(#stream)"),
		ExpressionAttributeNames:            map[string]string{"#stream": "stream"},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return err
}

// transact writes two items in a transaction, as a registration writes its event and the claim on its address.
func (f floor) transact(ctx context.Context, _ int) error {
	put := func() types.TransactWriteItem {
		return types.TransactWriteItem{Put: &types.Put{
			TableName: &f.table, Item: item(), ConditionExpression: aws.String("attribute_not_exists(#stream)"),
			ExpressionAttributeNames: map[string]string{"#stream": "stream"},
		}}
	}
	_, err := f.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put(), put()}})
	return err
}
