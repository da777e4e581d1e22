package generation_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStepsLeadThroughAllPhases: a rebuild, a switch, a rollback and its end.
func TestStepsLeadThroughAllPhases(t *testing.T) {
	t.Parallel()
	first, second := generation.Generation{Number: 1, Shape: 1}, generation.Generation{Number: 2, Shape: 7}
	s := generation.Initial()
	for i, step := range []struct {
		do    func(generation.State) (generation.State, error)
		phase generation.Phase
		fed   []generation.Generation
	}{
		{
			func(s generation.State) (generation.State, error) { return s.Begin(7, 4) },
			generation.Filling,
			[]generation.Generation{first, second},
		},
		{generation.State.Filled, generation.Ready, []generation.Generation{first, second}},
		{generation.State.Switch, generation.Switching, []generation.Generation{first, second}},
		{generation.State.Switched, generation.Ready, []generation.Generation{second, first}},
		{generation.State.Switch, generation.Switching, []generation.Generation{second, first}},
		{generation.State.Halt, generation.Ready, []generation.Generation{second, first}},
		{generation.State.Retire, generation.Retiring, []generation.Generation{second}},
		{generation.State.Settle, generation.Settled, []generation.Generation{second}},
	} {
		var err error
		s, err = step.do(s)
		require.NoError(t, err, i)
		assert.Equal(t, step.phase, s.Phase, i)
		assert.Equal(t, step.fed, s.Fed(), i)
		again, err := step.do(s)
		require.ErrorIs(t, err, generation.ErrPhase, "a step is possible once: %v", again)
	}
	s, err := s.Begin(7, 4)
	require.NoError(t, err)
	assert.Equal(t, 3, s.Other.Number, "no number is used twice")
}

// TestWhatAStateDoesNotAllowSaysWhatItDoes: the refusal names a step that is allowed, unless it is the first of all.
func TestWhatAStateDoesNotAllowSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	first, second := generation.Generation{Number: 1}, generation.Generation{Number: 2}
	all := []generation.Step{generation.Rebuild, generation.Switch, generation.Rollback, generation.Retire}
	for _, c := range []struct {
		state   generation.State
		allowed []generation.Step
	}{
		{generation.Initial(), all[:1]},
		{generation.State{Phase: generation.Filling, Current: first, Other: &second}, []generation.Step{generation.Rebuild, generation.Retire}},
		{
			generation.State{Phase: generation.Ready, Current: first, Other: &second},
			[]generation.Step{generation.Rebuild, generation.Switch, generation.Retire},
		},
		{generation.State{Phase: generation.Ready, Current: second, Other: &first}, all[2:]},
		{generation.State{Phase: generation.Switching, Current: first, Other: &second}, all[1:3]},
		{generation.State{Phase: generation.Retiring, Current: first, Other: &second}, all[3:]},
	} {
		for _, step := range all {
			err := c.state.Allows(step)
			if slices.Contains(c.allowed, step) {
				require.NoError(t, err, "%s: %s", c.state.Phase, step)
				continue
			}
			require.ErrorIs(t, err, generation.ErrPhase, "%s: %s", c.state.Phase, step)
			_, instead, _ := strings.Cut(err.Error(), "; ")
			assert.True(t, slices.ContainsFunc(c.allowed, func(s generation.Step) bool {
				return strings.Contains(instead, string(s))
			}), instead)
		}
	}
}

func TestAGenerationHasATableOfItsName(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "projection-user", generation.Generation{Number: 1}.Name("projection-user"), "as before there were generations")
	assert.Equal(t, "projection-user-g12", generation.Generation{Number: 12}.Name("projection-user"))
}

// table returns the table of states in an embedded AWS.
func table(t *testing.T) (generation.Control, *localaws.Server) {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	db := dynamodb.NewFromConfig(server.Config())
	_, err := db.CreateTable(t.Context(), generation.CreateTableInput("generations"))
	require.NoError(t, err)
	return generation.Control{DB: db, Table: "generations", Projection: "things"}, server
}

func TestAStateIsWrittenByOne(t *testing.T) {
	t.Parallel()
	c, _ := table(t)
	was, err := c.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, generation.Initial(), was)
	next, err := was.Begin(1, 4)
	require.NoError(t, err)
	written, err := c.Write(t.Context(), next, time.UnixMilli(1))
	require.NoError(t, err)
	_, err = c.Write(t.Context(), next, time.UnixMilli(2))
	require.ErrorIs(t, err, generation.ErrMoved, "another one came from the same state")
	is, err := c.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, written, is)
	filled, err := is.Filled()
	require.NoError(t, err)
	_, err = c.Write(t.Context(), filled, time.UnixMilli(3))
	require.NoError(t, err)
	_, err = c.Write(t.Context(), filled, time.UnixMilli(4))
	require.ErrorIs(t, err, generation.ErrMoved)
}

// losing loses the answer to every write.
type losing struct{ generation.DynamoDBAPI }

func (l losing) PutItem(
	ctx context.Context, in *dynamodb.PutItemInput, options ...func(*dynamodb.Options),
) (*dynamodb.PutItemOutput, error) {
	if _, err := l.DynamoDBAPI.PutItem(ctx, in, options...); err != nil {
		return nil, err
	}
	return l.DynamoDBAPI.PutItem(ctx, in, options...) // as the SDK repeats it
}

func TestAWriteWhoseAnswerIsLostIsRecognised(t *testing.T) {
	t.Parallel()
	c, _ := table(t)
	next, err := generation.Initial().Begin(1, 4)
	require.NoError(t, err)
	lossy := c
	lossy.DB = losing{c.DB}
	written, err := lossy.Write(t.Context(), next, time.UnixMilli(1))
	require.NoError(t, err)
	is, err := c.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, is, written)
}

// reads counts and delays the reads of a Control.
type reads struct {
	generation.DynamoDBAPI

	count int
	takes time.Duration
	err   error
}

func (r *reads) GetItem(
	ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options),
) (*dynamodb.GetItemOutput, error) {
	r.count++
	time.Sleep(r.takes)
	if r.err != nil {
		return nil, r.err
	}
	return r.DynamoDBAPI.GetItem(ctx, in, options...)
}

// TestKnowledgeIsReadAgainBeforeItIsTooOld: what a process does not know yet was written less than MaxAge ago.
func TestKnowledgeIsReadAgainBeforeItIsTooOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, server := table(t)
		defer server.Close()
		db := &reads{DynamoDBAPI: c.DB}
		watched := generation.NewWatched(generation.Control{DB: db, Table: c.Table, Projection: c.Projection}, time.Now)
		revision := func() int {
			s, err := watched.State(t.Context())
			require.NoError(t, err)
			return s.Revision
		}
		require.Zero(t, revision())
		next, err := generation.Initial().Begin(1, 4)
		require.NoError(t, err)
		_, err = c.Write(t.Context(), next, time.Now())
		require.NoError(t, err)
		assert.Zero(t, revision(), "the copy is good")
		assert.Equal(t, 1, db.count, "one read serves many")
		time.Sleep(generation.MaxAge)
		assert.Equal(t, 1, revision())
		assert.Equal(t, 2, db.count)

		time.Sleep(generation.MaxAge)
		db.takes = generation.MaxAge // as when the process is paused within the read
		_, err = watched.State(t.Context())
		require.ErrorIs(t, err, eventsourcing.ErrUnavailable, "the answer may be as old as its question")
		db.takes, db.err = 0, errors.New("no answer")
		_, err = watched.State(t.Context())
		require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
		db.err = nil
		assert.Equal(t, 1, revision())
	})
}
