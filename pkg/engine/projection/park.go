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

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	parkedPrefix = "parked#" // before the source's row: the row of a parked aggregate
	maxReason    = 1024      // bytes
)

// Parked is a parked aggregate. Its events are acknowledged but not applied, until Redrive applies them from the log.
type Parked struct {
	Stream   string                `dynamodbav:"stream"`
	Version  eventsourcing.Version `dynamodbav:"version"` // of the event that could not be applied
	Event    string                `dynamodbav:"event"`
	Reason   string                `dynamodbav:"reason"`    // may quote the event: not for logs
	ParkedAt time.Time             `dynamodbav:"parked_at"` // at first: a redrive that fails does not change it
	// Latest is the highest version that was acknowledged but not applied. It never falls, and the row is deleted only when
	// the fence has reached it, so no acknowledged event is lost.
	Latest eventsourcing.Version `dynamodbav:"latest"`
	// Unknown is the schema version of an event that the build which parked the aggregate does not know, else 0. A build that
	// knows it redrives the aggregate by itself: see RedriveKnown.
	Unknown int `dynamodbav:"unknown,omitempty"`
}

// check refuses what no projection writes.
func (row Parked) check() error {
	if row.Version < 1 || row.Latest < row.Version {
		return errors.New("no version")
	}
	_, err := eventsourcing.ParseStreamID(row.Stream)
	return err
}

// Parked lists the parked aggregates, in no order. It reads a secondary index, which lags behind writes by milliseconds.
func (p *Projector) Parked(ctx context.Context, limit int, cursor Cursor) (parked []Parked, next Cursor, err error) {
	list := listOf("parked", p.config.Table)
	next, err = p.reader.scan(ctx, parkingIndex, "parked", Filter{}, limit, list, cursor, &parked)
	return parked, next, err
}

// Waiting returns the number of events known to wait: from the one that could not be applied to Latest.
func (row Parked) Waiting() int {
	return int(row.Latest - row.Version + 1) //nolint:gosec // Latest is at least Version
}

// ParkedStream returns the parked row of the stream; found is false if it is not parked.
func (p *Projector) ParkedStream(ctx context.Context, stream eventsourcing.StreamID) (row Parked, found bool, err error) {
	a, err := p.newApplier(stream)
	if err != nil {
		return Parked{}, false, fmt.Errorf("read whether %s is parked in %s: %w", stream, p.config.Name, err)
	}
	parked, err := a.parked(ctx)
	if err != nil || parked == nil {
		return Parked{}, false, err
	}
	return *parked, true, nil
}

// Redrive applies the events that the log has after the stream's fence, then un-parks the stream. If an event still cannot
// be applied, the stream stays parked at that event, and the error is an ErrParked. A stream that is not parked is caught
// up too. It returns the fence, also with an error: the next Redrive continues there.
func (p *Projector) Redrive(ctx context.Context, stream eventsourcing.StreamID) (fence eventsourcing.Version, err error) {
	a, err := p.newApplier(stream)
	if err == nil {
		fence, err = a.catchUp(ctx)
	}
	if err != nil {
		return fence, fmt.Errorf("redrive %s into %s: %w", stream, p.config.Name, err)
	}
	p.config.Logger.InfoContext(ctx, "aggregate redriven", slog.String("stream", stream.String()),
		slog.Uint64("version", uint64(fence)))
	return fence, nil
}

// RedriveKnown redrives the aggregates that a build parked because it did not know an event which this build knows. Call it
// again and again: while two builds run, the older one may park more. It returns how many it redrove.
func (p *Projector) RedriveKnown(ctx context.Context) (redriven int, err error) {
	const page = 100
	for cursor := (Cursor{}); ; {
		rows, next, err := p.Parked(ctx, page, cursor)
		if err != nil {
			return redriven, fmt.Errorf("list what is parked in %s: %w", p.config.Name, err)
		}
		for _, row := range rows {
			stream, err := eventsourcing.ParseStreamID(row.Stream)
			if err != nil || !p.knows(stream.Category, row.Event, row.Unknown) {
				continue
			}
			if _, err := p.Redrive(ctx, stream); err == nil {
				redriven++
			} else if !errors.Is(err, ErrParked) { // at another event now
				return redriven, err
			}
		}
		if cursor = next; next.IsZero() {
			return redriven, nil
		}
	}
}

// knows reports whether a stored event can be decoded.
func (p *Projector) knows(category, name string, schema int) bool {
	src := p.sources[category]
	return src != nil && src.knows(name, schema)
}

// catchUp applies all events that the log has after the fence, then un-parks the stream.
func (a *applier) catchUp(ctx context.Context) (fence eventsourcing.Version, err error) {
	for {
		own, err := a.read(ctx)
		if err != nil {
			if err := a.mayContinue(ctx, err); err != nil {
				return a.fence, err
			}
			continue
		}
		run, err := a.logged(ctx, own.Version, own.Version+eventsourcing.Version(a.limit)) //nolint:gosec // limit is positive
		if err != nil {
			return own.Version, err
		}
		if len(run) > 0 {
			err = a.write(ctx, own, a.src.upToEffect(run), run[0].Version)
		} else if err = a.unpark(ctx, own.Version); err == nil {
			return own.Version, nil
		}
		if err := a.mayContinue(ctx, err); err != nil {
			return own.Version, err
		}
	}
}

