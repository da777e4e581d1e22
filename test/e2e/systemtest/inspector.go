package systemtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// idle is how long read models that are behind may apply nothing.
const idle = 2 * time.Minute

// Inspector reads what a system keeps in AWS, bypassing its services, and sends requests to them.
type Inspector struct {
	// Client sends requests to the services.
	Client

	Names topology.Names
	// DB reaches the tables, bypassing the services.
	DB *dynamodb.Client
	// EventLog is read and written bypassing the services.
	EventLog *dynamostore.Store

	queues *sqs.Client
}

// NewInspector returns the inspector of a system whose AWS cfg reaches.
func NewInspector(cfg aws.Config, names topology.Names, client Client) Inspector {
	db := dynamodb.NewFromConfig(cfg)
	return Inspector{
		Client: client, Names: names, DB: db, queues: sqs.NewFromConfig(cfg),
		EventLog: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{
			Events: names.EventLog, Claims: names.SetValidations, Scopes: names.Scopes, Commands: names.Commands,
		}}),
	}
}

// Users reads the users projection, bypassing the services.
func (in *Inspector) Users() projection.Reader {
	return projection.Reader{DB: in.DB, Table: in.Names.Users}
}

// Roles reads the roles projection; see Users.
func (in *Inspector) Roles() projection.Reader {
	return projection.Reader{DB: in.DB, Table: in.Names.Roles}
}

// Trail reads the audit trail; see Users.
func (in *Inspector) Trail() projection.Reader {
	return projection.Reader{DB: in.DB, Table: in.Names.Trail}
}

// Audit folds the log, waits until all read models show its last versions, as long as they apply any, and returns every breach: in
// the log itself, in the reserved unique values, in what the API shows, and every dead letter.
func (in *Inspector) Audit(ctx context.Context) (*oracle.Fold, error) {
	fold, err := oracle.FoldLog(ctx, in.EventLog)
	if err != nil {
		return nil, err
	}
	models, err := oracle.Models(ctx, in.DB, in.Names)
	if err != nil {
		return nil, err
	}
	if err := fold.Settle(ctx, idle, models...); err != nil {
		return nil, err
	}
	shown, err := oracle.Show(ctx, in.HTTP, in.Base)
	if err != nil {
		return nil, err
	}
	trail, err := fold.Trail(ctx, in.HTTP, in.Base)
	if err != nil {
		return nil, err
	}
	claims, err := in.claims(ctx, fold)
	if err != nil {
		return nil, err
	}
	scopes, err := fold.Uncounted(ctx, dynamostore.NewScopes(in.DB, dynamostore.Config{Tables: dynamostore.Tables{Scopes: in.Names.Scopes}}))
	if err != nil {
		return nil, err
	}
	dead, err := in.deadLetters(ctx)
	if err != nil {
		return nil, err
	}
	var breaches []error
	for _, list := range [][]string{fold.Faults, oracle.Differences(fold.Expect(), shown), trail, claims, scopes, dead} {
		for _, breach := range list {
			breaches = append(breaches, errors.New(breach))
		}
	}
	return fold, errors.Join(breaches...)
}

// claims compares the reserved values with those that the folded states hold.
func (in *Inspector) claims(ctx context.Context, fold *oracle.Fold) (breaches []string, err error) {
	wanted := map[string]string{}
	for key, owner := range fold.Owners {
		wanted[key] = owner.String()
	}
	items, err := in.Items(ctx, in.Names.SetValidations)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		var stored struct{ Constraint, Stream string }
		if err := attributevalue.UnmarshalMap(item, &stored); err != nil {
			return nil, fmt.Errorf("decode a claim: %w", err)
		}
		if owner, ok := wanted[stored.Constraint]; !ok || owner != stored.Stream {
			breaches = append(breaches, fmt.Sprintf("claim %s is held by %s, by the log its owner is %q", stored.Constraint, stored.Stream, owner))
		}
		delete(wanted, stored.Constraint)
	}
	for constraint, owner := range wanted {
		breaches = append(breaches, fmt.Sprintf("claim %s of %s is not reserved", constraint, owner))
	}
	return breaches, nil
}

func (in *Inspector) deadLetters(ctx context.Context) (breaches []string, err error) {
	for _, sub := range in.Names.Subscriptions() {
		url, err := in.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(topology.DeadLetters(sub.Queue))})
		if err != nil {
			return nil, err
		}
		out, err := in.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl:       url.QueueUrl,
			AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages},
		})
		if err != nil {
			return nil, err
		}
		if n := out.Attributes[string(sqstypes.QueueAttributeNameApproximateNumberOfMessages)]; n != "0" {
			breaches = append(breaches, fmt.Sprintf("%s dead letters of %s", n, sub.Queue))
		}
	}
	return breaches, nil
}

// Items reads a whole table, in no order.
func (in *Inspector) Items(ctx context.Context, table string) (items []map[string]types.AttributeValue, err error) {
	pages := dynamodb.NewScanPaginator(in.DB, &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("scan %s: %w", table, err)
		}
		items = append(items, page.Items...)
	}
	return items, nil
}

// Records reads the whole log, by correlation ID.
func (in *Inspector) Records(ctx context.Context) (map[string][]eventsourcing.Record, error) {
	out := map[string][]eventsourcing.Record{}
	for rec, err := range in.EventLog.All(ctx, 4) {
		if err != nil {
			return nil, err
		}
		out[rec.Metadata.CorrelationID] = append(out[rec.Metadata.CorrelationID], rec)
	}
	return out, nil
}
