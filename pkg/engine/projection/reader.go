package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Errors of a Reader.
var (
	// ErrThrottled: DynamoDB kept returning only a part of a batch. It is an eventsourcing.ErrUnavailable.
	ErrThrottled = fmt.Errorf("%w: reads throttled", eventsourcing.ErrUnavailable)
	// ErrNotYet: the projection has not reached the version.
	ErrNotYet = errors.New("projection has not reached that version yet")
)

// The defaults of Backoff: a lost race is over at once.
const (
	firstPause   = time.Millisecond
	longestPause = 64 * time.Millisecond
)

// Limits of BatchGetItem: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
const (
	maxBatchGet      = 100
	maxBatchAttempts = 8
)

// Reader reads a projection's rows into structs with dynamodbav tags; embed Key and Fence to read them too. All reads but
// List are consistent.
type Reader struct {
	DB    DynamoDBAPI
	Table string
	// Backoff is the pause before the unprocessed keys of a BatchGetItem are read again. Defaults to 1 ms, doubled up to 64 ms.
	Backoff retry.Backoff
	// Waiting shares the reads of Await. Defaults to none: each Await reads for itself.
	Waiting *Waiting
	// MaxExamined bounds the rows that one page of List or Rows examines: a page for which it looked at so many has fewer rows than
	// its limit, or none, and a cursor by which the next goes on. A page always examines as many as its limit and one more.
	// Defaults to 1,000, some 50 read units for rows of 400 bytes.
	MaxExamined int
	// OnPage is called with the number of rows that a page has examined. Defaults to no call.
	OnPage func(examined int)
	// OnBadRow is called for a row that cannot be decoded. Lists leave it out; a read of that row alone is an ErrBadRow.
	// Defaults to no call.
	OnBadRow func(context.Context, Key, error)
}

// Filter selects the rows whose attribute Attr, a string, contains one of the texts, case-sensitively. The zero Filter selects
// all.
type Filter struct {
	Attr  string
	AnyOf []string
}

// key is part of the identity of a list.
func (f Filter) key() []string {
	if len(f.AnyOf) == 0 {
		return []string{f.Attr, ""}
	}
	return append([]string{f.Attr}, f.AnyOf...)
}

// Get reads one row into out, a pointer to a struct. If there is no such row, it leaves out unchanged.
func (r Reader) Get(ctx context.Context, id, row string, out any) (found bool, err error) {
	item, err := r.item(ctx, Key{id, row})
	if err != nil || item == nil {
		return false, err
	}
	return true, r.decodeOne(ctx, Key{id, row}, item, out)
}

func (r Reader) item(ctx context.Context, key Key) (Item, error) {
	res, err := r.DB.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &r.Table, Key: key.item(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, fmt.Errorf("read row %q: %w", key.Row, err)
	}
	return res.Item, nil
}

// BatchGet reads the rows into out, a pointer to a slice of structs, in the order of keys. It skips rows that do not exist,
// and duplicate keys.
func (r Reader) BatchGet(ctx context.Context, keys []Key, out any) error {
	found := make(map[Key]Item, len(keys)) // nil: none found yet
	var unique []Key
	for _, key := range keys {
		if _, dup := found[key]; !dup {
			found[key] = nil
			unique = append(unique, key)
		}
	}
	for chunk := range slices.Chunk(unique, maxBatchGet) {
		if err := r.batch(ctx, chunk, found); err != nil {
			return fmt.Errorf("read %d rows: %w", len(unique), err)
		}
	}
	rows := newRows(out)
	for _, key := range unique {
		if item := found[key]; item != nil {
			r.add(ctx, rows, key, item)
		}
	}
	return nil
}