func (a *applier) parkedKey() Key { return Key{a.stream.ID, parkedPrefix + a.src.row} }

// parked reads the parked row; nil if there is none. One that cannot be read is deleted: the aggregate is parked anew if an
// event still cannot be applied, and a redrive reads to the log's end, whatever was acknowledged.
func (a *applier) parked(ctx context.Context) (*Parked, error) {
	item, err := a.reader.item(ctx, a.parkedKey())
	if err != nil || item == nil {
		return nil, err
	}
	var row Parked
	if err := decode(item, &row); err != nil {
		a.badRow(ctx, a.parkedKey(), err)
		condition, names, values := same(item, "latest")
		_, err := a.config.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &a.config.Table, Key: a.parkedKey().item(),
			ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		})
		return nil, writeError("delete an unreadable parked row", err)
	}
	return &row, nil
}

// park parks the aggregate, unless its fence has moved: then it returns errRaced.
func (a *applier) park(
	ctx context.Context, own Item, bad eventsourcing.Record, latest eventsourcing.Version, cause error,
) error {
	old, err := a.parked(ctx)
	if err != nil {
		return err
	}
	row := Parked{
		Stream: a.stream.String(), Version: bad.Version, Event: bad.Name, Reason: reason(cause),
		ParkedAt: a.config.Now().UTC(), Latest: max(latest, bad.Version),
	}
	if errors.Is(cause, eventsourcing.ErrUnknownEvent) {
		row.Unknown = bad.Schema
	}
	if old != nil { // it is parked still
		row.Latest, row.ParkedAt = max(row.Latest, old.Latest), old.ParkedAt
	}
	put, err := a.putParked(old, row)
	if err != nil {
		return err
	}
	condition, names, values := unchanged(own)
	_, err = a.config.DB.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{ConditionCheck: &types.ConditionCheck{
			TableName: &a.config.Table, Key: a.key.item(),
			ConditionExpression: condition, ExpressionAttributeNames: names, ExpressionAttributeValues: values,
		}},
		{Put: put},
	}})
	if err := writeError("park", err); errors.Is(err, ErrNotOwner) {
		return errRaced // the parked row is not a related row
	} else if err != nil {
		return err
	}
	if old == nil {
		a.metrics.parked.WithLabelValues(a.src.category).Inc()
	}
	a.config.Logger.WarnContext(ctx, "aggregate parked", slog.String("stream", row.Stream),
		slog.Uint64("version", uint64(row.Version)), slog.String("event", row.Event))
	return nil
}

// ParkedRow reads whether the stream is parked whose own row is that one.
func (r Reader) ParkedRow(ctx context.Context, own Key) (parked Parked, found bool, err error) {
	found, err = r.Get(ctx, own.ID, parkedPrefix+own.Row, &parked)
	return parked, found, err
}

// acknowledge reports whether the aggregate is parked. If it is, it first stores that events up to latest were acknowledged.
func (a *applier) acknowledge(ctx context.Context, latest eventsourcing.Version) (parked bool, err error) {
	old, err := a.parked(ctx)
	if err != nil || old == nil {
		return false, err
	}
	if latest <= old.Latest {
		return true, nil
	}
	row := *old
	row.Latest = latest
	put, err := a.putParked(old, row)
	if err != nil {
		return false, err
	}
	_, err = a.config.DB.PutItem(ctx, dynamo.PutItem(put))
	return true, writeError("acknowledge a parked event", err)
}

// putParked replaces old by row.
func (a *applier) putParked(old *Parked, row Parked) (*types.Put, error) {
	data, err := attributevalue.MarshalMap(row)
	if err != nil {
		return nil, fmt.Errorf("encode the parked row: %w", err)
	}
	put := &types.Put{
		TableName: &a.config.Table, Item: with(data, a.parkedKey().item(), Item{"parked": dynamo.Text(a.stream.ID)}),
		ConditionExpression:      aws.String("attribute_not_exists(#id)"),
		ExpressionAttributeNames: map[string]string{"#id": "id"},
	}
	if old != nil {
		put.ConditionExpression = aws.String("#latest = :latest")
		put.ExpressionAttributeNames = map[string]string{"#latest": "latest"}
		put.ExpressionAttributeValues = Item{":latest": dynamo.Number(old.Latest)}
	}
	return put, nil
}

// unpark deletes the parked row if all acknowledged events are applied. Otherwise it returns errRaced.
func (a *applier) unpark(ctx context.Context, fence eventsourcing.Version) error {
	was, err := a.config.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &a.config.Table, Key: a.parkedKey().item(), ReturnValues: types.ReturnValueAllOld,
		ConditionExpression:       aws.String("attribute_not_exists(#id) OR #latest <= :fence"),
		ExpressionAttributeNames:  map[string]string{"#id": "id", "#latest": "latest"},
		ExpressionAttributeValues: Item{":fence": dynamo.Number(fence)},
	})
	if err == nil && was.Attributes != nil {
		a.metrics.redriven.WithLabelValues(a.src.category).Inc()
	}
	return writeError("un-park", err)
}

func reason(cause error) string {
	text := strings.ToValidUTF8(cause.Error(), "\uFFFD")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
