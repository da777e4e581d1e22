package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

const (
	longestShare = 100 // the longest stream has one event of so many
	writesOfPart = 16
	most         = 90 // events in a transaction
	hotUsers     = 500
)

// rebuild fills the users' next generation from a log, alone and beside commands and reads, in turn with a bare loop.
func rebuild(ctx context.Context, b Bench) (report.Section, error) {
	t := report.Table{Columns: []string{
		"rebuild", "events a second", "bare loop, events a second", "of the floor", "compared, streams a second", "resident, MB at most",
	}}
	var beside float64
	err := b.with(ctx, plan{}, func(s *system) error {
		users, err := s.draw(ctx, b.Size.Log)
		if err != nil {
			return err
		}
		measured := func(name string) error {
			var fill, bare, compared, peak measure.Sample
			for round := range b.Size.Rebuilds {
				b.Say("rebuild, %s: round %d of %d", name, round+1, b.Size.Rebuilds)
				loop, err := s.scanned(ctx)
				if err != nil {
					return err
				}
				r, resident, err := s.rebuildUsers(ctx, b.Programs)
				if err != nil {
					return err
				}
				fill = append(fill, float64(r.Events)/r.FillSeconds)
				bare = append(bare, float64(b.Size.Log)/loop.Seconds())
				compared = append(compared, float64(r.Streams)/r.CompareSeconds)
				peak = append(peak, float64(resident)/1e6)
			}
			t.Add(name, fill, bare, fill.Over(bare), compared, peak)
			return nil
		}
		if err := measured("alone"); err != nil {
			return err
		}
		if err := s.add(ctx, 1, processes.ServiceNames()...); err != nil {
			return err
		}
		stop := s.beside(ctx, b.Size.Rate/2, users[:min(len(users), hotUsers)])
		err = measured("beside commands and reads")
		n, failed := stop()
		beside = float64(n)
		return errors.Join(err, failed)
	})
	return report.Section{
		Case: "rebuild", Title: "Rebuilds",
		Text: fmt.Sprintf("`leftfold projections rebuild users --switch` reads a log of %s events, %d of a user on average, the longest "+
			"stream with a hundredth of all, fills a new table, compares all of its rows with the log and moves reads to it. The bare loop scans "+
			"the same log in as many parts and puts as many rows, each on condition that there is none. Beside it %s commands were sent, %g a "+
			"second, and each was read when it was visible; none failed.",
			measure.Number(float64(b.Size.Log)), eventsPerUser, measure.Number(beside), b.Size.Rate/2),
		Tables: []report.Table{t},
	}, err
}

// draw fills the log of a new AWS, and returns its users. Meanwhile the table has no stream, so what is read of it later begins after
// that.
func (s *system) draw(ctx context.Context, events int) (users []string, err error) {
	stream := func(of *types.StreamSpecification) error {
		_, err := s.db.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &s.names.EventLog, StreamSpecification: of})
		return err
	}
	if err := stream(&types.StreamSpecification{StreamEnabled: aws.Bool(false)}); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(1, 0))
	group, writing := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for left := events; left > 0; {
		length := min(1+random.IntN(2*eventsPerUser-1), left)
		if len(users) == 0 {
			length = max(events/longestShare, 1)
		}
		left -= length
		id := newID()
		users = append(users, id)
		group.Go(func() error { return s.commit(writing, id, length) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return users, stream(dynamostore.Tables{Events: s.names.EventLog}.CreateTableInputs()[0].StreamSpecification)
}

// commit writes the first events of a user, in as few commits as there can be.
func (s *system) commit(ctx context.Context, id string, events int) error {
	for at := 0; at < events; at += most {
		if err := s.direct.Append(ctx, id, eventsourcing.Version(at), min(most, events-at)); err != nil {
			return err
		}
	}
	return nil
}

// scanned is the floor of whatever makes rows of a log: it scans the log in parallel, puts a row for each stream without a fold, and
// returns how long that took.
func (s *system) scanned(ctx context.Context) (time.Duration, error) {
	const name = "bare-rows"
	if _, err := s.db.CreateTable(ctx, projection.CreateTableInput(name)); err != nil {
		return 0, err
	}
	began := time.Now()
	parts, scanning := errgroup.WithContext(ctx)
	for part := range inParallel {
		parts.Go(func() error { return s.scanPart(scanning, name, int32(part)) })
	}
	err := parts.Wait()
	took := time.Since(began)
	_, failed := s.db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(name)})
	return took, errors.Join(err, failed)
}

