package generation_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// operator returns a new operator of a build with these shapes.
func (w *world) operator(db *dynamodb.Client, with func(*generation.OperatorConfig), numbers ...int) *generation.Operator {
	log := dynamostore.NewStore(db, dynamostore.Config{Now: time.Now})
	c := generation.OperatorConfig{
		Config: generation.Config{
			Projection: projection.Config{Name: "things", Table: "things", DB: db, EventLog: log, Now: time.Now},
			Shapes:     shapes(numbers...), States: w.control.Table,
		},
		DB: db, Log: log, EventLog: "EventLog", Segments: 2,
	}
	if with != nil {
		with(&c)
	}
	return generation.NewOperator(c)
}

// touch appends that many touches of a thing.
func (w *world) touch(id string, times int) []eventsourcing.Record {
	events := make([]eventsourcing.Event, times)
	for i := range events {
		events[i] = touched{}
	}
	return w.append(id, events...)
}

// assertFolded compares a table with the log, stream by stream.
func (w *world) assertFolded(table string, shape int) {
	w.Helper()
	p, err := projection.NewProjector(projection.Config{
		Name: table, Table: table, DB: w.db, EventLog: w.log, Sources: []projection.Source{source(shape)},
	})
	require.NoError(w, err)
	for id, head := range w.heads {
		c, err := p.Compare(w.Context(), eventsourcing.StreamID{Category: category, ID: id})
		require.NoError(w, err)
		assert.Equal(w, head, c.Fence, id)
		assert.Empty(w, c.Wrong, id)
	}
}

func phase(t *testing.T, s generation.State, err error) generation.Phase {
	t.Helper()
	require.NoError(t, err)
	return s.Phase
}

func TestARebuildBringsTheNextGenerationToTheLog(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		for i := range 40 {
			w.touch(fmt.Sprint("thing", i), 1+i%5)
		}
		for range 20 { // more than a page of a scan holds
			w.touch("long", 50)
		}
		require.NoError(w, w.log.Append(w.Context(), eventsourcing.Commit{ // another projection's
			Stream: eventsourcing.StreamID{Category: "test/other", ID: "x"}, Records: []eventsourcing.Record{{
				ID: "1", Stream: eventsourcing.StreamID{Category: "test/other", ID: "x"}, Version: 1, Name: "test/other/done", Schema: 1,
				Data: []byte(`{}`), RecordedAt: time.UnixMilli(1).UTC(),
			}},
		}))
		m := w.model(1, 2)
		_, err := m.CatchUp(w.Context(), w.log.All(w.Context(), 1))
		require.NoError(w, err)

		var saw []generation.Doing
		o := w.operator(w.db, func(c *generation.OperatorConfig) {
			c.OnProgress = func(p generation.Progress) { saw = append(saw, p.Doing) }
		}, 1, 2)
		s, err := o.Rebuild(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
		assert.Subset(w, saw, []generation.Doing{generation.Waiting, generation.Reading, generation.Comparing})
		w.assertFolded("things-g2", 2)
		w.assertFolded("things", 1)

		s, err = o.Switch(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
		require.Equal(w, generation.Generation{Number: 2, Shape: 2}, s.Current)
		time.Sleep(generation.Settle)
		var one seen
		_, err = m.Reader().Get(w.Context(), "thing4", "thing", &one)
		require.NoError(w, err)
		assert.Equal(w, thing{Times: 5, Doubled: 10}, one.thing)
		w.apply(m, w.touch("thing4", 1))
		w.assertFolded("things", 1)

		s, err = o.Rollback(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
		require.Equal(w, 1, s.Current.Number)
		s, err = o.Retire(w.Context())
		require.Equal(w, generation.Settled, phase(w.T, s, err))
		_, err = w.db.DescribeTable(w.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("things-g2")})
		require.Error(w, err, "its table is gone")
		s, err = o.Rebuild(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
		assert.Equal(w, 3, s.Other.Number)
		w.assertFolded("things-g3", 2)
	})
}

// live appends and applies events all the time, through several processes whose knowledge was read at different times, and reads.
type live struct {
	*world
	mu      sync.Mutex // of the world, and least
	least   map[string]eventsourcing.Version
	stopped atomic.Bool
	all     sync.WaitGroup
}

const busyThings = 3

func (w *world) live(processes int, numbers ...int) *live {
	l := &live{world: w, least: map[string]eventsourcing.Version{}}
	for i := range processes {
		m := w.model(numbers...)
		l.all.Go(func() { l.write(m, i) })
		l.all.Go(func() { l.look(m, i) })
	}
	return l
}

func (l *live) stop() {
	l.stopped.Store(true)
	l.all.Wait()
}

// write applies what it appends to things of its own, at once.
func (l *live) write(m *generation.Model, process int) {
	for n := 0; !l.stopped.Load(); n++ {
		l.mu.Lock()
		records := l.touch(fmt.Sprintf("busy%d-%d", process, n%busyThings), 1)
		l.mu.Unlock()
		for done := 0; done == 0; {
			done, _ = m.Apply(l.Context(), records) // what fails is delivered again
			time.Sleep(time.Duration(170+20*process) * time.Millisecond)
		}
	}
}

// look reads what all processes write: no read fails, and none answers less than one that had ended before it began.
func (l *live) look(m *generation.Model, process int) {
	for n := 0; !l.stopped.Load(); n++ {
		id := fmt.Sprintf("busy%d-%d", n%3, n/3%busyThings)
		l.mu.Lock()
		least := l.least[id]
		l.mu.Unlock()
		got, err := read(l.Context(), m.Reader(), id)
		if assert.NoError(l, err) {
			assert.GreaterOrEqual(l, got, least, "%s read by process %d", id, process)
		}
		l.mu.Lock()
		l.least[id] = max(l.least[id], got)
		l.mu.Unlock()
		time.Sleep(time.Duration(90+7*process) * time.Millisecond)
	}
}

// TestNothingIsMissedAndNoReadGoesBack: events come, and are read, from before a rebuild until its end, also by processes that do
// not know of it yet.
func TestNothingIsMissedAndNoReadGoesBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		l := w.live(3, 1)
		time.Sleep(time.Second)
		o := w.operator(w.db, nil, 1)
		for _, step := range []func(context.Context) (generation.State, error){o.Rebuild, o.Switch, o.Rollback} {
			_, err := step(w.Context())
			require.NoError(w, err)
		}
		time.Sleep(generation.Settle)
		l.stop()
		w.assertFolded("things", 1)
		w.assertFolded("things-g2", 1)
	})
}

