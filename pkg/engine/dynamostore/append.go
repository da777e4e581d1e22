package dynamostore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Append implements eventsourcing.Store. A write that conflicts with other transactions is attempted MaxAttempts times. Then,
// and when the client's own retries are exhausted, the error is an ErrUnavailable; if the conflict was with another write
// of the same command, it is an ErrConflict.
func (s *Store) Append(ctx context.Context, c eventsourcing.Commit) error {
	return s.AppendWith(ctx, c)
}

// Check returns the error for which Append of the commit would send nothing.
func (s *Store) Check(c eventsourcing.Commit) error {
	_, err := s.plan(c, nil)
	return err
}

// Extra is a write of another item in the transaction of an append.
type Extra struct {
	// Write must be a Put or a Delete, of an item that nothing else in the transaction concerns.
	Write types.TransactWriteItem
	// Refused is the answer to the append if the condition of Write fails, and nothing else in the commit is refused before.
	Refused error
}

// AppendWith is Append with other writes in the same transaction: all of them are made, or none. They count towards its limits, and
// the caller needs the rights for them.
func (s *Store) AppendWith(ctx context.Context, c eventsourcing.Commit, extras ...Extra) error {
	p, err := s.plan(c, extras)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		err := s.write(ctx, p)
		if foreign, ok := errors.AsType[*foreignClaimError](err); ok {
			c.Release = slices.DeleteFunc(slices.Clone(c.Release),
				func(claim eventsourcing.Claim) bool { return claim == foreign.claim })
			return s.AppendWith(ctx, c, extras...)
		}
		if err == nil {
			s.reached(c.Stream, c.Expected+eventsourcing.Version(len(c.Records)))
		}
		if !errors.Is(err, errContended) {
			return err
		}
		s.cfg.OnContended()
		if n >= s.cfg.MaxAttempts {
			meaning := eventsourcing.ErrUnavailable
			if errors.Is(err, errCommandContended) {
				meaning = eventsourcing.ErrConflict // the next attempt finds the command's result
			}
			return fmt.Errorf("%w: %w, %d times", meaning, err, n)
		}
		if err := s.cfg.Backoff.Wait(ctx, n); err != nil {
			return err
		}
	}
}

// write sends the plan, as a PutItem if it has one action, else as a transaction.
func (s *Store) write(ctx context.Context, p plan) error {
	if len(p.actions) == 1 {
		_, err := s.db.PutItem(ctx, dynamo.PutItem(p.actions[0].item.Put))
		if refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
			return s.refusal(ctx, p, []types.CancellationReason{{Code: aws.String(conditionFailed), Item: refused.Item}})
		}
		return failed("put the event", err)
	}
	items := make([]types.TransactWriteItem, len(p.actions))
	for i, a := range p.actions {
		items[i] = a.item
	}
	_, err := s.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
		TransactItems: items, ClientRequestToken: aws.String(p.token()),
	})
	if canceled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		if len(canceled.CancellationReasons) != len(items) {
			return fmt.Errorf("transaction cancelled with %d reasons for %d actions: %w", len(canceled.CancellationReasons), len(items), err)
		}
		return s.refusal(ctx, p, canceled.CancellationReasons)
	}
	return failed("write the transaction", err)
}

// refusal returns the error that the reasons mean, one reason per action. The first refusal decides, since the plan has its
// actions in the order of eventsourcing.Store. It returns nil if the commit is already written.
func (s *Store) refusal(ctx context.Context, p plan, reasons []types.CancellationReason) error {
	if aws.ToString(reasons[p.firstEvent].Code) == conditionFailed {
		written, err := s.written(ctx, p.commit, reasons[p.firstEvent:][:len(p.commit.Records)])
		if written || err != nil {
			return err
		}
	}
	for i, reason := range reasons {
		switch code := aws.ToString(reason.Code); code {
		case "", "None":
		case conditionFailed:
			return p.actions[i].refusal
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			if code == "TransactionConflict" && errors.Is(p.actions[i].refusal, eventsourcing.ErrCommandRepeated) {
				return fmt.Errorf("%w: %s", errCommandContended, code)
			}
			return fmt.Errorf("%w: %s", errContended, code)
		default:
			return fmt.Errorf("action %d of the transaction: %s: %s", i, code, aws.ToString(reason.Message))
		}
	}
	return errors.New("transaction cancelled without a reason")
}

// written reports whether the events that refused the commit are its own. Where the reasons lack the items, it reads them.
func (s *Store) written(ctx context.Context, c eventsourcing.Commit, reasons []types.CancellationReason) (bool, error) {
	for i, reason := range reasons {
		id, ok := reason.Item[attrID].(*types.AttributeValueMemberS)
		if !ok {
			return s.inLog(ctx, c)
		}
		if id.Value != c.Records[i].ID {
			return false, nil
		}
	}
	return true, nil
}

// inLog reports whether the log has the events of the commit.
func (s *Store) inLog(ctx context.Context, c eventsourcing.Commit) (bool, error) {
	left := c.Records
	for record, err := range s.Read(ctx, c.Stream, c.Expected) {
		if err != nil {
			return false, err
		}
		if record.ID != left[0].ID {
			return false, nil
		}
		if left = left[1:]; len(left) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// token identifies the write: DynamoDB refuses a token that comes again with another one. Writes of one commit at different
// times differ, in their condition on the command's expiry.
func (p plan) token() string {
	h := sha256.New()
	_, _ = fmt.Fprint(h, p.now.UnixNano(), len(p.actions), len(p.commit.Release)) // a hash never fails
	for _, r := range p.commit.Records {
		_, _ = fmt.Fprintf(h, "%q", r.ID)
	}
	return hex.EncodeToString(h.Sum(nil)[:18]) // 36 characters at most
}
