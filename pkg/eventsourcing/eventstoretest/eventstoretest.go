// Package eventstoretest is the conformance suite of eventsourcing.Store and eventsourcing.Snapshots.
package eventstoretest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Run tests one implementation against the contract of eventsourcing.Store. newStore is called once per test, from parallel
// tests. It may return a store that others use too, such as one on the same tables: every test keeps to streams,
// claims and commands of its own.
func Run(t *testing.T, newStore func(testing.TB) eventsourcing.Store) {
	t.Helper()
	for _, group := range []map[string]func(fixture){appends, commits, claims, guards, scopes, results, races} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(fixture{T: t, store: newStore(t), category: "conformance/" + rand.Text()})
			})
		}
	}
}

// fixture is one test's store and the category that only this test uses.
type fixture struct {
	*testing.T
	store    eventsourcing.Store
	category string
}

func (f fixture) stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: f.category, ID: id}
}

func (f fixture) claim(value string) eventsourcing.Claim {
	return eventsourcing.Claim{Category: f.category, Name: "name", Value: value}
}

func (f fixture) scope(name string) eventsourcing.Scope {
	return eventsourcing.Scope{Subject: f.category, Name: name}
}

// counts reads one scope.
func (f fixture) counts(scope eventsourcing.Scope) eventsourcing.ScopeState {
	f.Helper()
	states, err := f.store.Scopes(f.Context(), []eventsourcing.Scope{scope})
	require.NoError(f, err)
	return states[scope]
}

// result remembers a command for a day.
func (f fixture) result(id string) *eventsourcing.CommandResult {
	return &eventsourcing.CommandResult{
		ID: f.category + id, Fingerprint: "sha256:" + id, Outcome: []byte(`{"version":1}`),
		ExpiresAt: time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second), //nolint:forbidigo // stores go by real time
	}
}

// commit adds n new events to the stream that is at version expected.
func (f fixture) commit(id string, expected eventsourcing.Version, n int) eventsourcing.Commit {
	c := eventsourcing.Commit{Stream: f.stream(id), Expected: expected}
	for range n {
		version := expected + eventsourcing.Version(len(c.Records)) + 1
		c.Records = append(c.Records, eventsourcing.Record{
			ID: rand.Text(), Stream: c.Stream, Version: version, Name: f.category + "/happened", Schema: 1,
			Data:       json.RawMessage(fmt.Sprintf(`{"n":%d}`, version)),
			RecordedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		})
	}
	return c
}

// append expects success.
func (f fixture) append(c eventsourcing.Commit) {
	f.Helper()
	require.NoError(f, f.store.Append(f.Context(), c))
}

// refuse expects the refusal, and the commit to have left nothing behind.
func (f fixture) refuse(c eventsourcing.Commit, refusal error) {
	f.Helper()
	before := f.ids(c.Stream)
	require.ErrorIs(f, f.store.Append(f.Context(), c), refusal)
	require.Equal(f, before, f.ids(c.Stream), "a refused commit left events behind")
}

// retry appends until the store is available. The retries of one call are bounded, and other writers in a race may have
// used them up.
func (f fixture) retry(c eventsourcing.Commit) (err error) {
	for range 20 {
		if err = f.store.Append(f.Context(), c); !errors.Is(err, eventsourcing.ErrUnavailable) {
			break
		}
	}
	return err
}

func (f fixture) read(s eventsourcing.StreamID, after eventsourcing.Version) []eventsourcing.Record {
	f.Helper()
	var records []eventsourcing.Record
	for r, err := range f.store.Read(f.Context(), s, after) {
		if err != nil { // not by require, for the races read on goroutines of their own
			f.Errorf("read %s: %v", s, err)
			break
		}
		records = append(records, r)
	}
	return records
}

// ids lists the stream's event IDs, having seen that its versions count from 1 without a gap.
func (f fixture) ids(s eventsourcing.StreamID) []string {
	f.Helper()
	var ids []string
	for i, r := range f.read(s, 0) {
		require.Equal(f, eventsourcing.Version(i+1), r.Version)
		ids = append(ids, r.ID)
	}
	return ids
}

func idsOf(commits ...eventsourcing.Commit) []string {
	var ids []string
	for _, c := range commits {
		for _, r := range c.Records {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// free expects that no stream holds the claim: it takes the claim for a new stream and releases it.
func (f fixture) free(claim eventsourcing.Claim) {
	f.Helper()
	probe := f.commit("probe-"+rand.Text(), 0, 1)
	probe.Take = []eventsourcing.Claim{claim}
	f.append(probe)
	giveUp := f.commit(probe.Stream.ID, 1, 1)
	giveUp.Release = []eventsourcing.Claim{claim}
	f.append(giveUp)
}

// taken expects that a new stream cannot have the claim.
func (f fixture) taken(claim eventsourcing.Claim) {
	f.Helper()
	probe := f.commit("probe-"+rand.Text(), 0, 1)
	probe.Take = []eventsourcing.Claim{claim}
	f.refuse(probe, eventsourcing.ErrClaimTaken)
}

// unknown expects that nothing is remembered of the command.
func (f fixture) unknown(commandID string) {
	f.Helper()
	_, err := f.store.Result(f.Context(), commandID)
	require.ErrorIs(f, err, eventsourcing.ErrNoResult)
}
