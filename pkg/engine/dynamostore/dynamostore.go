// Package dynamostore stores events in DynamoDB: one conditional write per commit, and consistent reads.
//
// Store is the event store, Snapshots the snapshot store. Claims and Scopes give audits access to the claims and the scopes.
// Package eventsourcing explains claims, guards and scopes.
//
// # Tables
//
// Tables.CreateTableInputs declares them, with these default names:
//
//   - EventLog: one item per event, only ever inserted. Partition key "stream" (S), sort key "version" (N); a stream with
//     the view type NEW_IMAGE.
//   - set-validations: one item per claim, with its owner. Partition key "constraint" (S).
//   - scopes: one item per scope, with its version and its counters. Partition key "scope" (S).
//   - commands: the results of commands. Partition key "id" (S); time to live in "expires_at", see Tables.TimeToLiveInput.
//   - snapshots: one item per stream, which may be deleted at any time. Partition key "stream" (S).
//
// # Permissions
//
// A transaction needs those of its parts: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
//
//   - Append: dynamodb:PutItem and dynamodb:ConditionCheckItem on EventLog; dynamodb:PutItem and dynamodb:DeleteItem on
//     set-validations; dynamodb:UpdateItem and dynamodb:ConditionCheckItem on scopes; dynamodb:PutItem on commands.
//   - Scopes: dynamodb:GetItem and dynamodb:BatchGetItem on scopes.
//   - Read, Last: dynamodb:Query on EventLog. All: dynamodb:Scan on it. Item: dynamodb:GetItem on it.
//   - Owner: dynamodb:GetItem on set-validations.
//   - Result: dynamodb:GetItem on commands. Remember: dynamodb:PutItem on it.
//   - Snapshots: dynamodb:GetItem, dynamodb:PutItem and dynamodb:DeleteItem on snapshots.
//   - Claims: dynamodb:Scan and dynamodb:GetItem on EventLog and set-validations and dynamodb:Query on EventLog; to repair,
//     also dynamodb:ConditionCheckItem on EventLog and dynamodb:PutItem and dynamodb:DeleteItem on set-validations.
//   - The type Scopes: dynamodb:Scan on EventLog and scopes and dynamodb:Query on EventLog; to repair, also dynamodb:PutItem on scopes.
package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// DynamoDBAPI is the part of *dynamodb.Client that a Store uses. The client's retryer retries throttled and lost calls.
type DynamoDBAPI interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	TransactWriteItems(
		context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
	) (*dynamodb.TransactWriteItemsOutput, error)
}

// Config configures a Store.
type Config struct {
	// Tables names the tables. Each name has a default, see Tables.
	Tables Tables
	// Now decides which command results have expired. Defaults to time.Now.
	Now func() time.Time
	// MaxAttempts bounds the attempts of one Append that conflicts with other transactions. Defaults to 10.
	MaxAttempts int
	// Backoff spaces those attempts. Defaults to 10 ms, doubled up to 160 ms.
	Backoff retry.Backoff
	// OnContended is called for each of those attempts that met another transaction, or a table at its limit. Defaults to no call.
	OnContended func()
	// FirstPage limits the records of a Read's first page, for callers that may stop there. Defaults to the size that
	// DynamoDB allows, as for all other pages.
	FirstPage int32
}

// Store is an eventsourcing.Store on DynamoDB. It is safe for concurrent use.
//
// A commit of one record and nothing else costs one PutItem, any other one TransactWriteItems. A command result's
// ExpiresAt is stored in whole seconds.
type Store struct {
	db  DynamoDBAPI
	cfg Config
	// known holds versions that streams have reached, as read or appended. It cannot be wrong, since streams only grow. An
	// append to another stream also checks, in a transaction, that version Expected exists.
	known *lru.Cache[eventsourcing.StreamID, eventsourcing.Version]
}

const knownStreams = 1 << 16

var _ eventsourcing.Store = (*Store)(nil)

// NewStore returns a Store on tables that exist; see Tables.
func NewStore(db DynamoDBAPI, cfg Config) *Store {
	cfg.Tables = cfg.Tables.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the documented default
	}
	cfg.MaxAttempts = cmp.Or(max(cfg.MaxAttempts, 0), 10)
	if cfg.OnContended == nil {
		cfg.OnContended = func() {}
	}
	cfg.Backoff = cfg.Backoff.Or(10*time.Millisecond, 160*time.Millisecond)
	known, err := lru.New[eventsourcing.StreamID, eventsourcing.Version](knownStreams)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Store{db: db, cfg: cfg, known: known}
}

