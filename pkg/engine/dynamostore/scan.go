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
// least one), with consistent reads. A record that is appended meanwhile may or may not be among them. The first error
// ends the sequence.
func (s *Store) All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error] {
	segments = min(max(segments, 1), maxSegments)
	return func(yield func(eventsourcing.Record, error) bool) {
		scanCtx, cancelScans := context.WithCancel(ctx)
		pages := make(chan page)
		var scans sync.WaitGroup
		for segment := range segments {
			scans.Go(func() { s.scan(scanCtx, segment, segments, pages) })
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
			for _, record := range p.records {
				if !yield(record, nil) {
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
	records []eventsourcing.Record
	err     error
}

func (s *Store) scan(ctx context.Context, segment, segments int, pages chan<- page) {
	calls := dynamodb.NewScanPaginator(s.db, &dynamodb.ScanInput{
		TableName:      aws.String(s.cfg.Tables.Events),
		ConsistentRead: aws.Bool(true),
		Segment:        aws.Int32(int32(segment)),  //nolint:gosec // All bounds it
		TotalSegments:  aws.Int32(int32(segments)), //nolint:gosec // All bounds it
	})
	for calls.HasMorePages() {
		p := s.next(ctx, calls)
		select {
		case pages <- p:
		case <-ctx.Done():
			return
		}
		if p.err != nil {
			return
		}
	}
}

func (*Store) next(ctx context.Context, calls *dynamodb.ScanPaginator) page {
	out, err := calls.NextPage(ctx)
	if err != nil {
		return page{err: failed("scan the log", err)}
	}
	var p page
	for _, item := range out.Items {
		record, err := recordOf(item)
		if err != nil {
			p.err = err
			break
		}
		p.records = append(p.records, record)
	}
	return p
}
