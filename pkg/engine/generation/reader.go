package generation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Reader reads the current generation of a Model as a projection.Reader reads a table. During a switch a read of an own row
// answers only what both generations have: the one behind is brought up from the log first. The next page of a list is read
// from the generation of the page before, as long as that is fed.
type Reader struct{ model *Model }

// Reader returns the model's reader.
func (m *Model) Reader() Reader { return Reader{m} }

// Get is projection.Reader.Get.
func (r Reader) Get(ctx context.Context, id, row string, out any) (found bool, err error) {
	err = r.read(ctx, func(of, _ *projection.Reader) (err error) {
		found, err = of.Get(ctx, id, row, out)
		return err
	})
	return found, err
}

// BatchGet is projection.Reader.BatchGet.
func (r Reader) BatchGet(ctx context.Context, keys []projection.Key, out any) error {
	return r.read(ctx, func(of, _ *projection.Reader) error { return of.BatchGet(ctx, keys, out) })
}

// Await is projection.Reader.Await.
func (r Reader) Await(
	ctx context.Context, id, row string, least eventsourcing.Version, wait time.Duration, out any,
) (found bool, err error) {
	until := r.model.config.Projection.Now().Add(wait)
	err = r.read(ctx, func(of, _ *projection.Reader) (err error) {
		found, err = of.Await(ctx, id, row, least, until.Sub(r.model.config.Projection.Now()), out)
		return err
	})
	return found, err
}

// Rows is projection.Reader.Rows.
func (r Reader) Rows(
	ctx context.Context, id, prefix string, limit int, cursor projection.Cursor, out any,
) (next projection.Cursor, err error) {
	err = r.page(ctx, func(of *projection.Reader) (err error) {
		next, err = of.Rows(ctx, id, prefix, limit, cursor, out)
		return err
	})
	return next, err
}

// List is projection.Reader.List.
func (r Reader) List(
	ctx context.Context, f projection.Filter, limit int, cursor projection.Cursor, out any,
) (next projection.Cursor, err error) {
	err = r.page(ctx, func(of *projection.Reader) (err error) {
		next, err = of.List(ctx, f, limit, cursor, out)
		return err
	})
	return next, err
}

// Latest is projection.Reader.Latest.
func (r Reader) Latest(ctx context.Context, ids []string, from, before string, limit int, out any) (more bool, err error) {
	err = r.read(ctx, func(of, _ *projection.Reader) (err error) {
		more, err = of.Latest(ctx, ids, from, before, limit, out)
		return err
	})
	return more, err
}

// page reads a page from the generation that the cursor is of: a cursor names its table.
func (r Reader) page(ctx context.Context, page func(*projection.Reader) error) error {
	return r.read(ctx, func(current, other *projection.Reader) error {
		err := page(current)
		if errors.Is(err, projection.ErrBadCursor) && other != nil {
			return page(other)
		}
		return err
	})
}

// read reads rows, and reads them again if the state has changed meanwhile. So what is answered was read within MaxAge after the
// state in which it may be read was the last one, however long the process was paused.
func (r Reader) read(ctx context.Context, rows func(current, other *projection.Reader) error) error {
	for {
		state, err := r.model.watched.State(ctx)
		if err != nil {
			return err
		}
		current, other, err := r.model.readers(state)
		if err != nil {
			return err
		}
		err = rows(current, other)
		if now, unknown := r.model.watched.State(ctx); unknown != nil || now.Revision == state.Revision {
			return cmp.Or(unknown, err)
		}
	}
}