func (r Reader) batch(ctx context.Context, keys []Key, found map[Key]Item) error {
	pending := make([]Item, len(keys))
	for i, key := range keys {
		pending[i] = key.item()
	}
	for attempt := 1; len(pending) > 0; attempt++ {
		if attempt > maxBatchAttempts {
			return ErrThrottled
		}
		if attempt > 1 {
			if err := r.Backoff.Or(firstPause, longestPause).Wait(ctx, attempt); err != nil {
				return err
			}
		}
		res, err := r.DB.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			r.Table: {Keys: pending, ConsistentRead: aws.Bool(true)},
		}})
		if err != nil {
			return err
		}
		for _, item := range res.Responses[r.Table] {
			key, err := keyOf(item)
			if err != nil {
				return err
			}
			found[key] = item
		}
		pending = res.UnprocessedKeys[r.Table].Keys
		if len(res.Responses[r.Table]) > 0 {
			attempt = 1 // it makes progress
		}
	}
	return nil
}

// Rows reads a page of the rows of one ID whose names begin with prefix, sorted by name, into out, a pointer to a slice of
// structs. Every page but the last has limit rows, or has examined MaxExamined.
func (r Reader) Rows(ctx context.Context, id, prefix string, limit int, cursor Cursor, out any) (next Cursor, err error) {
	list := listOf("rows", r.Table, id, prefix)
	after, err := cursor.start(list)
	if err != nil {
		return Cursor{}, err
	}
	if after != nil && (after.ID != id || !strings.HasPrefix(after.Row, prefix)) {
		return Cursor{}, fmt.Errorf("%w: its position is not in the list", ErrBadCursor)
	}
	in := &dynamodb.QueryInput{
		TableName: &r.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#id = :id"),
		ExpressionAttributeNames:  map[string]string{"#id": "id"},
		ExpressionAttributeValues: Item{":id": dynamo.Text(id)},
	}
	if prefix != "" {
		*in.KeyConditionExpression += " AND begins_with(#row, :prefix)"
		in.ExpressionAttributeNames["#row"] = "row"
		in.ExpressionAttributeValues[":prefix"] = dynamo.Text(prefix)
	}
	if after != nil {
		in.ExclusiveStartKey = after.item()
	}
	return r.page(ctx, list, limit, 1, out, func(want int32) (examined, error) {
		in.Limit = &want
		res, err := r.DB.Query(ctx, in)
		if err != nil {
			return examined{}, fmt.Errorf("read rows %q: %w", prefix, err)
		}
		in.ExclusiveStartKey = res.LastEvaluatedKey
		return examined{res.Items, res.LastEvaluatedKey, int(res.ScannedCount)}, nil
	})
}

// List reads a page of the own rows of listed sources into out, a pointer to a slice of structs. The order is stable but
// arbitrary. Every page but the last has limit rows, also with a filter, or has examined MaxExamined. It reads a secondary index,
// which lags behind writes by milliseconds.
//
// A cursor is a position in the order of all keys, so it stays right while rows come and go: a row that is there, and that the
// filter selects, from the first page to the last is returned once, and none is returned twice.
func (r Reader) List(ctx context.Context, f Filter, limit int, cursor Cursor, out any) (next Cursor, err error) {
	list := listOf(append([]string{"list", r.Table}, f.key()...)...)
	return r.scan(ctx, listingIndex, "listed", f, limit, list, cursor, out)
}

// scan reads a page of a sparse index.
func (r Reader) scan(
	ctx context.Context, index, attr string, f Filter, limit int, list string, cursor Cursor, out any,
) (next Cursor, err error) {
	after, err := cursor.start(list)
	if err != nil {
		return Cursor{}, err
	}
	in := &dynamodb.ScanInput{TableName: &r.Table, IndexName: &index}
	rarity := 1
	if len(f.AnyOf) > 0 {
		rarity = 4
		in.ExpressionAttributeNames = map[string]string{"#attr": f.Attr}
		in.ExpressionAttributeValues = Item{}
		conditions := make([]string, len(f.AnyOf))
		for i, text := range f.AnyOf {
			value := fmt.Sprintf(":text%d", i)
			conditions[i] = "contains(#attr, " + value + ")"
			in.ExpressionAttributeValues[value] = dynamo.Text(text)
		}
		in.FilterExpression = aws.String(strings.Join(conditions, " OR "))
	}
	if after != nil {
		in.ExclusiveStartKey = after.item()
		in.ExclusiveStartKey[attr] = dynamo.Text(after.ID)
	}
	return r.page(ctx, list, limit, rarity, out, func(want int32) (examined, error) {
		in.Limit = &want // of the rows before the filter
		res, err := r.DB.Scan(ctx, in)
		if err != nil {
			return examined{}, fmt.Errorf("scan index %s: %w", index, err)
		}
		in.ExclusiveStartKey = res.LastEvaluatedKey
		return examined{res.Items, res.LastEvaluatedKey, int(res.ScannedCount)}, nil
	})
}

