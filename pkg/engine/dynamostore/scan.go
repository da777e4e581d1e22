package dynamostore

import (
	"context"
	"iter"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// maxSegments is the limit of DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
const maxSegments = 1_000_000

// All yields every record of the log, in any order, also within a stream. It scans that many segments in parallel (at
// least one), with consistent reads. A record that is appended meanwhile may or may not be among them. An item that is no
// event comes as an *ItemError and does not end the sequence; any other error does.
func (s *Store) All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error] {
	segments = min(max(segments, 1), maxSegments)
	return func(yield func(eventsourcing.Record, error) bool) {
		scanCtx, cancelScans := context.WithCancel(ctx)
		pages := make(chan page)
		var scans sync.WaitGroup
		for segment := range segments {
			in := &dynamodb.ScanInput{
				TableName:      aws.String(s.cfg.Tables.Events),
				ConsistentRead: aws.Bool(true),
				Segment:        aws.Int32(int32(segment)),
				TotalSegments:  aws.Int32(int32(segments)), //nolint:gosec // at most maxSegments
			}
			scans.Go(func() {
				for entries, err := range scan(scanCtx, s.db, in, entryOf) {
					select {
					case pages <- page{entries, err}:
					case <-scanCtx.Done():
						return
					}
				}
			})
		}
		go func() {
			scans.Wait()
			close(pages)
		}()
		defer func() { // end all scans
			cancelScans()
			for range pages {
			}
		}()
		for p := range pages {
			for _, e := range p.entries {
				if !yield(e.record, e.err) {
					return
				}
			}
			if p.err != nil {
				yield(eventsourcing.Record{}, p.err)
				return
			}
		}
		if err := ctx.Err(); err != nil { // else scans that ended early look complete
			yield(eventsourcing.Record{}, err)
		}
	}
}

// page is the result of one call, up to the error.
type page struct {
	entries []entry
	err     error
}

// entry is an item of the log, or why it is no event.
type entry struct {
	record eventsourcing.Record
	err    error
}

func entryOf(it item) (entry, error) {
	record, err := recordOf(it)
	return entry{record, err}, nil
}

// scan yields the items of a table in the pages of in. The first error ends the sequence; its page has the items before it.
func scan[T any](ctx context.Context, db DynamoDBAPI, in *dynamodb.ScanInput, of func(item) (T, error)) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		for pages := dynamodb.NewScanPaginator(db, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, failed("scan "+*in.TableName, err))
				return
			}
			page := make([]T, 0, len(out.Items))
			for _, it := range out.Items {
				var one T
				if one, err = of(it); err != nil {
					break
				}
				page = append(page, one)
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}
