package generation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// MaxSegments is how many segments of the log are read at once at most: how far each has come is in one item, and DynamoDB's limit of
// an item is 400 KB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const MaxSegments = 256

// saveEvery is the pause between two writes of how far a fill has come: what is repeated after a crash.
const saveEvery = time.Second

// reached is how far a fill has come, as it is stored beside the states.
type reached struct {
	// Segments is by number. All records of a segment up to After are in the table.
	Segments map[string]place `dynamodbav:"segments"`
	// Events were read, also those of attempts that ended early.
	Events int64 `dynamodbav:"events"`
}

type place struct {
	After dynamostore.Position `dynamodbav:"after"`
	Done  bool                 `dynamodbav:"done,omitempty"`
}

// filler fills an empty table from the log while events are applied to it.
type filler struct {
	log      *dynamostore.Store
	to       *projection.Projector
	parallel int // streams of a segment that are written at once
	limit    *rate.Limiter
	save     func(context.Context, reached) error
	now      func() time.Time
	// on is called after every page, by one at a time.
	on func(events int64, done projection.CaughtUp)

	mu      sync.Mutex
	reached reached
	savedAt time.Time
	saving  bool
	done    projection.CaughtUp
}

// run fills the table from what was reached on. After an error it can be run again.
func (f *filler) run(ctx context.Context, segments int) error {
	if f.reached.Segments == nil {
		f.reached.Segments = map[string]place{}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(MaxSegments)               // a build before this one may have begun with more
	reached := maps.Clone(f.reached.Segments) // which the segments change
	for segment := range segments {
		if groupCtx.Err() != nil {
			break
		}
		if from := reached[strconv.Itoa(segment)]; !from.Done {
			group.Go(func() error { return f.segment(groupCtx, segment, segments, from.After) })
		}
	}
	err := cmp.Or(group.Wait(), context.Cause(ctx))
	if saving := f.save(context.WithoutCancel(ctx), f.reached); err == nil {
		err = saving
	}
	return err
}

// segment fills the table with the streams of a segment. Of the last one in a page only the state is kept, since it may go on in
// the next page.
func (f *filler) segment(ctx context.Context, segment, total int, after dynamostore.Position) error {
	var open *projection.Draft
	for p := range ahead(ctx, f.log.Segment(ctx, segment, total, after)) {
		if p.err != nil {
			return p.err
		}
		if err := f.wait(ctx, len(p.page.Records)); err != nil {
			return err
		}
		writing, writingCtx := errgroup.WithContext(ctx)
		writing.SetLimit(f.parallel)
		finish := func() {
			if whole := open; whole != nil {
				writing.Go(func() error { return whole.Store(writingCtx, &f.done) })
			}
		}
		var before eventsourcing.Record
		for run := range runs(p.page.Records) {
			if open == nil || open.Stream() != run[0].Stream {
				finish()
				open, _ = f.to.Draft(run[0].Stream) // nil for a category of other projections
				if before.Version > 0 {
					after = dynamostore.PositionOf(before)
				}
			}
			if open != nil {
				open.Add(run)
			}
			before = run[len(run)-1]
			if open == nil {
				after = dynamostore.PositionOf(before)
			}
		}
		if err := writing.Wait(); err != nil {
			return err
		}
		atomic.AddInt64(&f.done.Holes, int64(len(p.page.Holes)))
		if err := f.page(ctx, segment, place{After: after}, len(p.page.Records)); err != nil {
			return err
		}
	}
	if open != nil {
		if err := open.Store(ctx, &f.done); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil { // or else a scan that ended early looks complete
		return err
	}
	return f.page(ctx, segment, place{Done: true}, 0)
}

// wait waits until the limit allows n more records.
func (f *filler) wait(ctx context.Context, n int) error {
	for f.limit != nil && n > 0 {
		now := min(n, f.limit.Burst())
		if err := f.limit.WaitN(ctx, now); err != nil {
			return fmt.Errorf("wait for the rate limit: %w", err)
		}
		n -= now
	}
	return nil
}

// page notes that a segment has come to a place. One at a time saves it; the others go on meanwhile.
func (f *filler) page(ctx context.Context, segment int, at place, records int) error {
	due, saved := f.note(segment, at, records)
	if saved == nil {
		return nil
	}
	defer saved()
	return f.save(ctx, due)
}

// note returns what is to be saved now, and what to call afterwards; nil if nothing is.
func (f *filler) note(segment int, at place, records int) (due reached, saved func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached.Segments[strconv.Itoa(segment)] = at
	f.reached.Events += int64(records)
	f.on(f.reached.Events, counted(&f.done))
	now := f.now()
	if f.saving || now.Sub(f.savedAt) < saveEvery {
		return due, nil
	}
	f.saving, f.savedAt = true, now
	return reached{maps.Clone(f.reached.Segments), f.reached.Events}, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.saving = false
	}
}

// counted returns counters that others add to.
func counted(c *projection.CaughtUp) projection.CaughtUp {
	return projection.CaughtUp{
		Records: atomic.LoadInt64(&c.Records), Behind: atomic.LoadInt64(&c.Behind), Applied: atomic.LoadInt64(&c.Applied),
		Parked: atomic.LoadInt64(&c.Parked), Holes: atomic.LoadInt64(&c.Holes),
	}
}

// runs yields the records in runs of one stream.
func runs(records []eventsourcing.Record) func(yield func([]eventsourcing.Record) bool) {
	return func(yield func([]eventsourcing.Record) bool) {
		for begin := 0; begin < len(records); {
			end := begin + 1
			for end < len(records) && records[end].Stream == records[begin].Stream {
				end++
			}
			if !yield(records[begin:end:end]) {
				return
			}
			begin = end
		}
	}
}

// pageOrError is a page, or why there is none.
type pageOrError struct {
	page dynamostore.SegmentPage
	err  error
}

// ahead reads the next page while one is worked on.
func ahead(
	ctx context.Context, pages func(yield func(dynamostore.SegmentPage, error) bool),
) func(yield func(pageOrError) bool) {
	return func(yield func(pageOrError) bool) {
		next, stop := make(chan pageOrError), make(chan struct{})
		var reading sync.WaitGroup
		reading.Go(func() {
			defer close(next)
			for page, err := range pages {
				select {
				case next <- pageOrError{page, err}:
				case <-stop:
					return
				case <-ctx.Done():
					return
				}
			}
		})
		defer reading.Wait()
		defer close(stop)
		for p := range next {
			if !yield(p) {
				return
			}
		}
	}
}

// fillKey is the key of a generation's item that says how far its fill has come.
func (c Control) fillKey(g Generation) dynamo.Item {
	return dynamo.Item{"projection": dynamo.Text(g.Name(c.Projection) + "#fill")}
}

// readFill returns how far the fill of a generation has come.
func (c Control) readFill(ctx context.Context, g Generation) (r reached, err error) {
	out, err := c.DB.GetItem(ctx, &dynamodb.GetItemInput{TableName: &c.Table, Key: c.fillKey(g), ConsistentRead: aws.Bool(true)})
	if err == nil {
		err = attributevalue.UnmarshalMap(out.Item, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read how far the fill of %s has come: %w", g.Name(c.Projection), err)
	}
	return r, nil
}

func (c Control) writeFill(ctx context.Context, g Generation, r reached) error {
	item, err := attributevalue.MarshalMap(r)
	if err == nil {
		maps.Copy(item, c.fillKey(g))
		_, err = c.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: &c.Table, Item: item})
	}
	if err != nil {
		return fmt.Errorf("write how far the fill of %s has come: %w", g.Name(c.Projection), err)
	}
	return nil
}

// forgetFill deletes what writeFill wrote.
func (c Control) forgetFill(ctx context.Context, g Generation) error {
	if _, err := c.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &c.Table, Key: c.fillKey(g)}); err != nil {
		return fmt.Errorf("delete how far the fill of %s has come: %w", g.Name(c.Projection), err)
	}
	return nil
}
