package dynamostore

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
)

// Tables are the names of the tables.
type Tables struct {
	// Events is the event log. Defaults to "EventLog".
	Events string
	// Claims holds the owner of each claimed value. Defaults to "set-validations".
	Claims string
	// Scopes holds the counters of scopes. Defaults to "scopes".
	Scopes string
	// Commands holds the results of commands. Defaults to "commands".
	Commands string
	// Snapshots holds the states of long streams. Defaults to "snapshots".
	Snapshots string
}

func (t Tables) withDefaults() Tables {
	return Tables{
		Events:    cmp.Or(t.Events, "EventLog"),
		Claims:    cmp.Or(t.Claims, "set-validations"),
		Scopes:    cmp.Or(t.Scopes, "scopes"),
		Commands:  cmp.Or(t.Commands, "commands"),
		Snapshots: cmp.Or(t.Snapshots, "snapshots"),
	}
}

// CreateTableInputs declares the tables, the event log first. All are billed per request.
func (t Tables) CreateTableInputs() []*dynamodb.CreateTableInput {
	t = t.withDefaults()
	events := dynamo.SortedTable(t.Events, attrStream, attrVersion, types.ScalarAttributeTypeN)
	events.StreamSpecification = &types.StreamSpecification{
		StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage,
	}
	return []*dynamodb.CreateTableInput{
		events, dynamo.Table(t.Claims, attrConstraint), dynamo.Table(t.Scopes, attrScope), dynamo.Table(t.Commands, attrID),
		dynamo.Table(t.Snapshots, attrStream),
	}
}

// TimeToLiveInput declares the expiry of command results. It can be enabled once the table is active.
func (t Tables) TimeToLiveInput() *dynamodb.UpdateTimeToLiveInput {
	return &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(t.withDefaults().Commands),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String(attrExpiresAt), Enabled: aws.Bool(true),
		},
	}
}
