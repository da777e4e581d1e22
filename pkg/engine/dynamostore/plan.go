package dynamostore

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// plan is a commit as actions of one atomic write.
type plan struct {
	commit     eventsourcing.Commit
	now        time.Time
	actions    []action
	firstEvent int // index in actions
}

// action is one part of the write, and the error that it means if its condition fails.
type action struct {
	item    types.TransactWriteItem
	refusal error
	extra   bool
}

// foreignClaimError: another stream owns the claim to be released, so there is nothing to release.
type foreignClaimError struct{ claim eventsourcing.Claim }

func (e *foreignClaimError) Error() string {
	return "claim of another stream: " + e.claim.Constraint()
}

// plan lists the actions in the order in which eventsourcing.Store checks for refusals.
func (s *Store) plan(c eventsourcing.Commit, extras []Extra) (plan, error) {
	if err := c.Validate(); err != nil {
		return plan{}, err
	}
	p := plan{commit: c, now: s.cfg.Now()}
	if c.Result != nil {
		p.remember(s.cfg.Tables.Commands, *c.Result)
	}
	if !s.hasReached(c.Stream, c.Expected) {
		p.exists(s.cfg.Tables.Events, c.Stream, c.Expected, eventsourcing.ErrConflict)
	}
	p.firstEvent = len(p.actions)
	p.insert(s.cfg.Tables.Events)
	for _, g := range c.Guards {
		moved := fmt.Errorf("%w: %s", eventsourcing.ErrGuardMoved, g.Stream)
		p.absent(s.cfg.Tables.Events, g.Stream, g.Version+1, moved)
		if !s.hasReached(g.Stream, g.Version) {
			p.exists(s.cfg.Tables.Events, g.Stream, g.Version, moved)
		}
	}
	for _, m := range c.Scopes {
		p.move(s.cfg.Tables.Scopes, m)
	}
	for _, claim := range c.Take {
		p.take(s.cfg.Tables.Claims, claim)
	}
	for _, claim := range c.Release {
		p.release(s.cfg.Tables.Claims, claim)
	}
	for _, x := range extras {
		p.actions = append(p.actions, action{item: x.Write, refusal: x.Refused, extra: true})
	}
	if err := p.withinLimits(); err != nil {
		return plan{}, err
	}
	return p, carried(c.Records)
}

// carried returns an error if an event could be stored, but not be sent on from the log.
func carried(records []eventsourcing.Record) error {
	for _, r := range records {
		if _, err := envelope.Encode(r); errors.Is(err, envelope.ErrTooLarge) {
			return fmt.Errorf("%w: %w", eventsourcing.ErrTooLarge, err)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) add(item types.TransactWriteItem, refusal error) {
	p.actions = append(p.actions, action{item: item, refusal: refusal})
}

// insert adds the events. A refusal returns the stored item, so that written recognises the commit's own events.
func (p *plan) insert(table string) {
	for _, r := range p.commit.Records {
		p.add(types.TransactWriteItem{Put: &types.Put{
			TableName: aws.String(table), Item: itemOf(r),
			ConditionExpression:                 aws.String("attribute_not_exists(#stream)"),
			ExpressionAttributeNames:            map[string]string{"#stream": attrStream},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}}, eventsourcing.ErrConflict)
	}
}

func (p *plan) exists(table string, stream eventsourcing.StreamID, version eventsourcing.Version, refusal error) {
	p.check(table, stream, version, "attribute_exists(#stream)", refusal)
}

func (p *plan) absent(table string, stream eventsourcing.StreamID, version eventsourcing.Version, refusal error) {
	p.check(table, stream, version, "attribute_not_exists(#stream)", refusal)
}

func (p *plan) check(table string, stream eventsourcing.StreamID, version eventsourcing.Version, condition string, refusal error) {
	p.add(types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: aws.String(table), Key: eventKey(stream, version),
		ConditionExpression:      aws.String(condition),
		ExpressionAttributeNames: map[string]string{"#stream": attrStream},
	}}, refusal)
}

func (p *plan) remember(table string, result eventsourcing.CommandResult) {
	p.add(types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String(table), Item: resultItem(result),
		ConditionExpression:       aws.String("attribute_not_exists(#id) OR #expires_at <= :now"),
		ExpressionAttributeNames:  map[string]string{"#id": attrID, "#expires_at": attrExpiresAt},
		ExpressionAttributeValues: item{":now": dynamo.Number(p.now.Unix())},
	}}, eventsourcing.ErrCommandRepeated)
}

// freeOrOwn is the condition that no other stream owns the claim.
const freeOrOwn = "attribute_not_exists(#owner) OR #owner = :owner"

func (p *plan) take(table string, claim eventsourcing.Claim) {
	owner := dynamo.Text(p.commit.Stream.String())
	p.add(types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String(table), Item: item{attrConstraint: dynamo.Text(claim.Key()), attrStream: owner},
		ConditionExpression:       aws.String(freeOrOwn),
		ExpressionAttributeNames:  map[string]string{"#owner": attrStream},
		ExpressionAttributeValues: item{":owner": owner},
	}}, &eventsourcing.ClaimTakenError{Claim: claim})
}

func (p *plan) release(table string, claim eventsourcing.Claim) {
	p.add(types.TransactWriteItem{Delete: &types.Delete{
		TableName: aws.String(table), Key: item{attrConstraint: dynamo.Text(claim.Key())},
		ConditionExpression:       aws.String(freeOrOwn),
		ExpressionAttributeNames:  map[string]string{"#owner": attrStream},
		ExpressionAttributeValues: item{":owner": dynamo.Text(p.commit.Stream.String())},
	}}, &foreignClaimError{claim: claim})
}