// TestAnEventAppliedByAProcessThatDoesNotKnowIsFound: it looked at the state just before the next generation was named.
func TestAnEventAppliedByAProcessThatDoesNotKnowIsFound(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		m := w.model(1)
		w.apply(m, w.touch("a", 1)) // it looks
		rebuilt := make(chan error)
		go func() {
			_, err := w.operator(w.db, nil, 1).Rebuild(w.Context())
			rebuilt <- err
		}()
		time.Sleep(generation.MaxAge - time.Millisecond)
		w.apply(m, w.touch("a", 1))
		w.apply(m, w.touch("b", 1))
		require.NoError(w, <-rebuilt)
		w.assertFolded("things-g2", 1)
	})
}

// mortal is a connection that breaks for good after a number of calls.
type mortal struct {
	next  http.RoundTripper
	calls atomic.Int64
}

var errKilled = errors.New("killed")

func (m *mortal) RoundTrip(r *http.Request) (*http.Response, error) {
	left := m.calls.Add(-1)
	if left < 0 {
		return nil, errKilled
	}
	res, err := m.next.RoundTrip(r)
	if left == 0 && err == nil { // it has taken effect, and nobody was told
		_ = res.Body.Close()
		return nil, errKilled
	}
	return res, err
}

// TestARebuildGoesOnAfterACrash: at whichever call it ended.
func TestARebuildGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		cfg := w.server.Config()
		for i := range 4 {
			w.touch(fmt.Sprint("thing", i), 3)
		}
		m := w.model(1)
		_, err := m.CatchUp(w.Context(), w.log.All(w.Context(), 1))
		require.NoError(w, err)
		transport := cfg.HTTPClient.(*http.Client).Transport //nolint:errcheck,forcetypeassert // localaws's
		crashes := 0
		for n := int64(1); ; n += 2 {
			connection := &mortal{next: transport}
			connection.calls.Store(n)
			dying := cfg.Copy()
			dying.HTTPClient, dying.RetryMaxAttempts = &http.Client{Transport: connection}, 1
			o := w.operator(dynamodb.NewFromConfig(dying), nil, 1)
			whole := func(o *generation.Operator) error {
				for _, step := range []func(context.Context) (generation.State, error){o.Rebuild, o.Switch, o.Retire} {
					if _, err := step(w.Context()); err != nil {
						return err
					}
				}
				return nil
			}
			if err := whole(o); err == nil {
				break
			}
			crashes++
			o = w.operator(w.db, nil, 1)
			s, err := o.State(w.Context())
			require.NoError(w, err)
			switch {
			case s.Phase == generation.Settled && s.Current.Number == 1:
				require.NoError(w, whole(o))
			case s.Phase == generation.Filling, s.Phase == generation.Ready && s.Next():
				_, err = o.Rebuild(w.Context())
				require.NoError(w, err)
				fallthrough
			case s.Phase == generation.Switching:
				_, err = o.Switch(w.Context())
				require.NoError(w, err)
				fallthrough
			case s.Phase == generation.Ready, s.Phase == generation.Retiring:
				_, err = o.Retire(w.Context())
				require.NoError(w, err)
			}
			s, err = o.State(w.Context())
			require.Equal(w, generation.Settled, phase(w.T, s, err), "after call %d", n)
			w.assertFolded(s.Current.Name("things"), 1)
		}
		assert.Greater(w, crashes, 20)
	})
}

