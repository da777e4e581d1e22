package dynamostore

import (
	"context"
	"iter"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

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
		pages := inParallel(ctx, segments, func(ctx context.Context, segment int) iter.Seq2[[]entry, error] {
			return scan(ctx, s.db, s.segment(segment, segments), entryOf)
		})
		for page, err := range pages {
			for _, e := range page {
				if !yield(e.record, e.err) {
					return
				}
			}
			if err != nil {
				yield(eventsourcing.Record{}, err)
				return
			}
		}
	}
}

// inParallel yields the pages of that many segments, which are read at once. The first error ends the sequence.
func inParallel[T any](
	ctx context.Context, segments int, of func(ctx context.Context, segment int) iter.Seq2[T, error],
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		type page struct {
			of  T
			err error
		}
		scanCtx, cancelScans := context.WithCancel(ctx)
		pages := make(chan page)
		var scans sync.WaitGroup
		for segment := range segments {
			scans.Go(func() {
				for of, err := range of(scanCtx, segment) {
					select {
					case pages <- page{of, err}:
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
			if !yield(p.of, p.err) || p.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil { // else scans that ended early look complete
			var none T
			yield(none, err)
		}
	}
}

// segment declares the scan of one of total segments of the log, by consistent reads.
func (s *Store) segment(segment, total int) *dynamodb.ScanInput {
	return &dynamodb.ScanInput{
		TableName: aws.String(s.cfg.Tables.Events), ConsistentRead: aws.Bool(true),
		Segment: aws.Int32(int32(segment)), TotalSegments: aws.Int32(int32(total)), //nolint:gosec // at most maxSegments
	}
}

// Head is a stream with the highest version that a scan has found of it.
type Head struct {
	// Stream is its name as it is stored: what else wrote to the log may have chosen any.
	Stream  string
	Version eventsourcing.Version
}

// Heads yields every stream that was in the log when it was called, and perhaps later ones, in the pages of a scan: of limit
// events each, or of 1 MB if it is 0. A scan has the events of a stream one after the other, so most pages are short, and a
// stream that goes on in the next page comes with that one; should a scan ever have them apart, the stream comes again. It
// does not rely on a stream's first event, which may be what the log has lost. The first error ends the sequence.
func (s *Store) Heads(ctx context.Context, limit int32) iter.Seq2[[]Head, error] {
	return func(yield func([]Head, error) bool) {
		pages := dynamodb.NewScanPaginator(s.db, &dynamodb.ScanInput{
			TableName: &s.cfg.Tables.Events, Limit: orNone(limit), ConsistentRead: aws.Bool(true),
			ProjectionExpression:     aws.String("#stream, #version"),
			ExpressionAttributeNames: map[string]string{"#stream": attrStream, "#version": attrVersion},
		})
		var open []Head // the last stream of the pages so far
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(nil, failed("scan "+s.cfg.Tables.Events, err))
				return
			}
			heads := open
			for _, it := range out.Items {
				h := headIn(it)
				if last := len(heads) - 1; last >= 0 && heads[last].Stream == h.Stream {
					heads[last].Version = max(heads[last].Version, h.Version)
				} else {
					heads = append(heads, h)
				}
			}
			if open = nil; pages.HasMorePages() && len(heads) > 0 {
				open = []Head{heads[len(heads)-1]}
				heads = heads[:len(heads)-1]
			}
			if !yield(heads, nil) {
				return
			}
		}
	}
}

// maxKept bounds the events of a stream that Streams keeps. Longer ones are rare, and read one by one.
const maxKept = 1000

// Logged is a stream as a scan has found it.
type Logged struct {
	Head
	// Records are the events from 1 to Version. There are none if one of them was not found or is no event, or if they are more than
	// a scan keeps: read the stream.
	Records []eventsourcing.Record

	incomplete bool
}

func (l *Logged) add(h Head, e entry) {
	l.Version = max(l.Version, h.Version)
	if next := eventsourcing.Version(len(l.Records) + 1); e.record.Version != next || next > maxKept {
		l.incomplete = true // the record of what is no event has version 0
	}
	if l.Records = append(l.Records, e.record); l.incomplete {
		l.Records = nil
	}
}

// Streams yields what Heads does, with the events, in the pages of that many segments of the log, which are read at once. It holds a
// page and a stream of each.
func (s *Store) Streams(ctx context.Context, segments int, limit int32) iter.Seq2[[]Logged, error] {
	segments = min(max(segments, 1), maxSegments)
	return inParallel(ctx, segments, func(ctx context.Context, segment int) iter.Seq2[[]Logged, error] {
		in := s.segment(segment, segments)
		in.Limit = orNone(limit)
		return s.streams(ctx, in)
	})
}

func (s *Store) streams(ctx context.Context, in *dynamodb.ScanInput) iter.Seq2[[]Logged, error] {
	type found struct {
		Head
		entry
	}
	of := func(it item) (found, error) {
		e, err := entryOf(it)
		return found{headIn(it), e}, err
	}
	return func(yield func([]Logged, error) bool) {
		var open []Logged // the last stream of the pages so far
		for page, err := range scan(ctx, s.db, in, of) {
			if err != nil {
				yield(nil, err)
				return
			}
			logged := open
			for _, f := range page {
				if last := len(logged) - 1; last < 0 || logged[last].Stream != f.Stream {
					logged = append(logged, Logged{Head: f.Head})
				}
				logged[len(logged)-1].add(f.Head, f.entry)
			}
			if open = nil; len(logged) > 0 {
				open = []Logged{logged[len(logged)-1]}
				logged = logged[:len(logged)-1]
			}
			if !yield(logged, nil) {
				return
			}
		}
		if len(open) > 0 {
			yield(open, nil)
		}
	}
}

func headIn(it item) Head {
	h := Head{Stream: textIn(it, attrStream)}
	if n, ok := it[attrVersion].(*types.AttributeValueMemberN); ok {
		v, _ := strconv.ParseUint(n.Value, 10, 64) // 0 for what is no version
		h.Version = eventsourcing.Version(v)
	}
	return h
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
