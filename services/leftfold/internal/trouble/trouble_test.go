package trouble

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/console/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// subject is a system without services, whose time a test sets.
type subject struct {
	*System

	now    time.Time
	killed int
}

func newSubject(t *testing.T, story func(context.Context, io.Writer) error) *subject {
	t.Helper()
	var names struct{ Names topology.Names }
	require.NoError(t, service.LoadConfig(service.Fixed(nil), &names))
	s := &subject{now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return s.now }
	aws := localaws.New(localaws.Options{Now: clock})
	t.Cleanup(aws.Close)
	require.NoError(t, provision.Run(t.Context(), aws.Config(), provision.Config{Names: names.Names}))
	s.System = New(Config{
		AWS: aws, Names: names.Names, Callers: []string{"command-api", "projector-user"}, Story: story, Now: clock,
		Kill: map[string]func(){"streamer": func() { s.killed++ }, "broker": func() {}},
	})
	return s
}

// call makes calls as a service, and returns how many fail.
func (s *subject) call(t *testing.T, as string, calls int) (failed int) {
	t.Helper()
	cfg := s.AWS.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(as, "local", "")
	db := dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
	for range calls {
		if _, err := db.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &s.Names.EventLog}); err != nil {
			failed++
		}
	}
	return failed
}

func (s *subject) way(t *testing.T, name string) faults.Way {
	t.Helper()
	for _, w := range s.Ways() {
		if w.Name == name {
			return w
		}
	}
	require.Fail(t, "there is no such way", name)
	return faults.Way{}
}

func TestAFaultStrikesServicesForAMinute(t *testing.T) {
	t.Parallel()
	s := newSubject(t, nil)
	require.NoError(t, s.Break(t.Context(), "throttle"))
	struck := s.call(t, "command-api", 50)
	assert.Positive(t, struck)
	assert.Zero(t, s.call(t, "local", 50), "the console is no service")
	assert.Equal(t, s.now.Add(Lasts), s.way(t, "throttle").Until)
	assert.EqualValues(t, struck, s.way(t, "throttle").Strikes)

	require.NoError(t, s.Break(t.Context(), "cut-off"))
	assert.Equal(t, 5, s.call(t, "projector-user", 5))
	assert.GreaterOrEqual(t, s.way(t, "throttle").Strikes, int64(struck), "another fault makes none forgotten")

	s.now = s.now.Add(Lasts)
	assert.Zero(t, s.call(t, "command-api", 50))
	assert.Zero(t, s.way(t, "throttle").Until, "it has ended by itself")
	require.NoError(t, s.Break(t.Context(), "throttle"))
	assert.Zero(t, s.way(t, "throttle").Strikes)
}

func TestAllFaultsEndAtOnce(t *testing.T) {
	t.Parallel()
	s := newSubject(t, nil)
	for _, way := range s.Ways() {
		require.NoError(t, s.Break(t.Context(), way.Name), way.Name)
		assert.NotEmpty(t, way.Does, way.Name)
		assert.NotEmpty(t, way.Watch, way.Name)
	}
	assert.Equal(t, 1, s.killed)
	require.NoError(t, s.End())
	assert.Empty(t, s.AWS.FaultReport().Faults)
	for _, way := range s.Ways() {
		assert.Zero(t, way.Until, way.Name)
	}
	require.ErrorContains(t, s.Break(t.Context(), "nothing"), `there is no way "nothing"`)
}

func TestShardsAreSplitUntilThereAreEnough(t *testing.T) {
	t.Parallel()
	s := newSubject(t, nil)
	var err error
	for range mostShards {
		if err = s.Break(t.Context(), "split"); err != nil {
			break
		}
	}
	require.ErrorContains(t, err, "there are 8 shards already")
}

func TestEventsAreCountedInTheLogAndInTheRows(t *testing.T) {
	t.Parallel()
	s := newSubject(t, nil)
	assert.Zero(t, s.State(t.Context()).Missing())
	s.register(t)
	state := s.State(t.Context())
	assert.EqualValues(t, 1, state.Missing())
	require.Len(t, state.Models, 3)
	assert.Equal(t, faults.Model{Name: "users", Shown: 0, All: 1}, state.Models[0])
}

// register has a user in the log.
func (s *subject) register(t *testing.T) {
	t.Helper()
	event := user.Registered{UserID: "u", Email: "dan@example.com"}
	data, err := json.Marshal(event)
	require.NoError(t, err)
	stream := eventsourcing.StreamID{Category: user.Category, ID: "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"}
	require.NoError(t, s.log.Append(t.Context(), eventsourcing.Commit{Stream: stream, Records: []eventsourcing.Record{{
		ID: "1", Stream: stream, Version: 1, Name: event.EventName(), Schema: 1, Data: data, RecordedAt: s.now,
	}}}))
}

func TestAfterARebuildTheRowsThatAreReadAreCounted(t *testing.T) {
	t.Parallel()
	s := newSubject(t, nil)
	next := generation.Generation{Number: 2, Shape: 1}
	state := generation.State{Phase: generation.Settled, Current: next, Highest: next.Number}
	control := generation.Control{DB: s.db, Table: s.Names.Generations, Projection: "users"}
	_, err := control.Write(t.Context(), state, s.now)
	require.NoError(t, err)
	_, err = s.db.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &s.Names.Users})
	require.NoError(t, err)
	_, err = s.db.CreateTable(t.Context(), projection.CreateTableInput(next.Name(s.Names.Users)))
	require.NoError(t, err)
	s.register(t)
	after := s.State(t.Context())
	assert.Empty(t, after.Note)
	assert.EqualValues(t, 1, after.Missing())
}

func TestAStoryIsToldWhileItIsPlayed(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan error)
	s := newSubject(t, func(_ context.Context, out io.Writer) error {
		_, _ = io.WriteString(out, "once upon a time\n")
		begun <- struct{}{}
		return <-end
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	s.Play()
	<-begun
	s.Play() // while one is played
	state := s.State(t.Context())
	assert.True(t, state.Playing)
	assert.Equal(t, "once upon a time\n", state.Story)
	assert.NotZero(t, s.way(t, "answers").Until, "it is played in trouble")
	end <- errors.New("a row is missing")
	waittest.Until(t, "the story is over", func() (any, bool) {
		state = s.State(t.Context())
		return state, !state.Playing
	})
	assert.True(t, state.Broken)
	assert.Contains(t, state.Story, "a row is missing")
	stop()
	require.NoError(t, <-ended, "the second one was for the first")
}
