package archive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	require.TestingT
	Helper()
	Context() context.Context
}

func source(records ...eventsourcing.Record) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// restored restores, and returns the reasons why not.
func restored(
	t tb, from iter.Seq2[eventsourcing.Record, error], to archive.EmptyLog, with ...func(*archive.RestoreConfig),
) (result archive.Restored, found []string, err error) {
	t.Helper()
	c := archive.RestoreConfig{
		Source: from, EventLog: to, Parallel: 3, OnFinding: func(f archive.Finding) { found = append(found, f.String()) },
	}
	for _, change := range with {
		change(&c)
	}
	result, err = archive.Restore(t.Context(), c)
	slices.Sort(found)
	assert.Len(t, found, result.Findings)
	return result, found, err
}

func TestAnEmptyLogIsFilled(t *testing.T) {
	t.Parallel()
	whole := []eventsourcing.Record{event("a", 3), event("b", 1), event("a", 1), event("b", 1), event("a", 2)}
	l := newLog()
	result, found, err := restored(t, source(whole...), l, func(c *archive.RestoreConfig) { c.DryRun = true })
	require.NoError(t, err)
	assert.Empty(t, found)
	assert.Equal(t, archive.Restored{Read: 5, Streams: 2, Events: 4, Written: 4}, result)
	assert.Empty(t, l.writes, "a dry run writes nothing")
	result, _, err = restored(t, source(whole...), l)
	require.NoError(t, err)
	assert.Equal(t, archive.Restored{Read: 5, Streams: 2, Events: 4, Written: 4}, result)
	assert.Equal(t, newLog(whole...).events, l.events)
	result, _, err = restored(t, source(whole...), l)
	require.NoError(t, err)
	assert.Equal(t, archive.Restored{Read: 5, Streams: 2, Events: 4, Present: 4}, result, "a second time there is nothing to do")
	assert.Len(t, l.writes, 4)
}

// Nothing is written unless the log will be whole and of one history.
func TestARestoreIsRefused(t *testing.T) {
	t.Parallel()
	other := event("a", 2)
	other.ID, other.Data = "other", json.RawMessage(`{}`)
	whole := []eventsourcing.Record{event("a", 1), event("a", 2), event("a", 3), event("b", 1)}
	for name, c := range map[string]struct {
		from, log []eventsourcing.Record
		want      []string
	}{
		"a hole":                     {slices.Delete(slices.Clone(whole), 1, 2), nil, []string{"hole: bank/account/a version 2"}},
		"the first are missing":      {whole[2:], nil, []string{"hole: bank/account/a versions 1 to 2"}},
		"a hole that the log fills":  {slices.Delete(slices.Clone(whole), 1, 2), whole[:2], []string{"foreign: bank/account/a version 2"}},
		"two versions of an event":   {append(slices.Clone(whole), other), nil, []string{"contradictory: bank/account/a version 2"}},
		"the log has another event":  {whole, []eventsourcing.Record{whole[0], other}, []string{"changed: bank/account/a version 2"}},
		"the log has a later event":  {whole, append(slices.Clone(whole), event("a", 4)), []string{"foreign: bank/account/a version 4"}},
		"the log has another stream": {whole, []eventsourcing.Record{event("c", 1)}, []string{"foreign: bank/account/c version 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLog(c.log...)
			_, found, err := restored(t, source(c.from...), l)
			require.NoError(t, err)
			assert.Equal(t, c.want, found)
			assert.Empty(t, l.writes)
		})
	}
	t.Run("something cannot be read", func(t *testing.T) {
		t.Parallel()
		f := folder(t, whole...)
		require.NoError(t, f.Put(t.Context(), "events/x", []byte("no gzip")))
		l := newLog()
		_, found, err := restored(t, archive.Events(t.Context(), f, 1), l)
		require.NoError(t, err)
		assert.Equal(t, []string{"unreadable: events/x: unexpected EOF"}, found)
		assert.Empty(t, l.writes)
	})
	t.Run("the source ends early", func(t *testing.T) {
		t.Parallel()
		l, from := newLog(), newLog(whole...)
		from.bad = errors.New("throttled")
		_, _, err := restored(t, from.All(t.Context(), 1), l)
		require.ErrorContains(t, err, "throttled")
		assert.Empty(t, l.writes)
	})
}

