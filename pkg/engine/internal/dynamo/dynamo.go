// Package dynamo builds the attribute values and table declarations that the engine's packages share.
package dynamo

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Item is a DynamoDB item, a key, or the values of an expression.
type Item = map[string]types.AttributeValue

// Text is a value of type S.
func Text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// Number is a value of type N.
func Number[T ~int | ~int64 | ~uint64](n T) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
}

// PutItem is a Put of a transaction as a call of its own.
func PutItem(p *types.Put) *dynamodb.PutItemInput {
	return &dynamodb.PutItemInput{
		TableName: p.TableName, Item: p.Item, ConditionExpression: p.ConditionExpression,
		ExpressionAttributeNames: p.ExpressionAttributeNames, ExpressionAttributeValues: p.ExpressionAttributeValues,
		ReturnValuesOnConditionCheckFailure: p.ReturnValuesOnConditionCheckFailure,
	}
}

// Table declares a table that is billed per request, with a partition key of type S.
func Table(name, partitionKey string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            aws.String(name),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{Attribute(partitionKey, types.ScalarAttributeTypeS)},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(partitionKey), KeyType: types.KeyTypeHash}},
	}
}

// SortedTable is Table with a sort key.
func SortedTable(name, partitionKey, sortKey string, sortType types.ScalarAttributeType) *dynamodb.CreateTableInput {
	in := Table(name, partitionKey)
	in.AttributeDefinitions = append(in.AttributeDefinitions, Attribute(sortKey, sortType))
	in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: aws.String(sortKey), KeyType: types.KeyTypeRange})
	return in
}

// Attribute declares an attribute that a key refers to.
func Attribute(name string, of types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: of}
}
