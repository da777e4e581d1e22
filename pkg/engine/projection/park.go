package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	parkedPrefix = "parked#" // and the source's row: the row of a parked aggregate
	maxReason    = 1024      // bytes
)

// Parked is an aggregate that this projection has set aside. Its events are acknowledged unapplied until a Redrive has
// read them from the log.
type Parked struct {
	Stream   string                `dynamodbav:"stream"`
	Version  eventsourcing.Version `dynamodbav:"version"` // of the event that could not be applied
	Event    string                `dynamodbav:"event"`
	Reason   string                `dynamodbav:"reason"` // may quote the event: not for logs
	ParkedAt time.Time             `dynamodbav:"parked_at"`
	// Latest is the highest version acknowledged unapplied. It never falls, and the row goes only when the fence has
	// reached it; so nothing acknowledged is forgotten, whatever runs at the same time.
	Latest eventsourcing.Version `dynamodbav:"latest"`
}

// Parked lists the parked aggregates, in no order. It reads a secondary index, which trails writes by some milliseconds.
func (p *Projector) Parked(ctx context.Context, limit int, cursor Cursor) (parked []Parked, next Cursor, err error) {
	list := listOf("parked", p.config.Table)
	items, err := p.reader.scan(ctx, parkingIndex, "parked", Filter{}, limit, list, cursor)
	if err != nil {
		return nil, Cursor{}, err
	}
	next, err = page(list, items, limit, &parked)
	return parked, next, err
}

// Waiting counts the events known to wait: from the one that could not be applied to the latest acknowledged.
func (row Parked) Waiting() int {
	return int(row.Latest - row.Version + 1) //nolint:gosec // Latest is at least Version
}

// ParkedStream tells how the stream is parked; found is false if it is not.
func (p *Projector) ParkedStream(ctx context.Context, stream eventsourcing.StreamID) (row Parked, found bool, err error) {
	w, err := p.begin(stream)
	if err != nil {
		return Parked{}, false, fmt.Errorf("look for %s in %s: %w", stream, p.config.Name, err)
	}
	parked, err := w.parked(ctx)
	if err != nil || parked == nil {
		return Parked{}, false, err
	}
	return *parked, true, nil
}

// Redrive applies what the log has after the stream's fence, then un-parks the stream. If an event still cannot be
// applied, the stream stays parked, at that event, and the error is an ErrParked. A stream that is not parked is brought
// up to date all the same. It returns the version applied, also with an error, such as that ctx ended: the next Redrive
// goes on from there.
func (p *Projector) Redrive(ctx context.Context, stream eventsourcing.StreamID) (fence eventsourcing.Version, err error) {
	w, err := p.begin(stream)
	if err == nil {
		fence, err = w.catchUp(ctx)
	}
	if err != nil {
		return fence, fmt.Errorf("redrive %s into %s: %w", stream, p.config.Name, err)
	}
	p.config.Logger.InfoContext(ctx, "aggregate redriven", slog.String("stream", stream.String()),
		slog.Uint64("version", uint64(fence)))
	return fence, nil
}

// catchUp applies all that the log has after the fence.
func (w *work) catchUp(ctx context.Context) (fence eventsourcing.Version, err error) {
	for done := false; err == nil && !done; {
		if fence, done, err = w.redrive(ctx); errors.Is(err, errRaced) {
			err = w.race(ctx)
		}
	}
	return fence, err
}

// redrive applies one run from the log; when there is none left it is done.
func (w *work) redrive(ctx context.Context) (fence eventsourcing.Version, done bool, err error) {
	own, err := w.read(ctx)
	if err != nil {
		return w.fence, false, err
	}
	run, err := w.logged(ctx, own.Version, own.Version+eventsourcing.Version(w.limit)) //nolint:gosec // limit is positive
	if err != nil {
		return own.Version, false, err
	}
	if len(run) == 0 {
		err := w.unpark(ctx, own.Version)
		return own.Version, err == nil, err
	}
	_, err = w.write(ctx, own, run, run[0].Version)
	return own.Version, false, err
}

func (w *work) parkedKey() Key { return Key{w.stream.ID, parkedPrefix + w.src.row} }

