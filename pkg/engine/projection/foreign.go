package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Stored is a row of any kind as it is stored.
type Stored struct {
	Key
	item Item
}

// Stored yields every row that was in the table throughout the call, and perhaps others, by consistent reads, in pages of
// limit rows, or of 1 MB if it is 0. The first error ends the sequence.
func (p *Projector) Stored(ctx context.Context, limit int32) iter.Seq2[[]Stored, error] {
	return func(yield func([]Stored, error) bool) {
		in := &dynamodb.ScanInput{TableName: &p.config.Table, ConsistentRead: aws.Bool(true)}
		if limit > 0 {
			in.Limit = &limit
		}
		for pages := dynamodb.NewScanPaginator(p.config.DB, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, fmt.Errorf("scan %s: %w", p.config.Table, err))
				return
			}
			rows := make([]Stored, len(out.Items))
			for i, item := range out.Items {
				if rows[i].Key, err = keyOf(item); err != nil {
					yield(nil, fmt.Errorf("scan %s: %w", p.config.Table, err))
					return
				}
				rows[i].item = item
			}
			if !yield(rows, nil) {
				return
			}
		}
	}
}

// Foreign is a row that no stream of the log derives, so that no event will ever change it.
type Foreign struct {
	Key
	// Owner is the stream that would write the row; the zero StreamID if there is no such stream.
	Owner eventsourcing.StreamID
	// Fence is the version at which Owner does not derive the row.
	Fence eventsourcing.Version
	// Emptied: the log has no event of Owner, so the row may be all that is left of it.
	Emptied bool

	own Item // Owner's own row as it was judged; nil if there is none
	row Item
}

// Foreign judges a row, and returns nil if its Owner derives it, or has yet to be brought to a version that says whether it
// does. An own row, and a parked one, belong to the stream that they are named after, any other row to that which its
// attribute "stream" names. An entry is derived if the log has its event, applied or not. It can run while events are applied, as
// Compare. Its own errors are ErrMoved, ErrNoSource if the owner is of a category that this build does not know, and those of
// Compare about the log.
func (p *Projector) Foreign(ctx context.Context, row Stored) (*Foreign, error) {
	owner, named := p.Owner(row)
	if !named {
		return &Foreign{Key: row.Key, row: row.item}, nil
	}
	a, err := p.newApplier(owner)
	var f *Foreign
	switch {
	case err != nil:
	case row.Row == a.key.Row || row.Row == a.parkedKey().Row:
		f, err = a.foreignOwn(ctx, row)
	default:
		f, err = a.foreignRelated(ctx, row)
	}
	if err != nil {
		return nil, fmt.Errorf("judge a row of %s in %s: %w", owner, p.config.Name, err)
	}
	return f, nil
}

// Owner returns the stream that would write the row, if one can. It may be of a category that this build does not know.
func (p *Projector) Owner(row Stored) (owner eventsourcing.StreamID, named bool) {
	for category, src := range p.sources {
		if strings.TrimPrefix(row.Row, parkedPrefix) == src.row {
			owner = eventsourcing.StreamID{Category: category, ID: row.ID}
			again, err := eventsourcing.ParseStreamID(owner.String())
			return owner, err == nil && again == owner
		}
	}
	text, ok := row.item["stream"].(*types.AttributeValueMemberS)
	if !ok || !p.derivable(row.Row) {
		return owner, false
	}
	owner, err := eventsourcing.ParseStreamID(text.Value)
	return owner, err == nil
}

// foreignOwn judges an own row, or a parked one: it has an owner if the log has an event of it. What else is right about it
// is for Compare.
func (a *applier) foreignOwn(ctx context.Context, row Stored) (*Foreign, error) {
	fence := fenceOf(row.item)
	found, err := a.loggedAfter(ctx, max(fence, 1)-1) // reads one event, the last one, of most streams
	if err != nil || found {
		return nil, err
	}
	if found, err = a.loggedAfter(ctx, 0); err != nil {
		return nil, err
	}
	if found {
		return nil, fmt.Errorf("%w: it ends before version %d, which the projection has", eventsourcing.ErrLogHole, fence)
	}
	return &Foreign{Key: row.Key, Owner: a.stream, Fence: fence, Emptied: true, row: row.item}, nil
}

