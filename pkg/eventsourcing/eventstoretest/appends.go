package eventstoretest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// appends are the tests of one stream's events.
var appends = map[string]func(fixture){
	"an absent stream reads empty": func(f fixture) {
		assert.Empty(f, f.read(f.stream("absent"), 0))
		assert.Empty(f, f.read(f.stream("absent"), 7))
	},
	"appended events read back in order": func(f fixture) {
		first, second := f.commit("s", 0, 3), f.commit("s", 3, 12)
		f.append(first)
		f.append(second)
		assert.Equal(f, idsOf(first, second), f.ids(f.stream("s"))) // past 9, where text order would differ
	},
	"a read begins after the given version": func(f fixture) {
		c := f.commit("s", 0, 4)
		f.append(c)
		for after := range eventsourcing.Version(4) {
			records := f.read(c.Stream, after)
			require.Len(f, records, 4-int(after))
			assert.Equal(f, c.Records[after].ID, records[0].ID)
		}
		assert.Empty(f, f.read(c.Stream, 4))
		assert.Empty(f, f.read(c.Stream, 5))
	},
	"a read beyond the head does not move it": func(f fixture) {
		f.append(f.commit("s", 0, 1))
		require.Empty(f, f.read(f.stream("s"), 5))
		f.refuse(f.commit("s", 5, 1), eventsourcing.ErrConflict)
	},
	"a read can be stopped early": func(f fixture) {
		c := f.commit("s", 0, 3)
		f.append(c)
		for r, err := range f.store.Read(f.Context(), c.Stream, 0) {
			require.NoError(f, err)
			require.Equal(f, c.Records[0].ID, r.ID)
			break
		}
	},
	"a read sees what was appended before it began": func(f fixture) {
		var want []string
		for v := range eventsourcing.Version(20) {
			c := f.commit("s", v, 1)
			f.append(c)
			want = append(want, c.Records[0].ID)
			require.Equal(f, want, f.ids(c.Stream))
		}
	},
	"streams keep apart": func(f fixture) {
		a, b := f.commit("a", 0, 2), f.commit("b", 0, 1)
		f.append(a)
		f.append(b)
		assert.Equal(f, idsOf(a), f.ids(a.Stream))
		assert.Equal(f, idsOf(b), f.ids(b.Stream))
		assert.Empty(f, f.read(eventsourcing.StreamID{Category: f.category + "/a", ID: "a"}, 0))
	},
	"a stale append conflicts": func(f fixture) {
		c := f.commit("s", 0, 2)
		f.append(c)
		f.refuse(f.commit("s", 0, 1), eventsourcing.ErrConflict)
		f.refuse(f.commit("s", 1, 1), eventsourcing.ErrConflict)
		f.refuse(f.commit("s", 1, 3), eventsourcing.ErrConflict) // its second event would fit
		assert.Equal(f, idsOf(c), f.ids(c.Stream))
	},
	"an append ahead of its stream conflicts": func(f fixture) {
		f.refuse(f.commit("absent", 1, 1), eventsourcing.ErrConflict)
		f.append(f.commit("s", 0, 2))
		f.refuse(f.commit("s", 3, 1), eventsourcing.ErrConflict)
		f.refuse(f.commit("s", 9, 2), eventsourcing.ErrConflict)
	},
	"an append with a claim ahead of its stream conflicts": func(f fixture) {
		f.append(f.commit("s", 0, 1))
		ahead := f.commit("s", 2, 1)
		ahead.Take = []eventsourcing.Claim{f.claim("v")}
		f.refuse(ahead, eventsourcing.ErrConflict)
		f.free(f.claim("v"))
	},
	"records come back field by field": fieldByField,
	"a stream of more than 1 MB reads to its end": func(f fixture) {
		var commits []eventsourcing.Commit
		for i := range 3 {
			c := f.commit("s", eventsourcing.Version(7*i), 7)
			for j := range c.Records {
				c.Records[j].Data = letters(60_000)
			}
			f.append(c)
			commits = append(commits, c)
		}
		assert.Equal(f, idsOf(commits...), f.ids(f.stream("s")))
		last := f.read(f.stream("s"), 20)
		require.Len(f, last, 1)
		assert.Equal(f, letters(60_000), last[0].Data)
	},
	"a commit of 1.2 MB and 60 parts is written whole": func(f fixture) { // DynamoDB takes 4 MB, but some emulators count the JSON
		c := f.commit("s", 0, 50)
		for i := range c.Records {
			c.Records[i].Data = letters(24_000)
		}
		for i := range 9 {
			c.Take = append(c.Take, f.claim(fmt.Sprint(i)))
		}
		c.Result = f.result("c")
		f.append(c)
		assert.Equal(f, idsOf(c), f.ids(c.Stream))
		f.taken(f.claim("0"))
		f.taken(f.claim("8"))
	},
	"a cancelled context ends every call": func(f fixture) {
		f.append(f.commit("s", 0, 1))
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		c := f.commit("s", 1, 1)
		require.ErrorIs(f, f.store.Append(ctx, c), context.Canceled)
		c = f.commit("s", 1, 2)
		require.ErrorIs(f, f.store.Append(ctx, c), context.Canceled)
		_, err := f.store.Result(ctx, "any")
		require.ErrorIs(f, err, context.Canceled)
		ended := false
		for _, err := range f.store.Read(ctx, f.stream("s"), 0) {
			require.False(f, ended, "a read continued after its error")
			require.ErrorIs(f, err, context.Canceled)
			ended = true
		}
		require.True(f, ended, "a cancelled read looks like an absent stream")
		assert.Len(f, f.ids(f.stream("s")), 1)
	},
}

func letters(n int) json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat("ä", (n-2)/2) + `"`)
}

func fieldByField(f fixture) {
	c := f.commit("s", 0, 3)
	c.Records[0].Schema = 12
	c.Records[0].Data = json.RawMessage(
		`{ "big": 12345678901234567890123456789.000, "e":1E+2, "nested": {"b":[1, {"a":null}],"a":""},` +
			` "text":"Zoë 🦊 \u00e9\u2028 <&> \\ \"", "":{}, "twice":1, "twice":2 }`) // verbatim: space, order, notation
	c.Records[0].Enrichment = []eventsourcing.Enrichment{
		{Aggregate: "org/iam/role", ID: "r1", Data: json.RawMessage(`{ "name":"Ädmin", "n": 1.10 }`)},
		{Aggregate: "org/iam/user", ID: "u1", Data: json.RawMessage(`[]`)},
	}
	c.Records[0].Metadata = eventsourcing.Metadata{
		CorrelationID: "corr", CausationID: "caus", Actor: "Zoë", Traceparent: "00-4bf9-00f0-01",
		Extra: map[string]string{"tenant": "Ä1", "source": ""},
	}
	c.Records[0].RecordedAt = time.Date(2026, 2, 28, 23, 59, 59, 7_000_000, time.UTC)
	c.Records[1].Data = json.RawMessage(`null`)
	c.Records[1].Metadata = eventsourcing.Metadata{Actor: "only"}
	c.Records[1].RecordedAt = time.Date(2026, 3, 1, 1, 0, 0, 123_999_999, time.FixedZone("CET", 3600))
	f.append(c)

	want := c.Records
	want[1].RecordedAt = time.Date(2026, 3, 1, 0, 0, 0, 123_000_000, time.UTC)
	got := f.read(c.Stream, 0)
	require.Len(f, got, 3)
	for i := range want {
		assert.Equal(f, string(want[i].Data), string(got[i].Data))
		assert.Equal(f, want[i], got[i])
	}
}