// differing begins a rebuild, and returns its operator and what that finds.
func (w *world) differing() (o *generation.Operator, found *[]projectionaudit.Finding) {
	w.Helper()
	found = new([]projectionaudit.Finding)
	w.step(begin(1))
	return w.operator(w.db, func(c *generation.OperatorConfig) {
		c.OnDifference = func(f projectionaudit.Finding) { *found = append(*found, f) }
	}, 1), found
}

func TestAGenerationThatDiffersIsNotReady(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.apply(w.model(1), w.touch("a", 2))
		o, found := w.differing()
		row := w.in("things", "a")
		row.Times = 77
		item := map[string]any{"id": "a", "row": "thing", "listed": "a", "stream": row.Stream, "version": row.Version, "event_id": row.EventID}
		w.put("things-g2", item)
		s, err := o.Rebuild(w.Context())
		require.ErrorIs(w, err, generation.ErrDiffers)
		assert.Equal(w, generation.Filling, s.Phase)
		require.Len(w, *found, 1)
		assert.Equal(w, projectionaudit.Edited, (*found)[0].Kind)
		assert.Equal(w, row.Stream, (*found)[0].Stream)
		s, err = o.Retire(w.Context())
		assert.Equal(w, generation.Settled, phase(w.T, s, err))
	})
}

// TestAGenerationThatLacksAnEventIsNotSwitchedTo: its fold cannot apply what the current one has.
func TestAGenerationThatLacksAnEventIsNotSwitchedTo(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		m := w.model(1, 2)
		w.apply(m, w.append("a", touched{}, broken{}))
		o := w.operator(w.db, nil, 1, 2)
		_, err := o.Rebuild(w.Context())
		require.ErrorIs(w, err, generation.ErrDiffers)
		_, err = o.Switch(w.Context())
		require.ErrorIs(w, err, generation.ErrPhase)
		_, err = o.Retire(w.Context())
		require.NoError(w, err)
	})
}

// TestASwitchIsHaltedIfTheNextGenerationFallsBehind: an event comes that only the current one can apply.
func TestASwitchIsHaltedIfTheNextGenerationFallsBehind(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		m := w.model(1, 2)
		w.apply(m, w.touch("a", 1))
		o := w.operator(w.db, nil, 1, 2)
		_, err := o.Rebuild(w.Context())
		require.NoError(w, err)
		w.step(generation.State.Switch)
		w.apply(m, w.append("a", broken{}))
		s, err := o.Switch(w.Context())
		require.ErrorIs(w, err, generation.ErrDiffers)
		assert.Equal(w, generation.Ready, s.Phase)
		assert.Equal(w, 1, s.Current.Number)
		time.Sleep(generation.Settle)
		got, err := read(w.Context(), m.Reader(), "a")
		require.NoError(w, err)
		assert.Equal(w, eventsourcing.Version(2), got)
	})
}