const (
	// maxPage bounds the rows that one page may have.
	maxPage = 10_000
	// maxExamined is the default of Reader.MaxExamined.
	maxExamined = 1_000
)

// examined are the rows that a call found among those that it examined, and the key of the last of these; none: the end.
type examined struct {
	found []Item
	last  Item
	count int
}

// page fetches until it has decoded more than limit rows, has examined as many as it may, or no rows are left, and returns the
// first limit of them. If there may be more, next is the cursor of the next page. rarity is how many rows are examined for each
// that is wanted, at first; then twice as many each time.
func (r Reader) page(
	ctx context.Context, list string, limit, rarity int, out any, fetch func(want int32) (examined, error),
) (next Cursor, err error) {
	if limit < 1 || limit > maxPage {
		return Cursor{}, fmt.Errorf("limit %d is not in 1…%d", limit, maxPage)
	}
	after := func(k Key) Cursor { return Cursor{place{Of: list, ID: k.ID, Row: k.Row}} }
	most := max(cmp.Or(r.MaxExamined, maxExamined), limit+1)
	rows, keys := newRows(out), []Key(nil)
	for count, want := 0, 0; ; {
		if want = max(rarity*(limit+1-len(keys)), 2*want); rarity == 1 {
			want = limit + 1 - len(keys)
		}
		read, err := fetch(int32(min(want, most-count)))
		if err != nil {
			return Cursor{}, err
		}
		for _, item := range read.found {
			key, err := keyOf(item)
			if err != nil {
				return Cursor{}, err
			}
			if r.add(ctx, rows, key, item) {
				keys = append(keys, key)
			}
		}
		count += read.count
		if len(keys) <= limit && len(read.last) > 0 && count < most {
			continue
		}
		if r.OnPage != nil {
			r.OnPage(count)
		}
		switch {
		case len(keys) > limit:
			rows.Set(rows.Slice(0, limit))
			return after(keys[limit-1]), nil
		case len(read.last) > 0:
			last, err := keyOf(read.last)
			return after(last), err
		default:
			return Cursor{}, nil
		}
	}
}

// newRows returns the slice of structs to which out points, emptied.
func newRows(out any) reflect.Value {
	rows := reflect.ValueOf(out).Elem()
	rows.Set(reflect.MakeSlice(rows.Type(), 0, 0))
	return rows
}

// add appends the row, if it can be decoded.
func (r Reader) add(ctx context.Context, rows reflect.Value, key Key, item Item) bool {
	row := reflect.New(rows.Type().Elem())
	if r.decodeOne(ctx, key, item, row.Interface()) != nil {
		return false
	}
	rows.Set(reflect.Append(rows, row.Elem()))
	return true
}

// decodeOne decodes a row, and reports one that cannot be.
func (r Reader) decodeOne(ctx context.Context, key Key, item Item, out any) error {
	err := decode(item, out)
	if err != nil && r.OnBadRow != nil {
		r.OnBadRow(ctx, key, err)
	}
	return err
}

// decode decodes a row into a struct. A struct with a Fence must get one.
func decode(item Item, out any) error {
	err := attributevalue.UnmarshalMap(item, out)
	if row, ok := out.(interface{ check() error }); ok && err == nil {
		err = row.check()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadRow, err)
	}
	return nil
}

func keyOf(item Item) (k Key, err error) {
	err = attributevalue.UnmarshalMap(item, &k)
	return k, err
}

func (k Key) item() Item { return Item{"id": dynamo.Text(k.ID), "row": dynamo.Text(k.Row)} }

// with returns a copy of item with more attributes.
func with(item Item, more ...Item) Item {
	out := maps.Clone(item)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}
