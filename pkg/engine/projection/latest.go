package projection

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
)

// Latest reads the rows of several IDs as one list: those whose names are at least from and less than before, in descending order of
// their names, at most limit of them, into out, a pointer to a slice of structs. So the writes of one list can be spread over several
// partitions. No two rows may have the same name. If there are more, the next page is that before the name of the last row.
//
// It examines about twice limit rows and one more of each ID, in one or two calls for an ID on average.
func (r Reader) Latest(ctx context.Context, ids []string, from, before string, limit int, out any) (more bool, err error) {
	if limit < 1 || limit > maxPage {
		return false, fmt.Errorf("limit %d is not in 1…%d", limit, maxPage)
	}
	rows := newRows(out)
	if from >= before {
		return false, nil
	}
	lists := make([]*backwards, len(ids))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, id := range ids {
		lists[i] = r.backwards(id, from, before, int32(min(limit/len(ids)+1, maxPage))) //nolint:gosec // G115: at most maxPage
		group.Go(func() error { return lists[i].fill(groupCtx) })
	}
	err = group.Wait()
	for err == nil && rows.Len() <= limit {
		var next *backwards
		for _, list := range lists {
			if len(list.items) > 0 && (next == nil || list.first.Row > next.first.Row) {
				next = list
			}
		}
		if next == nil {
			break
		}
		r.add(ctx, rows, next.first, next.items[0])
		next.items = next.items[1:]
		err = next.fill(ctx)
	}
	if err != nil {
		return false, err
	}
	if r.OnPage != nil {
		examined := 0
		for _, list := range lists {
			examined += list.examined
		}
		r.OnPage(examined)
	}
	if more = rows.Len() > limit; more {
		rows.Set(rows.Slice(0, limit))
	}
	return more, nil
}

// backwards reads the rows of one ID in descending order.
type backwards struct {
	db       DynamoDBAPI
	in       *dynamodb.QueryInput
	items    []Item // read and not taken
	first    Key    // of items
	end      bool
	examined int
}

func (r Reader) backwards(id, from, before string, page int32) *backwards {
	return &backwards{db: r.DB, in: &dynamodb.QueryInput{
		TableName: &r.Table, ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false), Limit: &page,
		KeyConditionExpression:    aws.String("#id = :id AND #row BETWEEN :from AND :before"),
		ExpressionAttributeNames:  map[string]string{"#id": "id", "#row": "row"},
		ExpressionAttributeValues: Item{":id": dynamo.Text(id), ":from": dynamo.Text(from), ":before": dynamo.Text(before)},
		ExclusiveStartKey:         Key{id, before}.item(),
	}}
}

// fill reads more if no item is left, and keeps first.
func (b *backwards) fill(ctx context.Context) (err error) {
	for len(b.items) == 0 && !b.end {
		res, err := b.db.Query(ctx, b.in)
		if err != nil {
			return fmt.Errorf("read the latest rows: %w", err)
		}
		b.items, b.in.ExclusiveStartKey, b.end = res.Items, res.LastEvaluatedKey, len(res.LastEvaluatedKey) == 0
		b.examined += int(res.ScannedCount)
	}
	if len(b.items) > 0 {
		b.first, err = keyOf(b.items[0])
	}
	return err
}
