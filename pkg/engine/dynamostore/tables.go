package dynamostore

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Tables names a Store's tables.
type Tables struct {
	// Events holds the log: one item per event, only ever inserted. Defaults to "EventLog".
	Events string
	// Claims holds the owner stream of each claimed value. Defaults to "set-validations".
	Claims string
	// Commands holds the remembered results of commands. Defaults to "commands".
	Commands string
	// Snapshots holds states of long streams; see Snapshots. Defaults to "snapshots".
	Snapshots string
}

func (t Tables) withDefaults() Tables {
	return Tables{
		Events:    cmp.Or(t.Events, "EventLog"),
		Claims:    cmp.Or(t.Claims, "set-validations"),
		Commands:  cmp.Or(t.Commands, "commands"),
		Snapshots: cmp.Or(t.Snapshots, "snapshots"),
	}
}

// CreateTableInputs declares the tables for whoever provisions them, all paid by request; the first is the log with its stream of
// new images.
func (t Tables) CreateTableInputs() []*dynamodb.CreateTableInput {
	t = t.withDefaults()
	events := table(t.Events, attrStream)
	events.KeySchema = append(events.KeySchema,
		types.KeySchemaElement{AttributeName: aws.String(attrVersion), KeyType: types.KeyTypeRange})
	events.AttributeDefinitions = append(events.AttributeDefinitions,
		types.AttributeDefinition{AttributeName: aws.String(attrVersion), AttributeType: types.ScalarAttributeTypeN})
	events.StreamSpecification = &types.StreamSpecification{
		StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage,
	}
	return []*dynamodb.CreateTableInput{
		events, table(t.Claims, attrConstraint), table(t.Commands, attrID), table(t.Snapshots, attrStream),
	}
}

// TimeToLiveInput declares the expiry of command results, to be switched on once the tables are active.
func (t Tables) TimeToLiveInput() *dynamodb.UpdateTimeToLiveInput {
	return &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(t.withDefaults().Commands),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(attrExpiresAt), Enabled: aws.Bool(true),
		},
	}
}

func table(name, partitionKey string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(partitionKey), KeyType: types.KeyTypeHash},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(partitionKey), AttributeType: types.ScalarAttributeTypeS},
		},
	}
}
