package projection

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// attrRebuild names, in an own row, the rebuild that writes it or has written it last. The next event applied removes it.
const attrRebuild = "rebuild"

// Rebuild writes the stream's rows anew, folded from the log, whatever is stored; then it applies and un-parks as Redrive
// does. It can run while events are applied: its last write is fenced by the version that it read before the log. It returns
// the fence. Its own errors are ErrNoStream, ErrUnfoldable and eventsourcing.ErrLogHole if only the projection has the stream.
// Of the source of an Effect it derives the fence, if that is missing or cannot be read: an effect does not come again.
func (p *Projector) Rebuild(ctx context.Context, stream eventsourcing.StreamID) (fence eventsourcing.Version, err error) {
	a, err := p.newApplier(stream)
	if err == nil {
		fence, err = a.rebuildAndCatchUp(ctx)
	}
	if err != nil {
		return fence, fmt.Errorf("rebuild %s in %s: %w", stream, p.config.Name, err)
	}
	return fence, nil
}

func (a *applier) rebuildAndCatchUp(ctx context.Context) (eventsourcing.Version, error) {
	for {
		err := a.rebuild(ctx)
		if err == nil {
			return a.catchUp(ctx)
		}
		if err := a.mayContinue(ctx, err); err != nil {
			return 0, err
		}
	}
}

// rebuild writes the rows as the log has them up to the first event that cannot be applied. The own row comes last: until
// then the fence is as it was, and after a crash it begins again. It returns errRaced if the fence has moved. Of the entries it writes
// those that are not stored as the log has them.
//
// If a later build has applied an event that this one does not know, it returns an *unfoldableError and changes no row but entries of
// the events before: rows up to that event would be older than what was read already.
func (a *applier) rebuild(ctx context.Context) error {
	was, err := a.reader.item(ctx, a.key)
	if err != nil {
		return err
	}
	if a.src.effect != nil {
		if fenceOf(was) == 0 {
			_, err = a.derive(ctx, was)
		}
		return err
	}
	b := rewriting{applier: a, own: was}
	write := func(c change) error {
		writes, err := a.related(c)
		if err == nil {
			err = b.add(ctx, writes)
		}
		return err
	}
	c, last, err := a.refold(ctx, was, func(entries map[Key]Item) error {
		differ, err := a.differing(ctx, entries)
		if err != nil {
			return err
		}
		return write(change{entries: differ})
	})
	if err != nil {
		return err
	}
	if err := write(c); err != nil {
		return err
	}
	if last.Version == 0 {
		err = b.withdraw(ctx)
	} else {
		err = b.replace(ctx, c.state, last)
	}
	if err != nil {
		return err
	}
	a.metrics.rebuilt.WithLabelValues(a.src.category).Inc()
	a.config.Logger.WarnContext(ctx, "rows rebuilt from the log", slog.String("stream", a.stream.String()),
		slog.Uint64("version", uint64(last.Version)))
	return nil
}

// unfoldableError is an ErrUnfoldable: the record was applied, and this build does not know its event.
type unfoldableError struct {
	record eventsourcing.Record
	cause  error
}

func (e *unfoldableError) Error() string {
	return fmt.Sprintf("%v: version %d: %v", ErrUnfoldable, e.record.Version, e.cause)
}

func (e *unfoldableError) Unwrap() []error { return []error{ErrUnfoldable, e.cause} }

// refold folds the log up to the first event that cannot be applied; last is the record before it. The change's rows before
// are all that the stream may ever have had. It has no entries: visit is called with these, part by part.
func (a *applier) refold(
	ctx context.Context, was Item, visit func(entries map[Key]Item) error,
) (c change, last eventsourcing.Record, err error) {
	ever, entries, found, fence := map[Key]Item{}, map[Key]Item{}, false, fenceOf(was)
	had := func(rows map[Key]Item) {
		for key := range rows {
			ever[key] = nil // differs from any row
		}
	}
	if stored, err := a.src.fold(a.stream.ID, was, nil); err == nil {
		had(stored.before)
	}
	for r, err := range a.config.EventLog.Read(ctx, a.stream, 0) {
		if err != nil {
			return c, last, a.logError(err)
		}
		found = true
		next, err := a.src.fold(a.stream.ID, c.state, []eventsourcing.Record{r})
		if r.Version <= fence && errors.Is(err, eventsourcing.ErrUnknownEvent) {
			return c, last, &unfoldableError{r, err}
		}
		if err != nil {
			break // the next application of that event parks the aggregate
		}
		c, last = next, r
		had(c.after)
		if maps.Copy(entries, c.entries); len(entries) >= maxBatchGet {
			if err := visit(entries); err != nil {
				return c, last, err
			}
			clear(entries)
		}
	}
	if !found && was == nil {
		return c, last, ErrNoStream
	}
	if !found {
		return c, last, a.logError(fmt.Errorf("%w: it has none of %s", eventsourcing.ErrLogHole, a.stream))
	}
	c.before, c.entries = ever, nil
	return c, last, visit(entries)
}

// rewriting writes the rows of a stream, the own row last, in as many transactions as they take.
//
// If it takes several, the first one marks the own row, which is all that they have in common: of two at once, one loses a
// transaction after the other has marked the row, and begins again. A row that was not there is marked without a fence, so that it is
// rebuilt when it is met after a crash.
type rewriting struct {
	*applier

	own    Item // as it is stored; nil: there is none
	marked bool
	left   []types.TransactWriteItem // fit into the transaction of the own row
}

// add adds writes of other rows, and makes those that do not fit into the last transaction.
func (b *rewriting) add(ctx context.Context, writes []types.TransactWriteItem) error {
	for b.left = append(b.left, writes...); len(b.left) >= maxTransaction; b.left = b.left[maxTransaction-1:] {
		if !b.marked {
			own := marked(with(b.key.item(), b.own))
			if err := b.send(ctx, b.own, own, nil); err != nil {
				return err
			}
			b.own, b.marked = own, true
		}
		if err := b.writeRelated(ctx, b.own, b.left[:maxTransaction-1]); err != nil {
			return err
		}
	}
	return nil
}

// replace writes the own row with that state as of the last record, and the rows that are left. Even at the same version it is another
// row from now on: a write that takes the replaced row for the last one loses, and reads this one first.
func (b *rewriting) replace(ctx context.Context, state Item, last eventsourcing.Record) error {
	own, err := b.ownItem(state, last)
	if err != nil {
		return err
	}
	return b.send(ctx, b.own, marked(own), b.left)
}

// withdraw deletes the own row, of which the log confirms no version, and writes the rows that are left.
func (b *rewriting) withdraw(ctx context.Context) error {
	condition, names, values := unchanged(b.own)
	return b.transact(ctx, types.TransactWriteItem{Delete: &types.Delete{
		TableName: &b.config.Table, Key: b.key.item(),
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, b.left)
}

// marked returns the row as that of a new rebuild.
func marked(own Item) Item { return with(own, Item{attrRebuild: dynamo.Text(rand.Text())}) }

// writeRelated writes related rows while the own row stays as it was.
func (a *applier) writeRelated(ctx context.Context, was Item, related []types.TransactWriteItem) error {
	condition, names, values := unchanged(was)
	return a.transact(ctx, types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: &a.config.Table, Key: a.key.item(),
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}, related)
}
