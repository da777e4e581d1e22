// Package dynamostore is the event store on DynamoDB: one conditional write per commit, consistent reads.
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

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// DynamoDBAPI is what a Store needs of *dynamodb.Client, whose retryer does the retrying of throttled and lost calls.
type DynamoDBAPI interface {
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
	// Tables names the tables. Each name defaults as Tables says.
	Tables Tables
	// Now tells which command results have expired. Defaults to time.Now.
	Now func() time.Time
	// MaxAttempts bounds the tries of one Append that other transactions get in the way of. Defaults to 10.
	MaxAttempts int
	// Backoff spaces those attempts. Defaults to 10 ms, doubled up to 160 ms.
	Backoff retry.Backoff
	// KnownStreams is how many streams' versions are remembered from reads and appends. An append to a stream that is
	// not among them also checks, in a transaction, that Expected exists. Defaults to 65536.
	KnownStreams int
	// FirstPage is how many records the first call of a Read asks for, for readers who may stop there; the next ones ask
	// for as many as a page takes. Defaults to as many as a page takes.
	FirstPage int32
}

// Store is an eventsourcing.Store on DynamoDB. It is safe for concurrent use.
//
// A commit of one record and nothing else costs one PutItem, any other one TransactWriteItems. A command result's
// ExpiresAt is kept to the second.
type Store struct {
	db  DynamoDBAPI
	cfg Config
	// known holds versions that streams have reached. It is never wrong, for streams only grow.
	known *lru.Cache[eventsourcing.StreamID, eventsourcing.Version]
}

var _ eventsourcing.Store = (*Store)(nil)

// NewStore returns a Store on tables that exist; see Tables.
func NewStore(db DynamoDBAPI, cfg Config) *Store {
	cfg.Tables = cfg.Tables.withDefaults()
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the documented default
	}
	cfg.MaxAttempts = positive(cfg.MaxAttempts, 10)
	cfg.Backoff = cfg.Backoff.Or(10*time.Millisecond, 160*time.Millisecond)
	known, err := lru.New[eventsourcing.StreamID, eventsourcing.Version](positive(cfg.KnownStreams, 1<<16))
	if err != nil {
		panic(err) // of a size below one, which positive rules out
	}
	return &Store{db: db, cfg: cfg, known: known}
}

func positive[T cmp.Ordered](value, otherwise T) T {
	var zero T
	if value > zero {
		return value
	}
	return otherwise
}

// Read implements eventsourcing.Store. A gap in the log is an error.
func (s *Store) Read(ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		last := after
		defer func() {
			if last > after { // nobody says that the stream had come to after
				s.reached(stream, last)
			}
		}()
		for record, err := range s.query(ctx, stream, after) {
			if err == nil && record.Version != last+1 {
				err = fmt.Errorf("version %d follows %d", record.Version, last)
			}
			if err != nil {
				yield(eventsourcing.Record{}, err)
				return
			}
			last = record.Version
			if !yield(record, nil) {
				return
			}
		}
	}
}

func (s *Store) query(ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		in := &dynamodb.QueryInput{
			TableName:                aws.String(s.cfg.Tables.Events),
			ConsistentRead:           aws.Bool(true),
			KeyConditionExpression:   aws.String("#stream = :stream AND #version > :after"),
			ExpressionAttributeNames: map[string]string{"#stream": attrStream, "#version": attrVersion},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":stream": text(stream.String()), ":after": number(after),
			},
		}
		if s.cfg.FirstPage > 0 {
			in.Limit = aws.Int32(s.cfg.FirstPage)
		}
		for more := true; more; {
			page, err := s.db.Query(ctx, in)
			if err != nil {
				yield(eventsourcing.Record{}, failed("query the log", err))
				return
			}
			for _, item := range page.Items {
				record, err := recordOf(item)
				if !yield(record, err) || err != nil {
					return
				}
			}
			in.ExclusiveStartKey, in.Limit = page.LastEvaluatedKey, nil
			more = len(page.LastEvaluatedKey) > 0 // a page may be empty and not the last
		}
	}
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
	err := s.put(ctx, p.actions[0].item.Put)
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return eventsourcing.ErrCommandRepeated
	}
	err = failed("remember a command", err)
	if errors.Is(err, errContended) {
		err = fmt.Errorf("%w: %w", eventsourcing.ErrConflict, err) // by the same command, sent twice
	}
	return err
}

// Result implements eventsourcing.Store. Expired results are as good as deleted, which DynamoDB's TTL does days later:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
func (s *Store) Result(ctx context.Context, commandID string) (eventsourcing.CommandResult, error) {
	if commandID == "" {
		return eventsourcing.CommandResult{}, eventsourcing.ErrNoResult
	}
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      aws.String(s.cfg.Tables.Commands),
		Key:            map[string]types.AttributeValue{attrID: text(commandID)},
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
		err = eventsourcing.ErrNoResult
	}
	if err != nil {
		return eventsourcing.CommandResult{}, err
	}
	return result, nil
}

// reached remembers that the stream has come to version at least.
func (s *Store) reached(stream eventsourcing.StreamID, version eventsourcing.Version) {
	if !s.hasReached(stream, version) {
		s.known.Add(stream, version)
	}
}

func (s *Store) hasReached(stream eventsourcing.StreamID, version eventsourcing.Version) bool {
	known, _ := s.known.Get(stream)
	return known >= version
}