// TestAReadThatWasPausedIsReadAgain: what it has read may be what is read no more.
func TestAReadThatWasPausedIsReadAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		m := w.model(1)
		w.apply(m, w.touch("a", 1))
		_, err := w.operator(w.db, nil, 1).Rebuild(w.Context())
		require.NoError(w, err)
		r := m.Reader()
		answered := make(chan bool)
		go func() { // it waits for a version while the generations change
			var s seen
			_, err := r.Await(w.Context(), "a", "thing", 2, time.Minute, &s)
			assert.NoError(w, err)
			assert.Equal(w, eventsourcing.Version(2), s.Version)
			close(answered)
		}()
		o := w.operator(w.db, nil, 1)
		_, err = o.Switch(w.Context())
		require.NoError(w, err)
		_, err = o.Retire(w.Context())
		require.NoError(w, err)
		w.apply(m, w.touch("a", 1))
		<-answered
	})
}

func TestATableInTheWayIsNotTaken(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.create(projection.CreateTableInput("things-g2"))
		w.put("things-g2", map[string]any{"id": "a", "row": "thing"})
		s, err := w.operator(w.db, nil, 1).Rebuild(w.Context())
		require.ErrorIs(w, err, generation.ErrNotEmpty)
		assert.Equal(w, generation.Settled, s.Phase)
	})
}

// startingBackups is a table whose continuous backups have not begun yet when it can be used.
type startingBackups struct {
	*dynamodb.Client

	refusals int
}

func (b *startingBackups) UpdateContinuousBackups(
	ctx context.Context, in *dynamodb.UpdateContinuousBackupsInput, options ...func(*dynamodb.Options),
) (*dynamodb.UpdateContinuousBackupsOutput, error) {
	if b.refusals--; b.refusals >= 0 {
		return nil, &types.ContinuousBackupsUnavailableException{}
	}
	return b.Client.UpdateContinuousBackups(ctx, in, options...)
}

// TestATableIsKeptAsTheFirstOne: what those who set the system up gave the first table, the next has, too. Its deletion
// protection does not keep retire from deleting it.
func TestATableIsKeptAsTheFirstOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		first := aws.String("things")
		updated, err := w.db.UpdateTable(w.Context(), &dynamodb.UpdateTableInput{
			TableName: first, DeletionProtectionEnabled: aws.Bool(true), TableClass: types.TableClassStandardInfrequentAccess,
			SSESpecification: &types.SSESpecification{
				Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: aws.String("arn:aws:kms:us-east-1:000000000000:key/k"),
			},
		})
		require.NoError(w, err)
		_, err = w.db.TagResource(w.Context(), &dynamodb.TagResourceInput{
			ResourceArn: updated.TableDescription.TableArn, Tags: []types.Tag{
				{Key: aws.String("project"), Value: aws.String("leftfold")},
				{Key: aws.String("aws:cloudformation:stack-name"), Value: aws.String("another may not give it")},
			},
		})
		require.NoError(w, err)
		_, err = w.db.UpdateContinuousBackups(w.Context(), &dynamodb.UpdateContinuousBackupsInput{
			TableName: first, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{
				PointInTimeRecoveryEnabled: aws.Bool(true), RecoveryPeriodInDays: aws.Int32(7),
			},
		})
		require.NoError(w, err)

		o := w.operator(w.db, func(c *generation.OperatorConfig) { c.DB = &startingBackups{w.db, 3} }, 1)
		_, err = o.Rebuild(w.Context())
		require.NoError(w, err)
		next := aws.String("things-g2")
		was, err := w.db.DescribeTable(w.Context(), &dynamodb.DescribeTableInput{TableName: first})
		require.NoError(w, err)
		is, err := w.db.DescribeTable(w.Context(), &dynamodb.DescribeTableInput{TableName: next})
		require.NoError(w, err)
		assert.Equal(w, was.Table.SSEDescription, is.Table.SSEDescription)
		assert.Equal(w, was.Table.TableClassSummary, is.Table.TableClassSummary)
		assert.Equal(w, was.Table.BillingModeSummary.BillingMode, is.Table.BillingModeSummary.BillingMode)
		assert.True(w, *is.Table.DeletionProtectionEnabled)
		tags, err := w.db.ListTagsOfResource(w.Context(), &dynamodb.ListTagsOfResourceInput{ResourceArn: is.Table.TableArn})
		require.NoError(w, err)
		assert.Equal(w, []types.Tag{{Key: aws.String("project"), Value: aws.String("leftfold")}}, tags.Tags)
		backups, err := w.db.DescribeContinuousBackups(w.Context(), &dynamodb.DescribeContinuousBackupsInput{TableName: next})
		require.NoError(w, err)
		recovery := backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription
		assert.Equal(w, types.PointInTimeRecoveryStatusEnabled, recovery.PointInTimeRecoveryStatus)
		assert.Equal(w, int32(7), *recovery.RecoveryPeriodInDays)

		s, err := o.Retire(w.Context())
		require.Equal(w, generation.Settled, phase(w.T, s, err))
		_, err = w.db.DescribeTable(w.Context(), &dynamodb.DescribeTableInput{TableName: next})
		require.Error(w, err)
	})
}

