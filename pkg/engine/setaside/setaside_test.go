package setaside_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// world is a log and a list in an embedded AWS, and what was sent on.
type world struct {
	*testing.T
	db   *dynamodb.Client
	list *setaside.List
	now  time.Time
	sent []hop.Event
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	w := &world{T: t, db: dynamodb.NewFromConfig(server.Config()), now: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)}
	for _, table := range append((dynamostore.Tables{}).CreateTableInputs(), setaside.CreateTableInput("set-aside")) {
		_, err := w.db.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}
	w.list = setaside.NewList(w.db, "set-aside", func() time.Time { return w.now })
	return w
}

func (w *world) entries() (all []setaside.Entry) {
	for e, err := range w.list.All(w.Context()) {
		require.NoError(w, err)
		all = append(all, e)
	}
	return all
}

func (w *world) release(e setaside.Entry) (setaside.Released, error) {
	return setaside.Releaser{
		List: w.list, EventLog: dynamostore.NewStore(w.db, dynamostore.Config{}),
		Put: func(_ context.Context, e hop.Event) error {
			w.sent = append(w.sent, e)
			return nil
		},
	}.Release(w.Context(), e)
}

// item puts an item into the log, without asking anyone.
func (w *world) item(stream, version string, data types.AttributeValue) {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	_, err := w.db.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: aws.String("EventLog"), Item: map[string]types.AttributeValue{
		"stream": text(stream), "version": &types.AttributeValueMemberN{Value: version}, "id": text("e"), "name": text("test/thing/done"),
		"schema": &types.AttributeValueMemberN{Value: "1"}, "data": data, "recorded_at": text("2026-01-02T03:04:05.000Z"),
	}})
	require.NoError(w, err)
}

func TestARepetitionReplacesItsEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keep := func(p hop.Place, reason string) { require.NoError(t, w.list.Keep(t.Context(), p, errors.New(reason))) }
	keep(hop.Place{Operation: "publish", Stream: "a b", Version: "-1", Shard: "s", Sequence: "1"}, "old")
	w.now = w.now.Add(time.Minute)
	keep(hop.Place{Operation: "route", Stream: "a b", Version: "-1"}, strings.Repeat("é", 2000)+"\xff")
	require.Len(t, w.entries(), 1, "one item of the log, found by several readers")
	got := w.entries()[0]
	assert.Equal(t, "route", got.Operation)
	assert.True(t, got.At.Equal(w.now))
	assert.Less(t, len(got.Reason), 1100)
	keep(hop.Place{Operation: "route", Stream: "k", Shard: "s", Sequence: "1"}, "not JSON")
	keep(hop.Place{Operation: "route", Stream: "k", Shard: "s", Sequence: "2"}, "not JSON")
	keep(hop.Place{Operation: "route", Stream: "k", Shard: "s", Sequence: "2"}, "not JSON")
	assert.Len(t, w.entries(), 3)
	keep(hop.Place{Operation: "route", Stream: "a b", Version: "-2"}, "another item of that stream")
	assert.Len(t, w.entries(), 4)
}

// An entry is removed once its event is on its way, not before.
func TestAnEntryWhoseEventCannotBeSentStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.item("test/thing/1", "1", &types.AttributeValueMemberS{Value: "{}"})
	require.NoError(t, w.list.Keep(t.Context(), hop.Place{Operation: "publish", Stream: "test/thing/1", Version: "1"}, errors.New("why")))
	away, before := errors.New("away"), w.entries()
	_, err := setaside.Releaser{
		List: w.list, EventLog: dynamostore.NewStore(w.db, dynamostore.Config{}),
		Put: func(context.Context, hop.Event) error {
			assert.Equal(t, before, w.entries(), "a crash here must leave it") //nolint:contextcheck // that of the test
			return away
		},
	}.Release(t.Context(), before[0])
	require.ErrorIs(t, err, away)
	assert.Equal(t, before, w.entries())
}

// What the log has decides what becomes of an entry.
func TestReleaseSendsWhatTheLogHasNow(t *testing.T) {
	t.Parallel()
	good := &types.AttributeValueMemberS{Value: "{}"}
	for name, c := range map[string]struct {
		stream, version string
		given           func(w *world)
		want            setaside.Released
		err             string
		sent            int
	}{
		"a good event": {"test/thing/1", "3", func(w *world) { w.item("test/thing/1", "3", good) }, setaside.Sent, "", 1},
		"one that is no event yet": {
			"test/thing/1", "3", func(w *world) { w.item("test/thing/1", "3", &types.AttributeValueMemberN{Value: "1"}) }, "", `attribute "data"`, 0,
		},
		"version 0":               {"test/thing/1", "0", func(w *world) { w.item("test/thing/1", "0", good) }, "", "not 1 or more", 0},
		"a stream that is no key": {"test/thing/a b", "1", func(w *world) { w.item("test/thing/a b", "1", good) }, "", "visible ASCII", 0},
		"one that was deleted":    {"test/thing/1", "-7", func(*world) {}, setaside.Gone, "", 0},
		"nothing of the log":      {"key", "", func(*world) {}, setaside.Foreign, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.given(w)
			require.NoError(t, w.list.Keep(t.Context(), hop.Place{
				Operation: "publish", Stream: c.stream, Version: c.version, Shard: "s", Sequence: "1",
			}, errors.New("why")))
			got, err := w.release(w.entries()[0])
			assert.Equal(t, c.want, got)
			assert.Len(t, w.sent, c.sent)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
			} else {
				require.NoError(t, err)
			}
			assert.Equal(t, c.err != "" || c.want == setaside.Foreign, len(w.entries()) == 1)
		})
	}
}

// The event may be set aside again before its entry is removed: then the entry stays.
func TestAnEntryOfWhatIsSetAsideAgainStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	place := hop.Place{Operation: "publish", Stream: "test/thing/1", Version: "1"}
	require.NoError(t, w.list.Keep(t.Context(), place, errors.New("why")))
	read := w.entries()[0]
	w.now = w.now.Add(time.Second)
	require.NoError(t, w.list.Keep(t.Context(), place, errors.New("why again")))
	require.ErrorIs(t, w.list.Remove(t.Context(), read), setaside.ErrAgain)
	require.Len(t, w.entries(), 1)
	require.NoError(t, w.list.Remove(t.Context(), w.entries()[0]))
	require.NoError(t, w.list.Remove(t.Context(), read), "gone already")
	assert.Empty(t, w.entries())
}
