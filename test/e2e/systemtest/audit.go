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

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// Books are what a system keeps in AWS, read past its services.
type Books struct {
	// Client speaks to the services.
	Client

	Names topology.Names
	// DB reaches the tables past the services.
	DB *dynamodb.Client
	// Log is the event log, read and written past the services.
	Log *dynamostore.Store

	queues *sqs.Client
}

// NewBooks are the books of a system whose AWS cfg reaches.
func NewBooks(cfg aws.Config, names topology.Names, client Client) Books {
	db := dynamodb.NewFromConfig(cfg)
	return Books{
		Client: client, Names: names, DB: db, queues: sqs.NewFromConfig(cfg),
		Log: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{
			Events: names.EventLog, Claims: names.SetValidations, Commands: names.Commands,
		}}),
	}
}

// Users reads the users projection past the services.
func (b *Books) Users() projection.Reader { return projection.Reader{DB: b.DB, Table: b.Names.Users} }

// Roles reads the roles projection; see Users.
func (b *Books) Roles() projection.Reader { return projection.Reader{DB: b.DB, Table: b.Names.Roles} }

// Audit folds the log, waits at most so long until both read models have come to its heads, and names every breach: in
// the log itself, of the unique values reserved, of what the API shows, of messages given up on.
func (b *Books) Audit(ctx context.Context, atMost time.Duration) (*oracle.Fold, error) {
	fold, err := oracle.FoldLog(ctx, b.Log)
	if err != nil {
		return nil, err
	}
	if err := fold.Settle(ctx, atMost, b.Users(), b.Roles()); err != nil {
		return nil, err
	}
	shown, err := oracle.Show(ctx, b.HTTP, b.Base)
	if err != nil {
		return nil, err
	}
	claims, err := b.claims(ctx, fold)
	if err != nil {
		return nil, err
	}
	dead, err := b.deadLetters(ctx)
	if err != nil {
		return nil, err
	}
	var breaches []error
	for _, list := range [][]string{fold.Faults, oracle.Differences(fold.Expect(), shown), claims, dead} {
		for _, breach := range list {
			breaches = append(breaches, errors.New(breach))
		}
	}
	return fold, errors.Join(breaches...)
}

// claims compares the reserved values with those that the folded states hold.
func (b *Books) claims(ctx context.Context, fold *oracle.Fold) (breaches []string, err error) {
	wanted := map[string]string{}
	for id, state := range fold.Users {
		for _, c := range user.Claims(state) {
			wanted[c.Key()] = eventsourcing.StreamID{Category: user.Category, ID: id}.String()
		}
	}
	for id, state := range fold.Roles {
		for _, c := range role.Claims(state) {
			wanted[c.Key()] = eventsourcing.StreamID{Category: role.Category, ID: id}.String()
		}
	}
	items, err := b.Items(ctx, b.Names.SetValidations)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		var stored struct{ Constraint, Stream string }
		if err := attributevalue.UnmarshalMap(item, &stored); err != nil {
			return nil, fmt.Errorf("decode a claim: %w", err)
		}
		if owner, ok := wanted[stored.Constraint]; !ok || owner != stored.Stream {
			breaches = append(breaches, fmt.Sprintf("claim %s is of %s, the log says %q", stored.Constraint, stored.Stream, owner))
		}
		delete(wanted, stored.Constraint)
	}
	for constraint, owner := range wanted {
		breaches = append(breaches, fmt.Sprintf("claim %s of %s is not reserved", constraint, owner))
	}
	return breaches, nil
}

func (b *Books) deadLetters(ctx context.Context) (breaches []string, err error) {
	for _, sub := range b.Names.Subscriptions() {
		url, err := b.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(topology.DeadLetters(sub.Queue))})
		if err != nil {
			return nil, err
		}
		out, err := b.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
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
func (b *Books) Items(ctx context.Context, table string) (items []map[string]types.AttributeValue, err error) {
	pages := dynamodb.NewScanPaginator(b.DB, &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)})
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
func (b *Books) Records(ctx context.Context) (map[string][]eventsourcing.Record, error) {
	out := map[string][]eventsourcing.Record{}
	for rec, err := range b.Log.All(ctx, 4) {
		if err != nil {
			return nil, err
		}
		out[rec.Metadata.CorrelationID] = append(out[rec.Metadata.CorrelationID], rec)
	}
	return out, nil
}