func (s *system) scanPart(ctx context.Context, table string, part int32) error {
	pages := dynamodb.NewScanPaginator(s.db, &dynamodb.ScanInput{
		TableName: &s.names.EventLog, ConsistentRead: aws.Bool(true), Segment: &part, TotalSegments: aws.Int32(inParallel),
	})
	var puts errgroup.Group
	puts.SetLimit(writesOfPart)
	for last := ""; pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return errors.Join(err, puts.Wait())
		}
		for _, item := range page.Items {
			stream, ok := item["stream"].(*types.AttributeValueMemberS)
			if !ok || stream.Value == last {
				continue
			}
			last = stream.Value
			puts.Go(func() error { return s.putRow(ctx, table, stream.Value, item) })
		}
	}
	return puts.Wait()
}

func (s *system) putRow(ctx context.Context, table, stream string, event map[string]types.AttributeValue) error {
	id := strings.TrimPrefix(stream, "org/iam/user/")
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &table, ConditionExpression: aws.String("attribute_not_exists(id)"),
		Item: projection.Item{
			"id": text(id), "row": text("user"), "listed": text(id), "stream": text(stream), "version": event["version"], "event_id": event["id"],
			"correlation_id": text(id), "causation_id": text(id), "updated_at": event["recorded_at"],
			"email": text(id + "@example.com"), "first_name": text("Ann"), "last_name": text("abcdefghijklmnopqrstuvwx"),
			"disabled": &types.AttributeValueMemberBOOL{}, "roles": &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
		},
	})
	return err
}

// rebuilt is what leftfold prints about a rebuild.
type rebuilt struct {
	Events         int64   `json:"events"`
	FillSeconds    float64 `json:"fillSeconds"`
	Streams        int64   `json:"streams"`
	CompareSeconds float64 `json:"compareSeconds"`
}

// rebuildUsers rebuilds the users by the program, lets reads move to the new rows and retires the old ones. It returns how long that
// took, and the most memory that the program had.
func (s *system) rebuildUsers(ctx context.Context, programs string) (r rebuilt, peak int64, err error) {
	run := func(args ...string) (processes.Finished, error) {
		c, err := s.Leftfold(ctx, programs, args...)
		if err != nil {
			return processes.Finished{}, err
		}
		done := c.Wait()
		if done.Code != 0 {
			err = fmt.Errorf("leftfold %s: exit code %d: %s%s", strings.Join(args, " "), done.Code, done.Out, done.Errors)
		}
		return done, err
	}
	done, err := run("projections", "rebuild", "users", "--switch", "--output", "json", "--segments", strconv.Itoa(inParallel))
	if err != nil {
		return r, 0, err
	}
	for line := range strings.Lines(done.Out) {
		if strings.Contains(line, "fillSeconds") {
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				return r, 0, err
			}
		}
	}
	_, err = run("projections", "retire", "users")
	return r, done.PeakMemory, err
}

// beside renames users at a rate until stop, and reads each when its new name is visible. stop returns how often that was.
func (s *system) beside(ctx context.Context, rate float64, users []string) (stop func() (n int, err error)) {
	sending, cancel := context.WithCancel(ctx)
	atOnce := int(rate) + 1
	var group errgroup.Group
	n := 0
	group.Go(func() error {
		for sending.Err() == nil {
			err := load.Open(ctx, rate, atOnce, func(ctx context.Context, i int, _ time.Time) error {
				return s.see(ctx, rename(users[(n+i)%len(users)]), func() {})
			})
			if err != nil {
				return err
			}
			n += atOnce
		}
		return nil
	})
	return func() (int, error) {
		cancel()
		err := group.Wait()
		return n, err
	}
}
