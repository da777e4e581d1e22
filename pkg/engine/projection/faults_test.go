package projection_test

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/projection"
)

// throttling refuses writes as an overloaded table does, but not those that park.
type throttling struct {
	projection.DynamoDBAPI
	on      *bool
	refused *int
}

func (d throttling) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if *d.on {
		*d.refused++
		return nil, &types.ProvisionedThroughputExceededException{Message: aws.String("slow down")}
	}
	return d.DynamoDBAPI.PutItem(ctx, in, o...)
}

func (d throttling) TransactWriteItems(
	ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options),
) (*dynamodb.TransactWriteItemsOutput, error) {
	if *d.on && in.TransactItems[0].ConditionCheck == nil {
		*d.refused++
		reasons := make([]types.CancellationReason, len(in.TransactItems))
		for i := range reasons {
			reasons[i].Code = aws.String("ThrottlingError")
		}
		return nil, &types.TransactionCanceledException{CancellationReasons: reasons}
	}
	return d.DynamoDBAPI.TransactWriteItems(ctx, in, o...)
}

// partial answers only the first keys of each BatchGetItem.
type partial struct {
	projection.DynamoDBAPI
	answers int
}

func (d partial) BatchGetItem(
	ctx context.Context, in *dynamodb.BatchGetItemInput, o ...func(*dynamodb.Options),
) (*dynamodb.BatchGetItemOutput, error) {
	requested := in.RequestItems[table]
	n := min(d.answers, len(requested.Keys))
	others := requested.Keys[n:]
	out := &dynamodb.BatchGetItemOutput{}
	if n > 0 {
		requested.Keys = requested.Keys[:n]
		var err error
		in.RequestItems = map[string]types.KeysAndAttributes{table: requested}
		if out, err = d.DynamoDBAPI.BatchGetItem(ctx, in, o...); err != nil {
			return nil, err
		}
	}
	if len(others) > 0 {
		out.UnprocessedKeys = map[string]types.KeysAndAttributes{table: {Keys: others, ConsistentRead: requested.ConsistentRead}}
	}
	return out, nil
}