// Whatever the source and the log have: either the log becomes the source, whole, or nothing is written.
func TestTheLogBecomesTheSourceOrStaysAsItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var whole []eventsourcing.Record
		for _, id := range []string{"a", "ab", "b"} {
			for v := range rapid.IntRange(0, 4).Draw(t, "events of "+id) {
				whole = append(whole, event(id, eventsourcing.Version(v)+1))
			}
		}
		some := func(name string) []eventsourcing.Record {
			if rapid.Bool().Draw(t, "all of "+name) {
				return whole
			}
			return slices.DeleteFunc(slices.Clone(whole), func(eventsourcing.Record) bool { return rapid.IntRange(0, 3).Draw(t, name) == 0 })
		}
		from, stored := some("source"), newLog()
		if rapid.Bool().Draw(t, "the log is not empty") {
			stored = newLog(some("log")...)
		}
		before := newLog(slices.Collect(maps.Values(stored.events))...)
		want := newLog(from...)
		possible := true
		for k := range stored.events {
			_, known := want.events[k]
			possible = possible && known
		}
		for _, r := range want.events {
			_, follows := want.events[key(r.Stream.String(), fmt.Sprint(r.Version-1))]
			possible = possible && (follows || r.Version == 1)
		}
		if len(from) > 0 && rapid.Bool().Draw(t, "repeated") {
			from = append(slices.Clone(from), from[rapid.IntRange(0, len(from)-1).Draw(t, "which")])
		}
		if crash := rapid.IntRange(0, 8).Draw(t, "crash at"); crash > 0 {
			stored.append = func() error {
				if crash--; crash == 0 {
					return errors.New("crash")
				}
				return nil
			}
		}
		from = rapid.Permutation(from).Draw(t, "order")
		_, found, err := restored(t, source(from...), stored)
		if err != nil {
			require.ErrorContains(t, err, "crash")
			_, found, err = restored(t, source(from...), stored)
		}
		require.NoError(t, err)
		if possible {
			assert.Empty(t, found)
			assert.Equal(t, want.events, stored.events)
		} else {
			assert.NotEmpty(t, found)
			assert.Equal(t, before.events, stored.events)
		}
	})
}

func TestAWriterBesideARestoreIsNoticed(t *testing.T) {
	t.Parallel()
	l := newLog()
	l.append = func() error {
		if len(l.writes) == 2 { // a command on what is there so far
			other := event("a", 3)
			other.ID = "other"
			l.events[key("bank/account/a", "3")] = other
		}
		return nil
	}
	_, _, err := restored(t, source(event("a", 1), event("a", 2), event("a", 3)), l, func(c *archive.RestoreConfig) { c.Rate = 1000 })
	require.ErrorIs(t, err, eventsourcing.ErrConflict)
	require.ErrorContains(t, err, "write bank/account/a version 3: ")
	_, found, err := restored(t, source(event("a", 1), event("a", 2), event("a", 3)), l)
	require.NoError(t, err)
	assert.Equal(t, []string{"changed: bank/account/a version 3"}, found, "a second attempt does not hide it")
}

// On real tables: from another table and from an archive, byte for byte, one write unit an event.
func TestALogIsRestoredInDynamoDB(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	db := dynamodb.NewFromConfig(server.Config())
	store := func(table string) *dynamostore.Store {
		tables := dynamostore.Tables{Events: table}
		_, err := db.CreateTable(t.Context(), tables.CreateTableInputs()[0])
		require.NoError(t, err)
		return dynamostore.NewStore(db, dynamostore.Config{Tables: tables})
	}
	original, fromTable, fromArchive := store("EventLog"), store("EventLog-2"), store("EventLog-3")
	var whole []eventsourcing.Record
	for n := range 5 {
		for v := range eventsourcing.Version(n) {
			r := event(fmt.Sprint("stream-", n), v+1)
			whole = append(whole, r)
			require.NoError(t, original.Append(t.Context(), eventsourcing.Commit{Stream: r.Stream, Expected: v, Records: []eventsourcing.Record{r}}))
		}
	}
	f := folder(t, whole...)
	before := server.Calls()
	for to, from := range map[*dynamostore.Store]iter.Seq2[eventsourcing.Record, error]{
		fromTable: original.All(t.Context(), 2), fromArchive: archive.Events(t.Context(), f, 2),
	} {
		result, found, err := restored(t, from, to)
		require.NoError(t, err)
		assert.Empty(t, found)
		assert.Equal(t, len(whole), result.Written)
		_, findings := verified(t, f, to)
		assert.Empty(t, findings)
	}
	after := server.Calls()
	assert.Equal(t, int64(2*len(whole)), after["DynamoDB.PutItem"]-before["DynamoDB.PutItem"])
	assert.Equal(t, before["DynamoDB.TransactWriteItems"], after["DynamoDB.TransactWriteItems"])
}
