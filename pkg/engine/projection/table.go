package projection

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Sparse secondary indexes, keyed by the row's own ID so that no partition gets hot: a scan of one reads only the rows
// that carry its key.
const (
	listingIndex = "listing" // key "listed": the own rows of listed sources
	parkingIndex = "parking" // key "parked": the parked rows
)

// CreateTableInput declares the table of a projection.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	text := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: types.ScalarAttributeTypeS}
	}
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: aws.String(name), KeyType: kind}
	}
	index := func(name, attr string) types.GlobalSecondaryIndex {
		return types.GlobalSecondaryIndex{
			IndexName:  aws.String(name),
			KeySchema:  []types.KeySchemaElement{key(attr, types.KeyTypeHash)},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}
	}
	return &dynamodb.CreateTableInput{
		TableName:              aws.String(name),
		BillingMode:            types.BillingModePayPerRequest,
		AttributeDefinitions:   []types.AttributeDefinition{text("id"), text("row"), text("listed"), text("parked")},
		KeySchema:              []types.KeySchemaElement{key("id", types.KeyTypeHash), key("row", types.KeyTypeRange)},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{index(listingIndex, "listed"), index(parkingIndex, "parked")},
	}
}