// TestWhatIsNoEventIsInNoGeneration: an item of the log that cannot be read keeps no read model from being rebuilt.
func TestWhatIsNoEventIsInNoGeneration(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.apply(w.model(1), w.touch("a", 2))
		w.put("EventLog", map[string]any{"stream": "test/thing/b", "version": 1})
		s, err := w.operator(w.db, nil, 1).Rebuild(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
		w.assertFolded("things-g2", 1)
	})
}

// TestARowThatTheLogDoesNotHaveIsADifference: something else wrote it while the generation was filled.
func TestARowThatTheLogDoesNotHaveIsADifference(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.apply(w.model(1), w.touch("a", 2))
		o, found := w.differing()
		w.put("things-g2", map[string]any{"id": "all", "row": "thing#x", "stream": "test/thing/a"})
		_, err := o.Rebuild(w.Context())
		require.ErrorIs(w, err, generation.ErrDiffers)
		require.Len(w, *found, 1)
		assert.Equal(w, projectionaudit.Foreign, (*found)[0].Kind)
	})
}

// More segments than a rebuild can note are refused before anything is begun.
func TestARebuildBeginsWithSegmentsThatCanBeNoted(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		for _, segments := range []int{-1, generation.MaxSegments + 1, 10_000_000} {
			o := w.operator(w.db, func(c *generation.OperatorConfig) { c.Segments = segments }, 1, 2)
			s, err := o.Rebuild(w.Context())
			require.ErrorContains(w, err, fmt.Sprintf("want 1 to %d", generation.MaxSegments))
			assert.Equal(w, generation.Settled, s.Phase)
		}
		w.touch("thing", 1)
		o := w.operator(w.db, func(c *generation.OperatorConfig) { c.Segments = generation.MaxSegments }, 1, 2)
		s, err := o.Rebuild(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
		w.assertFolded("things-g2", 2)
	})
}

// A write that takes long holds up only the segment that waits for it. Where the others waited for a mutex, virtual time stood still.
func TestASlowNoteHoldsUpNoOtherSegment(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		for n := range 50 {
			w.touch(fmt.Sprint("thing-", n), 1)
		}
		slow := func(operation string, seconds time.Duration) localaws.Fault {
			return localaws.Fault{
				Kind: localaws.FaultLatency, Operation: "DynamoDB." + operation, Probability: 1,
				Min: localaws.Duration(time.Second), Max: localaws.Duration(seconds * time.Second),
			}
		}
		require.NoError(w, w.server.SetFaults(localaws.Faults{Faults: []localaws.Fault{slow("Scan", 8), slow("PutItem", 4)}}))
		s, err := w.operator(w.db, func(c *generation.OperatorConfig) { c.Segments = 16 }, 1, 2).Rebuild(w.Context())
		require.Equal(w, generation.Ready, phase(w.T, s, err))
	})
}

// silent never answers a scan.
type silent struct {
	next  http.RoundTripper
	scans atomic.Int64
}

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Scan") {
		return s.next.RoundTrip(r)
	}
	s.scans.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A rebuild that a build before this one began with far too many segments works on no more than others do, and ends when it is stopped.
func TestARebuildOfTooManySegmentsEndsWhenItIsStopped(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.step(func(s generation.State) (generation.State, error) { return s.Begin(2, 20_000) })
		cfg := w.server.Config()
		connection := &silent{next: cfg.HTTPClient.(*http.Client).Transport} //nolint:errcheck,forcetypeassert // localaws's
		cfg.HTTPClient = &http.Client{Transport: connection}
		ctx, stop := context.WithCancel(w.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := w.operator(dynamodb.NewFromConfig(cfg), nil, 1, 2).Rebuild(ctx)
			ended <- err
		}()
		time.Sleep(generation.Settle + time.Second)
		synctest.Wait()
		assert.EqualValues(w, generation.MaxSegments, connection.scans.Load())
		stop()
		require.ErrorIs(w, <-ended, context.Canceled)
		assert.EqualValues(w, generation.MaxSegments, connection.scans.Load(), "none is begun after that")
	})
}