// parked reads the parked row, or nil.
func (w *work) parked(ctx context.Context) (*Parked, error) {
	var row Parked
	found, err := w.reader.Get(ctx, w.parkedKey().ID, w.parkedKey().Row, &row)
	if err != nil || !found {
		return nil, err
	}
	return &row, nil
}

// park sets the aggregate aside, unless its fence has moved: that is a lost race.
func (w *work) park(ctx context.Context, fence eventsourcing.Version, bad eventsourcing.Record, seen eventsourcing.Version, cause error) error {
	old, err := w.parked(ctx)
	if err != nil {
		return err
	}
	row := Parked{
		Stream: w.stream.String(), Version: bad.Version, Event: bad.Name, Reason: reason(cause),
		ParkedAt: w.config.Now().UTC(), Latest: max(seen, bad.Version),
	}
	if old != nil {
		row.Latest = max(row.Latest, old.Latest)
	}
	put, err := w.putParked(old, row)
	if err != nil {
		return err
	}
	condition, names, values := fenceAt(fence)
	_, err = w.config.DB.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{ConditionCheck: &types.ConditionCheck{
			TableName: &w.config.Table, Key: w.key.item(),
			ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}},
		{Put: put},
	}})
	if err := verdict(err, "park"); errors.Is(err, ErrNotOwner) {
		return errRaced // for the parked row
	} else if err != nil {
		return err
	}
	w.metrics.parked.WithLabelValues(w.src.category).Inc()
	w.config.Logger.WarnContext(ctx, "aggregate parked", slog.String("stream", row.Stream),
		slog.Uint64("version", uint64(row.Version)), slog.String("event", row.Event))
	return nil
}

// acknowledge reports whether the aggregate is parked, and if so notes that events up to seen have been given up to it.
func (w *work) acknowledge(ctx context.Context, seen eventsourcing.Version) (parked bool, err error) {
	old, err := w.parked(ctx)
	if err != nil || old == nil {
		return false, err
	}
	if seen <= old.Latest {
		return true, nil
	}
	row := *old
	row.Latest = seen
	put, err := w.putParked(old, row)
	if err != nil {
		return false, err
	}
	_, err = w.config.DB.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: put.TableName, Item: put.Item, ConditionExpression: put.ConditionExpression,
		ExpressionAttributeNames: put.ExpressionAttributeNames, ExpressionAttributeValues: put.ExpressionAttributeValues,
	})
	return true, verdict(err, "note a parked event")
}

// putParked writes row in the place of old.
func (w *work) putParked(old *Parked, row Parked) (*types.Put, error) {
	data, err := attributevalue.MarshalMap(row)
	if err != nil {
		return nil, fmt.Errorf("encode the parked row: %w", err)
	}
	put := &types.Put{
		TableName: &w.config.Table, Item: with(data, w.parkedKey().item(), Item{"parked": text(w.stream.ID)}),
		ConditionExpression:      aws.String("attribute_not_exists(#id)"),
		ExpressionAttributeNames: map[string]string{"#id": "id"},
	}
	if old != nil {
		put.ConditionExpression = aws.String("#latest = :latest")
		put.ExpressionAttributeNames = map[string]string{"#latest": "latest"}
		put.ExpressionAttributeValues = Item{":latest": number(old.Latest)}
	}
	return put, nil
}

// unpark deletes the parked row if all that was acknowledged unapplied is applied now; else it lost a race.
func (w *work) unpark(ctx context.Context, fence eventsourcing.Version) error {
	was, err := w.config.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &w.config.Table, Key: w.parkedKey().item(), ReturnValues: types.ReturnValueAllOld,
		ConditionExpression:       aws.String("attribute_not_exists(#id) OR #latest <= :fence"),
		ExpressionAttributeNames:  map[string]string{"#id": "id", "#latest": "latest"},
		ExpressionAttributeValues: Item{":fence": number(fence)},
	})
	if err == nil && was.Attributes != nil {
		w.metrics.redriven.WithLabelValues(w.src.category).Inc()
	}
	return verdict(err, "un-park")
}

func reason(cause error) string {
	text := strings.ToValidUTF8(cause.Error(), "\uFFFD")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
