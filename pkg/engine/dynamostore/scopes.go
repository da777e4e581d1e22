package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Scopes reads and repairs the table of scopes, for an audit that compares it with the event log. Commands move scopes only by
// Store.Append. It is safe for concurrent use.
type Scopes struct{ eventLog *Store }

// NewScopes returns the scopes in the tables that cfg names.
func NewScopes(db DynamoDBAPI, cfg Config) *Scopes {
	eventLog := NewStore(db, cfg)
	eventLog.known.Resize(1) // for appends only
	return &Scopes{eventLog: eventLog}
}

// ScopeRow is a row of the table of scopes.
type ScopeRow struct {
	Key   string
	State eventsourcing.ScopeState // without counters of 0
	// Err says why the row is none that Append writes; nil: it is one.
	Err error

	version types.AttributeValue // as stored; nil if it is missing
}

// EventLog returns the event log beside the scopes.
func (s *Scopes) EventLog() *Store { return s.eventLog }

// Rows yields every scope that was in the table throughout the call, and perhaps others, page by page. The first error ends the
// sequence.
func (s *Scopes) Rows(ctx context.Context) iter.Seq2[[]ScopeRow, error] {
	return scan(ctx, s.eventLog.db, &dynamodb.ScanInput{
		TableName: &s.eventLog.cfg.Tables.Scopes, ConsistentRead: aws.Bool(true),
	}, func(it item) (ScopeRow, error) {
		_, state, err := scopeOf(it)
		return ScopeRow{Key: textIn(it, attrScope), State: state, Err: err, version: it[attrVersion]}, nil
	})
}

// Set gives the scope these counters, if its row is still as expected (nil: there is none). Otherwise nothing is written, and the
// error is an eventsourcing.ErrScopeMoved.
func (s *Scopes) Set(ctx context.Context, scope eventsourcing.Scope, expected *ScopeRow, counters map[string]int64) error {
	var next eventsourcing.Version = 1
	if expected != nil {
		next = expected.State.Version + 1
	}
	it := scopeKey(scope)
	it[attrVersion] = dynamo.Number(next)
	for counter, amount := range counters {
		it[ofCounter+counter] = dynamo.Number(amount)
	}
	condition, names, values := scopeRowIs(expected)
	_, err := s.eventLog.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.eventLog.cfg.Tables.Scopes, Item: it,
		ConditionExpression: &condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	})
	if _, refused := errors.AsType[*types.ConditionalCheckFailedException](err); refused {
		return fmt.Errorf("put a scope: %w", eventsourcing.ErrScopeMoved)
	}
	err = failed("put a scope", err)
	if errors.Is(err, errContended) {
		return fmt.Errorf("%w: %w", eventsourcing.ErrScopeMoved, err)
	}
	return err
}

// scopeRowIs is the condition that the stored row is row; nil: that there is none.
func scopeRowIs(row *ScopeRow) (condition string, names map[string]string, values item) {
	switch {
	case row == nil:
		return "attribute_not_exists(#scope)", map[string]string{"#scope": attrScope}, nil
	case row.version == nil:
		return "attribute_exists(#scope) AND attribute_not_exists(#version)",
			map[string]string{"#scope": attrScope, "#version": attrVersion}, nil
	default:
		return "#version = :stored", map[string]string{"#version": attrVersion}, item{":stored": row.version}
	}
}
