package eventsourcing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

var validStream = eventsourcing.StreamID{Category: "test/counter", ID: "c1"}

func validCommit() eventsourcing.Commit {
	return eventsourcing.Commit{
		Stream: validStream, Expected: 1,
		Records: []eventsourcing.Record{{
			ID: "e2", Stream: validStream, Version: 2, Name: "test/counter/counted", Schema: 1, Data: []byte(`{}`),
			Enrichment: []eventsourcing.Enrichment{{Aggregate: "a", ID: "1", Data: []byte(`{}`)}},
			Metadata:   eventsourcing.Metadata{Actor: "dan", Extra: map[string]string{"tenant": "t1"}},
			RecordedAt: time.UnixMilli(1_772_366_400_000),
		}},
		Take:   []eventsourcing.Claim{{Category: "test", Name: "name", Value: "a"}},
		Guards: []eventsourcing.Guard{{Stream: eventsourcing.StreamID{Category: "test", ID: "g"}}},
		Result: &eventsourcing.CommandResult{ID: "c"},
	}
}

func TestValidateNamesWhatIsWrongWithACommit(t *testing.T) {
	t.Parallel()
	require.NoError(t, validCommit().Validate())
	const data = `record of version 2: field "data": not JSON`
	for name, c := range map[string]struct {
		spoil func(c *eventsourcing.Commit, r *eventsourcing.Record)
		want  string
	}{
		"no records":      {func(c *eventsourcing.Commit, _ *eventsourcing.Record) { c.Records = nil }, "without records"},
		"another version": {func(_ *eventsourcing.Commit, r *eventsourcing.Record) { r.Version = 3 }, "c1 at version 3, want"},
		"another stream":  {func(c *eventsourcing.Commit, _ *eventsourcing.Record) { c.Stream.ID = "c2" }, "want test/counter/c2 at"},
		"a stream that is no key": {
			func(c *eventsourcing.Commit, r *eventsourcing.Record) { c.Stream.ID, r.Stream.ID = "c 1", "c 1" },
			`field "stream": not category/id in up to 107 visible ASCII characters`,
		},
		"no JSON":       {func(_ *eventsourcing.Commit, r *eventsourcing.Record) { r.Data = []byte(`{`) }, data},
		"invalid UTF-8": {func(_ *eventsourcing.Commit, r *eventsourcing.Record) { r.Data = []byte("\"\xff\"") }, data},
		"a year of five digits": {
			func(_ *eventsourcing.Commit, r *eventsourcing.Record) {
				r.RecordedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
			},
			`field "recordedAt": not a time`,
		},
		"a field's stored name as an extra member": {
			func(_ *eventsourcing.Commit, r *eventsourcing.Record) { r.Metadata.Extra["correlation"] = "x" },
			`field "metadata.correlation": reserved`,
		},
		"an extra member without a name": {
			func(_ *eventsourcing.Commit, r *eventsourcing.Record) { r.Metadata.Extra[""] = "x" }, "an extra member of the metadata: not text",
		},
		"a claim twice": {
			func(c *eventsourcing.Commit, _ *eventsourcing.Record) { c.Release = c.Take }, `claim on "test#name": not text, or changed twice`,
		},
		"a guard of itself": {
			func(c *eventsourcing.Commit, _ *eventsourcing.Record) { c.Guards[0].Stream = c.Stream }, `guard of "test/counter/c1"`,
		},
		"a result without an ID": {
			func(c *eventsourcing.Commit, _ *eventsourcing.Record) { c.Result.ID = "" }, "command result: the ID or the fingerprint is not text",
		},
	} {
		commit := validCommit()
		c.spoil(&commit, &commit.Records[0])
		require.ErrorContains(t, commit.Validate(), c.want, name)
	}
}
