package projection

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
)

// Sparse secondary indexes: a scan of one reads only the rows that have its key, which is the row's ID, so that no partition
// gets hot.
const (
	listingIndex = "listing" // key "listed": the own rows of listed sources
	parkingIndex = "parking" // key "parked": the parked rows
)

// CreateTableInput declares the table of a projection, billed per request.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	in := dynamo.SortedTable(name, "id", "row", types.ScalarAttributeTypeS)
	for _, index := range []struct{ name, key string }{{listingIndex, "listed"}, {parkingIndex, "parked"}} {
		in.AttributeDefinitions = append(in.AttributeDefinitions, dynamo.Attribute(index.key, types.ScalarAttributeTypeS))
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  aws.String(index.name),
			KeySchema:  []types.KeySchemaElement{{AttributeName: aws.String(index.key), KeyType: types.KeyTypeHash}},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		})
	}
	return in
}
