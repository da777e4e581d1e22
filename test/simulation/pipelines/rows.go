// Package pipelines holds read sides as they are usually built on AWS, for comparison with Leftfold's in the simulation. Each follows the
// documentation that it names, with the settings that it recommends. No production package knows them.
//
// All keep the same read model, Rows. They differ in how events come to it, and in what they do if that fails.
package pipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

// Apply applies one event to a read model.
type Apply func(context.Context, eventsourcing.Record) error

// ErrUnknown means that an event cannot be applied, however often it is tried.
var ErrUnknown = errors.New("unknown event")

// Rows is a read model with one row for each user and role. An event changes what it is about and nothing else, in one write without a
// read: the shortest handler that there is.
type Rows struct {
	DB    *dynamodb.Client
	Table string
	// NewerOnly ignores an event unless its version is above the row's, as is often advised against repeated and late events:
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/BestPractices_ImplementingVersionControl.html
	NewerOnly bool
}

// Row is what a row shows of a user or role.
type Row struct {
	Email     string   `dynamodbav:"email"`
	FirstName string   `dynamodbav:"firstName"`
	LastName  string   `dynamodbav:"lastName"`
	Name      string   `dynamodbav:"name"`
	Disabled  bool     `dynamodbav:"disabled"`
	Roles     []string `dynamodbav:"roles,stringset"`
}

// CreateTableInput declares the table of rows.
func CreateTableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
	}
}

// Apply implements Apply. Each write counts itself in the row.
func (r Rows) Apply(ctx context.Context, event eventsourcing.Record) error {
	c, err := changeBy(event)
	if err != nil {
		return err
	}
	c.set["version"] = event.Version
	names, values := map[string]string{"#writes": "writes"}, map[string]any{":one": 1}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(c.set)) {
		names["#"+name], values[":"+name] = name, c.set[name]
		set = append(set, "#"+name+" = :"+name)
	}
	items, err := attributevalue.MarshalMap(values)
	if err != nil {
		return err
	}
	update := "SET " + strings.Join(set, ", ") + " ADD #writes :one"
	for _, held := range []struct{ role, clause string }{{c.granted, ", #roles :role"}, {c.revoked, " DELETE #roles :role"}} {
		if held.role != "" {
			names["#roles"], items[":role"] = "roles", &types.AttributeValueMemberSS{Value: []string{held.role}}
			update += held.clause
		}
	}
	in := &dynamodb.UpdateItemInput{
		TableName: &r.Table, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: event.Stream.String()}},
		UpdateExpression: &update, ExpressionAttributeNames: names, ExpressionAttributeValues: items,
	}
	if r.NewerOnly {
		in.ConditionExpression = aws.String("attribute_not_exists(#version) OR #version < :version")
	}
	_, err = r.DB.UpdateItem(ctx, in)
	if _, older := errors.AsType[*types.ConditionalCheckFailedException](err); older {
		return nil
	}
	return err
}

// change is what an event changes in its row.
type change struct {
	set              map[string]any
	granted, revoked string // a role
}

func changeBy(r eventsourcing.Record) (change, error) {
	c := change{set: map[string]any{}}
	var event any
	var err error
	if r.Stream.Category == role.Category {
		event, err = role.NewCodec().Decode(r.Name, r.Schema, r.Data)
	} else {
		event, err = user.NewCodec().Decode(r.Name, r.Schema, r.Data)
	}
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if e, ok := event.(user.Event); ok {
		if g, ok := view.GrantIn(e); ok && g.Held {
			c.granted = string(g.RoleID)
		} else if ok {
			c.revoked = string(g.RoleID)
		}
	}
	switch e := event.(type) {
	case user.Registered:
		c.set["email"] = e.Email
	case user.Updated:
		c.set["firstName"], c.set["lastName"] = e.FirstName, e.LastName
	case user.EmailChanged:
		c.set["email"] = e.Email
	case user.Disabled, role.Disabled, role.RetirementCancelled:
		c.set["disabled"] = true
	case user.Enabled, role.Enabled:
		c.set["disabled"] = false
	case role.Created:
		c.set["name"] = e.Name
	case role.Renamed:
		c.set["name"] = e.Name
	}
	return c, nil
}