// loggedAfter reports whether the log has an event of the stream after that version.
func (a *applier) loggedAfter(ctx context.Context, after eventsourcing.Version) (bool, error) {
	for _, err := range a.config.EventLog.Read(ctx, a.stream, after) {
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		return true, nil
	}
	return false, nil
}

func (a *applier) foreignRelated(ctx context.Context, row Stored) (*Foreign, error) {
	if entry, err := a.isEntry(ctx, row); err != nil || entry {
		return nil, err
	}
	own, err := a.reader.item(ctx, a.key)
	if err != nil {
		return nil, err
	}
	fence := fenceOf(own)
	if derived, err := a.src.fold(a.stream.ID, own, nil); fence > 0 && err == nil {
		if _, ok := derived.before[row.Key]; ok { // whether that state is right is for Compare
			return nil, nil
		}
	}
	emptied := false
	if fence == 0 {
		if found, err := a.loggedAfter(ctx, 0); err != nil || found {
			return nil, err // its own row is about to be written, or for Compare
		}
		emptied = true
	} else {
		derived := false
		f, err := a.refoldTo(a.config.EventLog.Read(ctx, a.stream, 0), fence, func(entries map[Key]Item) error {
			derived = derived || entries[row.Key] != nil // but of another event than it says
			return nil
		})
		if _, ok := f.related[row.Key]; err != nil || ok || derived {
			return nil, err
		}
	}
	now, err := a.reader.item(ctx, row.Key)
	if err != nil {
		return nil, err
	}
	if now == nil || !equalValues(now["stream"], row.item["stream"]) {
		return nil, nil
	}
	if own, err = a.unmoved(ctx, own); err != nil {
		return nil, err
	}
	return &Foreign{Key: row.Key, Owner: a.stream, Fence: fence, Emptied: emptied, own: own, row: now}, nil
}

// isEntry reports whether the event that the row names as its own derives it. Whether that event is applied does not matter: it is in
// the log for good.
func (a *applier) isEntry(ctx context.Context, row Stored) (bool, error) {
	of := fenceOf(row.item)
	if of == 0 {
		return false, nil
	}
	for r, err := range a.config.EventLog.Read(ctx, a.stream, of-1) {
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		c, err := a.src.fold(a.stream.ID, nil, []eventsourcing.Record{r})
		return err == nil && r.Version == of && c.entries[row.Key] != nil, nil
	}
	return false, nil
}

// DeleteForeign deletes the row, if it and its owner are as they were judged, and with an own row the rows that it derives.
// Otherwise it returns ErrMoved.
func (p *Projector) DeleteForeign(ctx context.Context, f Foreign) error {
	err := p.deleteForeign(ctx, f)
	if errors.Is(err, errRaced) || errors.Is(err, ErrNotOwner) {
		err = ErrMoved
	}
	if err != nil {
		return fmt.Errorf("delete a foreign row in %s: %w", p.config.Name, err)
	}
	return nil
}

func (p *Projector) deleteForeign(ctx context.Context, f Foreign) error {
	a, err := p.newApplier(f.Owner)
	if err != nil || f.Row == a.parkedKey().Row {
		attr := "stream"
		if err == nil {
			attr = "latest"
		}
		condition, names, values := same(f.row, attr)
		_, err := p.config.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &p.config.Table, Key: f.item(),
			ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		})
		return writeError("delete the row", err)
	}
	if f.Row == a.key.Row {
		return a.deleteOwn(ctx, f.row)
	}
	condition, names, values := same(f.row, "stream")
	return a.writeRelated(ctx, f.own, []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: &p.config.Table, Key: f.item(),
		ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
	}}})
}

// deleteOwn deletes the own row after the rows that it derives.
func (a *applier) deleteOwn(ctx context.Context, own Item) error {
	derived, err := a.src.fold(a.stream.ID, own, nil)
	if err != nil { // it cannot be read, so it derives none
		derived = change{}
	}
	b := rewriting{applier: a, own: own}
	related, err := a.related(change{before: derived.before})
	if err == nil {
		err = b.add(ctx, related)
	}
	if err != nil {
		return err
	}
	return b.withdraw(ctx)
}
