package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// maxKeys is how many items one BatchGetItem reads:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const maxKeys = 100

// Scopes implements eventsourcing.Store: one GetItem for one scope, BatchGetItem for more.
func (s *Store) Scopes(ctx context.Context, scopes []eventsourcing.Scope) (eventsourcing.ScopeStates, error) {
	var (
		items []item
		err   error
	)
	if len(scopes) == 1 {
		items, err = s.scopeItem(ctx, scopes[0])
	} else {
		items, err = s.scopeItems(ctx, scopes)
	}
	if err != nil {
		return nil, failed("read scopes", err)
	}
	states := eventsourcing.ScopeStates{}
	for _, it := range items {
		scope, state, err := scopeOf(it)
		if err != nil {
			return nil, err
		}
		states[scope] = state
	}
	return states, nil
}

func (s *Store) scopeItem(ctx context.Context, scope eventsourcing.Scope) ([]item, error) {
	out, err := s.db.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String(s.cfg.Tables.Scopes), Key: scopeKey(scope), ConsistentRead: aws.Bool(true),
	})
	if err != nil || out.Item == nil {
		return nil, err
	}
	return []item{out.Item}, nil
}

func (s *Store) scopeItems(ctx context.Context, scopes []eventsourcing.Scope) (items []item, err error) {
	var left []map[string]types.AttributeValue
	for _, scope := range scopes {
		left = append(left, scopeKey(scope))
	}
	for n := 0; len(left) > 0; {
		keys := left[:min(maxKeys, len(left))]
		out, err := s.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			s.cfg.Tables.Scopes: {Keys: keys, ConsistentRead: aws.Bool(true)},
		}})
		if err != nil {
			return nil, err
		}
		got := out.Responses[s.cfg.Tables.Scopes]
		unread := out.UnprocessedKeys[s.cfg.Tables.Scopes].Keys
		items = append(items, got...)
		left = append(unread, left[len(keys):]...)
		if len(unread) == 0 {
			n = 0
			continue
		}
		if n++; n >= s.cfg.MaxAttempts {
			return nil, fmt.Errorf("%w: %d scopes not read in %d attempts", eventsourcing.ErrUnavailable, len(unread), n)
		}
		if err := s.cfg.Backoff.Wait(ctx, n); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// errScope: the item is not what Append writes.
var errScope = errors.New("not a scope; leftfold scopes audit can repair it")

// scopeOf leaves counters of 0 out.
func scopeOf(it item) (scope eventsourcing.Scope, state eventsourcing.ScopeState, err error) {
	scope, ok := eventsourcing.ParseScope(textIn(it, attrScope))
	if !ok {
		return scope, state, errScope
	}
	state.Counters = map[string]int64{}
	for name, attribute := range it {
		n, isNumber := attribute.(*types.AttributeValueMemberN)
		counter, isCounter := strings.CutPrefix(name, ofCounter)
		if !isCounter && name != attrVersion {
			continue
		}
		if !isNumber {
			return scope, state, fmt.Errorf("item of %s: %w", scope.Key(), errScope)
		}
		var err error
		if name == attrVersion {
			var version uint64
			version, err = strconv.ParseUint(n.Value, 10, 64)
			state.Version = eventsourcing.Version(version)
		} else if amount, parseErr := strconv.ParseInt(n.Value, 10, 64); amount != 0 || parseErr != nil {
			state.Counters[counter], err = amount, parseErr
		}
		if err != nil {
			return scope, state, fmt.Errorf("item of %s: %w", scope.Key(), errScope)
		}
	}
	return scope, state, nil
}

func scopeKey(scope eventsourcing.Scope) item { return item{attrScope: dynamo.Text(scope.Key())} }

// move adds to the counters, checks the version, or both. What is added needs no condition of its own: the events of the same
// transaction are inserted once.
func (p *plan) move(table string, m eventsourcing.ScopeMove) {
	condition, names, values := scopeIs(m.Read)
	moved := fmt.Errorf("%w: %s", eventsourcing.ErrScopeMoved, m.Scope.Key())
	if len(m.Add) == 0 {
		p.add(types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: aws.String(table), Key: scopeKey(m.Scope), ConditionExpression: condition,
			ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}}, moved)
		return
	}
	names["#version"], values[":one"] = attrVersion, dynamo.Number(1)
	terms := []string{"#version :one"}
	for i, counter := range slices.Sorted(maps.Keys(m.Add)) {
		n := strconv.Itoa(i)
		names["#c"+n], values[":c"+n] = ofCounter+counter, dynamo.Number(m.Add[counter])
		terms = append(terms, "#c"+n+" :c"+n)
	}
	p.add(types.TransactWriteItem{Update: &types.Update{
		TableName: aws.String(table), Key: scopeKey(m.Scope), ConditionExpression: condition,
		UpdateExpression:         aws.String("ADD " + strings.Join(terms, ", ")),
		ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, moved)
}

// scopeIs is the condition that the scope is at that version; nil: none.
func scopeIs(version *eventsourcing.Version) (condition *string, names map[string]string, values item) {
	if version == nil {
		return nil, map[string]string{}, item{}
	}
	expression := "#version = :read"
	if *version == 0 {
		expression += " OR attribute_not_exists(#version)"
	}
	return &expression, map[string]string{"#version": attrVersion}, item{":read": dynamo.Number(*version)}
}