// Read implements eventsourcing.Store.
func (s *Store) Read(
	ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		in := &dynamodb.QueryInput{
			TableName:                aws.String(s.cfg.Tables.Events),
			ConsistentRead:           aws.Bool(true),
			KeyConditionExpression:   aws.String("#stream = :stream AND #version > :after"),
			ExpressionAttributeNames: map[string]string{"#stream": attrStream, "#version": attrVersion},
			ExpressionAttributeValues: item{
				":stream": dynamo.Text(stream.String()), ":after": dynamo.Number(after),
			},
		}
		if s.cfg.FirstPage > 0 {
			in.Limit = aws.Int32(s.cfg.FirstPage)
		}
		last := after
		defer func() {
			if last > after { // after itself is the caller's claim, not something read
				s.reached(stream, last)
			}
		}()
		for more := true; more; {
			page, err := s.db.Query(ctx, in)
			if err != nil {
				yield(eventsourcing.Record{}, failed("query the log", err))
				return
			}
			for _, item := range page.Items {
				record, err := recordOf(item)
				if err == nil && record.Version != last+1 {
					err = fmt.Errorf("%w: version %d follows %d", eventsourcing.ErrLogHole, record.Version, last)
				}
				if err != nil {
					yield(eventsourcing.Record{}, err)
					return
				}
				if last = record.Version; !yield(record, nil) {
					return
				}
			}
			in.ExclusiveStartKey, in.Limit = page.LastEvaluatedKey, nil
			more = len(page.LastEvaluatedKey) > 0 // an empty page need not be the last
		}
	}
}

// Last returns the version of the stream's last event; 0 if it has none. It does not look at the events before it.
func (s *Store) Last(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error) {
	out, err := s.db.Query(ctx, &dynamodb.QueryInput{
		TableName: aws.String(s.cfg.Tables.Events), ConsistentRead: aws.Bool(true), Limit: aws.Int32(1), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("#stream = :stream"),
		ProjectionExpression:      aws.String("#stream, #version"),
		ExpressionAttributeNames:  map[string]string{"#stream": attrStream, "#version": attrVersion},
		ExpressionAttributeValues: item{":stream": dynamo.Text(stream.String())},
	})
	if err != nil {
		return 0, failed("query the last event of a stream", err)
	}
	if len(out.Items) == 0 {
		return 0, nil
	}
	return headIn(out.Items[0]).Version, nil
}

// ErrNoItem means that the log has no item of that key.
var ErrNoItem = errors.New("no such item in the log")

// Item returns the event in the log's item of that key, valid or not. The error is ErrNoItem, an *ItemError or that of the call.
func (s *Store) Item(ctx context.Context, stream, version string) (eventsourcing.Record, error) {
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(s.cfg.Tables.Events), ConsistentRead: aws.Bool(true),
		Key: item{attrStream: dynamo.Text(stream), attrVersion: &types.AttributeValueMemberN{Value: version}},
	})
	if err != nil {
		return eventsourcing.Record{}, failed("get an item of the log", err)
	}
	if out.Item == nil {
		return eventsourcing.Record{}, ErrNoItem
	}
	return recordOf(out.Item)
}

// Owner returns the stream that holds the claim at that moment, or the zero StreamID if none does. It needs dynamodb:GetItem on
// the table of claims.
func (s *Store) Owner(ctx context.Context, c eventsourcing.Claim) (eventsourcing.StreamID, error) {
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(s.cfg.Tables.Claims), Key: claimKey(c.Key()), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return eventsourcing.StreamID{}, failed("read a claim", err)
	}
	if out.Item == nil {
		return eventsourcing.StreamID{}, nil
	}
	owner, err := eventsourcing.ParseStreamID(textIn(out.Item, attrStream))
	if err != nil {
		return owner, fmt.Errorf("read the owner of a %s, which leftfold claims audit can repair: %w", c.Constraint(), err)
	}
	return owner, nil
}

// Remember implements eventsourcing.Store.
func (s *Store) Remember(ctx context.Context, r eventsourcing.CommandResult) error {
	if err := r.Validate(); err != nil {
		return err
	}
	p := plan{now: s.cfg.Now()}
	p.remember(s.cfg.Tables.Commands, r)
	if err := p.withinLimits(); err != nil {
		return fmt.Errorf("remember a command: %w", err)
	}
	_, err := s.db.PutItem(ctx, dynamo.PutItem(p.actions[0].item.Put))
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return eventsourcing.ErrCommandRepeated
	}
	err = failed("remember a command", err)
	if errors.Is(err, errContended) {
		err = fmt.Errorf("%w: %w", eventsourcing.ErrConflict, err) // another request is writing the same command
	}
	return err
}

// Result implements eventsourcing.Store. An expired result counts as deleted, which DynamoDB does up to days later:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
func (s *Store) Result(ctx context.Context, commandID string) (eventsourcing.CommandResult, error) {
	if commandID == "" {
		return eventsourcing.CommandResult{}, eventsourcing.ErrNoResult
	}
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(s.cfg.Tables.Commands),
		Key:            item{attrID: dynamo.Text(commandID)},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return eventsourcing.CommandResult{}, failed("get result of command", err)
	}
	if out.Item == nil {
		return eventsourcing.CommandResult{}, eventsourcing.ErrNoResult
	}
	result, err := resultOf(out.Item)
	if err == nil && !result.ExpiresAt.After(s.cfg.Now()) {
		return eventsourcing.CommandResult{}, eventsourcing.ErrNoResult
	}
	return result, err
}

// reached records that the stream has at least that version.
func (s *Store) reached(stream eventsourcing.StreamID, version eventsourcing.Version) {
	if !s.hasReached(stream, version) {
		s.known.Add(stream, version)
	}
}

func (s *Store) hasReached(stream eventsourcing.StreamID, version eventsourcing.Version) bool {
	known, _ := s.known.Get(stream)
	return known >= version
}
