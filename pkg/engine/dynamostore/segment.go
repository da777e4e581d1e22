package dynamostore

import (
	"context"
	"iter"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Position is a place in a segment of the log: after the record of that stream and version. The zero Position is the beginning.
type Position struct {
	Stream  string                `dynamodbav:"stream"`
	Version eventsourcing.Version `dynamodbav:"version"`
}

// PositionOf returns the place after a record.
func PositionOf(r eventsourcing.Record) Position { return Position{r.Stream.String(), r.Version} }

// SegmentPage is a page of a segment.
type SegmentPage struct {
	Records []eventsourcing.Record
	// Holes are the items that are no events, each an *ItemError.
	Holes []error
}

// Segment yields the records of one of total segments, which together are the log, page by page, from a place in it on. The
// records of a stream are in one segment; they come one after the other and in order as far as anyone has seen, which AWS
// promises nowhere. Reads are consistent: what was in the log when it was called is among them. The first error ends the
// sequence.
func (s *Store) Segment(ctx context.Context, segment, total int, after Position) iter.Seq2[SegmentPage, error] {
	in := s.segment(segment, total)
	if after != (Position{}) {
		in.ExclusiveStartKey = item{attrStream: dynamo.Text(after.Stream), attrVersion: dynamo.Number(after.Version)}
	}
	return func(yield func(SegmentPage, error) bool) {
		for entries, err := range scan(ctx, s.db, in, entryOf) {
			var p SegmentPage
			for _, e := range entries {
				if e.err != nil {
					p.Holes = append(p.Holes, e.err)
				} else {
					p.Records = append(p.Records, e.record)
				}
			}
			if !yield(p, err) {
				return
			}
		}
	}
}