// readers returns the reader of the current generation, and that of the other one if it is fed and known.
func (m *Model) readers(state State) (current, other *projection.Reader, err error) {
	now, err := m.of(state.Current)
	if err != nil {
		return nil, nil, err
	}
	current = new(now.Reader())
	fed := state.Fed()
	if len(fed) == 1 {
		return current, nil, nil
	}
	second, err := m.of(fed[1])
	if err != nil && state.Phase != Switching { // a newer build's
		return current, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	other = new(second.Reader())
	if state.Phase == Switching {
		current.DB = both{DynamoDBAPI: current.DB, current: now, other: second, table: other.Table}
		current.Waiting = nil // those that wait in one generation answer what that one has
	}
	return current, other, nil
}

// both reads rows from two generations. It answers the further one of two versions of a row, after it has brought the other
// generation up to it.
type both struct {
	projection.DynamoDBAPI
	current, other *projection.Projector
	table          string // the other's
}

func (b both) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	out, err := b.DynamoDBAPI.GetItem(ctx, in, options...)
	if err != nil {
		return nil, err
	}
	second := *in
	second.TableName = &b.table
	more, err := b.DynamoDBAPI.GetItem(ctx, &second, options...)
	if err != nil {
		return nil, err
	}
	out.Item, err = b.level(ctx, out.Item, more.Item)
	return out, err
}

func (b both) BatchGetItem(
	ctx context.Context, in *dynamodb.BatchGetItemInput, options ...func(*dynamodb.Options),
) (*dynamodb.BatchGetItemOutput, error) {
	out := &dynamodb.BatchGetItemOutput{
		Responses: map[string][]projection.Item{}, UnprocessedKeys: map[string]types.KeysAndAttributes{},
	}
	for table, asked := range in.RequestItems {
		first, err := b.batch(ctx, table, asked, options...)
		if err != nil {
			return nil, err
		}
		second, err := b.batch(ctx, b.table, asked, options...)
		if err != nil {
			return nil, err
		}
		later := asked
		later.Keys = nil
		for _, key := range asked.Keys {
			at := keyOf(key)
			if first.later[at] || second.later[at] {
				later.Keys = append(later.Keys, key)
				continue
			}
			item, err := b.level(ctx, first.items[at], second.items[at])
			if err != nil {
				return nil, err
			}
			if item != nil {
				out.Responses[table] = append(out.Responses[table], item)
			}
		}
		if len(later.Keys) > 0 {
			out.UnprocessedKeys[table] = later
		}
	}
	return out, nil
}

// batched is the answer of one table.
type batched struct {
	items map[projection.Key]projection.Item
	later map[projection.Key]bool // unprocessed
}

func (b both) batch(
	ctx context.Context, table string, asked types.KeysAndAttributes, options ...func(*dynamodb.Options),
) (batched, error) {
	got := batched{map[projection.Key]projection.Item{}, map[projection.Key]bool{}}
	out, err := b.DynamoDBAPI.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{table: asked},
	}, options...)
	if err != nil {
		return got, err
	}
	for _, item := range out.Responses[table] {
		got.items[keyOf(item)] = item
	}
	for _, key := range out.UnprocessedKeys[table].Keys {
		got.later[keyOf(key)] = true
	}
	return got, nil
}

// level returns the further one of the two generations' items, once both have come to its version. Rows without a version,
// which are derived from others, are those of the current generation.
func (b both) level(ctx context.Context, current, other projection.Item) (projection.Item, error) {
	is, want := versionOf(current), versionOf(other)
	further, behind := current, b.other
	if want > is {
		further, behind = other, b.current
	}
	if is == want {
		return current, nil
	}
	stream, err := eventsourcing.ParseStreamID(textOf(further["stream"]))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", projection.ErrBadRow, err)
	}
	if _, err := behind.Redrive(ctx, stream); errors.Is(err, projection.ErrParked) {
		return nil, fmt.Errorf("%w: one generation lacks an event that the other has: %w", eventsourcing.ErrUnavailable, err)
	} else if err != nil {
		return nil, err
	}
	return further, nil
}

func keyOf(item projection.Item) projection.Key {
	return projection.Key{ID: textOf(item["id"]), Row: textOf(item["row"])}
}

func textOf(v types.AttributeValue) string {
	text, _ := v.(*types.AttributeValueMemberS)
	if text == nil {
		return ""
	}
	return text.Value
}

// versionOf returns the fence of an own row; 0 if there is none.
func versionOf(item dynamo.Item) uint64 {
	n, _ := item["version"].(*types.AttributeValueMemberN)
	if n == nil {
		return 0
	}
	version, _ := strconv.ParseUint(n.Value, 10, 64) // 0 in a row that cannot be read
	return version
}
