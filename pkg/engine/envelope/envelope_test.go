package envelope_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func minimal() eventsourcing.Record {
	return eventsourcing.Record{
		ID: "e1", Stream: eventsourcing.StreamID{Category: "org/iam/user", ID: "u1"}, Version: 1,
		Name: "org/iam/user/disabled", Schema: 1, Data: json.RawMessage(`{}`),
		RecordedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func full() eventsourcing.Record {
	return eventsourcing.Record{
		ID:     "0195512e-7b00-7000-8000-000000000001",
		Stream: eventsourcing.StreamID{Category: "org/iam/user", ID: "0195512e-7b00-7000-8000-000000000002"}, Version: 18446744073709551615,
		Name: "org/iam/user/roleAdded", Schema: 3,
		Data: json.RawMessage(`{ "roleId": "r1",  "big": 12345678901234567890.10, "text": "Zoë 🦊 <&> \u00e9" }`),
		Enrichment: []eventsourcing.Enrichment{
			{Aggregate: "org/iam/role", ID: "r1", Data: json.RawMessage(`{"name": "admin"}`)},
			{Aggregate: "org/iam/user", ID: "u1", Data: json.RawMessage(`null`)},
		},
		Metadata:   eventsourcing.Metadata{CorrelationID: "c", CausationID: "k", Actor: "Zoë <z>", Traceparent: "00-4bf9-00f0-01"},
		RecordedAt: time.Date(2026, 2, 28, 23, 59, 59, 7_000_000, time.UTC),
	}
}

// Envelopes that were once sent must stay decodable.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]eventsourcing.Record{"minimal": minimal(), "full": full()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", name+".json")
			got, err := envelope.Encode(want)
			require.NoError(t, err)
			if *update {
				require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o600))
			}
			golden, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, strings.TrimSuffix(string(golden), "\n"), string(got))
			record, err := envelope.Decode(golden)
			require.NoError(t, err)
			assert.Equal(t, want, record)
		})
	}
}

func TestDecodeIgnoresUnknownFields(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile(filepath.Join("testdata", "unknown_fields.json"))
	require.NoError(t, err)
	got, err := envelope.Decode(golden)
	require.NoError(t, err)
	want := minimal()
	want.RecordedAt = want.RecordedAt.Add(123 * time.Millisecond) // sent as 13:00:00.123999+01:00
	want.Enrichment = []eventsourcing.Enrichment{{Aggregate: "org/iam/role", ID: "r1", Data: json.RawMessage(`[1]`)}}
	want.Metadata.Actor, want.Metadata.Extra = "dan", map[string]string{"tenant": "t1"} // a member of the importer's own
	assert.Equal(t, want, got)
}

func TestDecodeNamesTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, value, want string }{
		{"id", "", `"id": missing`},
		{"id", `""`, `"id": not text`},
		{"id", `7`, `"id": json: cannot unmarshal number`},
		{"id", `null`, `"id": not text`},
		{"stream", "", `"stream": missing`},
		{"stream", `"user"`, `"stream": stream is not category/id`},
		{"stream", `"org/iam/user/"`, `"stream": `},
		{"version", "", `"version": missing`},
		{"version", `0`, `"version": not 1 or more`},
		{"version", `-1`, `"version": json`},
		{"version", `1.5`, `"version": json`},
		{"version", `"1"`, `"version": json`},
		{"version", `18446744073709551616`, `"version": json`},
		{"name", "", `"name": missing`},
		{"name", `""`, `"name": not text`},
		{"schema", "", `"schema": missing`},
		{"schema", `0`, `"schema": not 1 or more`},
		{"data", "", `"data": missing`},
		{"recordedAt", "", `"recordedAt": missing`},
		{"recordedAt", `"yesterday"`, `"recordedAt": not a time`},
		{"recordedAt", `1772366400`, `"recordedAt": `},
		{"recordedAt", `null`, `"recordedAt": not a time`},
		{"recordedAt", `"0001-01-01T00:00:00+01:00"`, `"recordedAt": not a time`},
		{"metadata", `[]`, `"metadata": json`},
		{"metadata", `{"actor":1}`, `"metadata.actor": json`},
		{"metadata", `{"correlation":"c"}`, `"metadata.correlation": reserved`},
		{"enrichment", `{}`, `"enrichment": json`},
		{"enrichment", `[{"aggregate":"a","id":"1"}]`, `"enrichment[0].data": missing`},
		{"enrichment", `[{"aggregate":"a","id":"1","data":{}},{"id":"1","data":{}}]`, `"enrichment[1].aggregate": missing`},
		{"enrichment", `[{"aggregate":"a","data":{}}]`, `"enrichment[0].id": missing`},
		{"enrichment", `[null]`, `"enrichment[0].`},
	} {
		t.Run(c.field+"="+c.value, func(t *testing.T) {
			t.Parallel()
			b, err := envelope.Encode(minimal())
			require.NoError(t, err)
			fields := map[string]json.RawMessage{}
			require.NoError(t, json.Unmarshal(b, &fields))
			fields[strings.ToUpper(c.field)] = fields[c.field] // must not replace the field
			fields[c.field] = json.RawMessage(c.value)
			if c.value == "" {
				delete(fields, c.field)
			}
			b, err = json.Marshal(fields)
			require.NoError(t, err)
			_, err = envelope.Decode(b)
			require.ErrorContains(t, err, "decode envelope: field "+c.want)
		})
	}
	for _, bad := range []string{"", " ", "{", "[]", `"x"`, "7", `{} {}`, strings.Repeat("[", 100_000)} {
		_, err := envelope.Decode([]byte(bad))
		require.ErrorContains(t, err, "decode envelope: ")
	}
	_, err := envelope.Decode([]byte("null"))
	require.ErrorContains(t, err, `field "id": missing`)
	b, err := envelope.Encode(minimal())
	require.NoError(t, err)
	for cut := range b {
		_, err := envelope.Decode(b[:cut])
		require.Error(t, err, cut)
	}
	_, err = envelope.Decode(bytes.Replace(b, []byte("e1"), []byte("e\xff"), 1))
	require.ErrorContains(t, err, "not valid UTF-8")
}

func TestEncodeNamesTheField(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*eventsourcing.Record){
		"id":                      func(r *eventsourcing.Record) { r.ID = "\xff" },
		"stream":                  func(r *eventsourcing.Record) { r.Stream.ID = "a b" },
		"version":                 func(r *eventsourcing.Record) { r.Version = 0 },
		"name":                    func(r *eventsourcing.Record) { r.Name = "" },
		"schema":                  func(r *eventsourcing.Record) { r.Schema = -1 },
		"data":                    func(r *eventsourcing.Record) { r.Data = nil },
		"metadata.actor":          func(r *eventsourcing.Record) { r.Metadata.Actor = "\xff" },
		"metadata.correlationId":  func(r *eventsourcing.Record) { r.Metadata.CorrelationID = "\xff" },
		"metadata.causationId":    func(r *eventsourcing.Record) { r.Metadata.CausationID = "\xff" },
		"metadata.traceparent":    func(r *eventsourcing.Record) { r.Metadata.Traceparent = "\xff" },
		"recordedAt":              func(r *eventsourcing.Record) { r.RecordedAt = time.Time{} },
		"enrichment[0].data":      func(r *eventsourcing.Record) { r.Enrichment[0].Data = []byte("\"\xff\"") },
		"enrichment[1].id":        func(r *eventsourcing.Record) { r.Enrichment[1].ID = "" },
		"enrichment[1].aggregate": func(r *eventsourcing.Record) { r.Enrichment[1].Aggregate = "\xff" },
	} {
		r := full()
		spoil(&r)
		_, err := envelope.Encode(r)
		require.ErrorContains(t, err, "field \""+field+"\": ")
		require.ErrorContains(t, err, "encode envelope of org/iam/user/")
	}
	for _, data := range []string{`{`, `{}{}`, `{},"version":2`, "\"\x01\"", `'a'`} {
		r := minimal()
		r.Data = json.RawMessage(data)
		_, err := envelope.Encode(r)
		require.ErrorContains(t, err, `field "data": not JSON`)
	}
}

func TestAnEnvelopeHasAtMostMaxBytes(t *testing.T) {
	t.Parallel()
	r := minimal()
	b, err := envelope.Encode(r)
	require.NoError(t, err)
	room := envelope.MaxBytes - len(b) - len(r.Stream.String()) + len(r.Data)
	r.Data = json.RawMessage(`"` + strings.Repeat("x", room-2) + `"`)
	b, err = envelope.Encode(r)
	require.NoError(t, err)
	got, err := envelope.Decode(b)
	require.NoError(t, err)
	assert.Equal(t, r, got)
	r.Data = json.RawMessage(`"` + strings.Repeat("x", room-1) + `"`)
	_, err = envelope.Encode(r)
	require.ErrorIs(t, err, envelope.ErrTooLarge)
	_, err = envelope.Decode(append(b, bytes.Repeat([]byte(" "), envelope.MaxBytes+1-len(b))...))
	require.ErrorIs(t, err, envelope.ErrTooLarge)
}

// SQS accepts the characters of XML only.
func TestCharactersThatSQSRefusesAreEscaped(t *testing.T) {
	t.Parallel()
	r := full()
	r.Metadata.Actor = "a\uffff\ufffe\x00\x1f\x7f"
	r.Data = json.RawMessage("\"\ufffe\\\\\uffff\\n\"")
	r.Enrichment[0].ID = "\ufffe"
	b, err := envelope.Encode(r)
	require.NoError(t, err)
	for _, char := range string(b) {
		require.True(t, char == '\t' || char == '\n' || char == '\r' || char >= 0x20 && char <= 0xfffd || char >= 0x10000, "%U", char)
	}
	got, err := envelope.Decode(b)
	require.NoError(t, err)
	assert.Equal(t, r.Metadata, got.Metadata)
	assert.Equal(t, r.Enrichment[0].ID, got.Enrichment[0].ID)
	assert.JSONEq(t, string(r.Data), string(got.Data))
}

func TestDecodeIsTheInverseOfEncode(t *testing.T) {
	t.Parallel()
	text := rapid.StringN(1, 30, -1)
	part := rapid.StringMatching(`[!-.0-~]{1,30}`)
	data := rapid.Custom(func(t *rapid.T) json.RawMessage {
		escaped := strings.NewReplacer("\ufffe", "", "\uffff", "")
		b, err := json.Marshal(map[string]any{escaped.Replace(text.Draw(t, "key")): []any{
			escaped.Replace(text.Draw(t, "text")), rapid.Int64().Draw(t, "number"), nil,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "spaced") {
			var spaced bytes.Buffer
			if err := json.Indent(&spaced, b, "", "\t"); err != nil {
				t.Fatal(err)
			}
			b = spaced.Bytes()
		}
		return b
	})
	rapid.Check(t, func(t *rapid.T) {
		want := eventsourcing.Record{
			ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Data: data.Draw(t, "data"),
			Stream:  eventsourcing.StreamID{Category: part.Draw(t, "category") + "/" + part.Draw(t, "kind"), ID: part.Draw(t, "stream")},
			Version: eventsourcing.Version(rapid.Uint64Min(1).Draw(t, "version")),
			Schema:  rapid.IntMin(1).Draw(t, "schema"),
			Metadata: eventsourcing.Metadata{
				CorrelationID: rapid.String().Draw(t, "correlation"), CausationID: rapid.String().Draw(t, "causation"),
				Actor: rapid.String().Draw(t, "actor"), Traceparent: rapid.String().Draw(t, "traceparent"),
				Extra: rapid.SampledFrom([]map[string]string{nil, {"tenant": "t1", "source": ""}, {"\"<&>": "\ufffe"}}).Draw(t, "extra"),
			},
			RecordedAt: time.UnixMilli(rapid.Int64Range(-1<<40, 1<<47).Draw(t, "at")).UTC(),
		}
		for range rapid.IntRange(0, 3).Draw(t, "enrichment") {
			want.Enrichment = append(want.Enrichment, eventsourcing.Enrichment{
				Aggregate: text.Draw(t, "aggregate"), ID: text.Draw(t, "id"), Data: data.Draw(t, "data"),
			})
		}
		b, err := envelope.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := envelope.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		assert.Equal(t, want, got)
	})
}

// A decoded record is encoded and decoded to the same record.
func FuzzDecode(f *testing.F) {
	for _, r := range []eventsourcing.Record{minimal(), full()} {
		b, err := envelope.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := envelope.Decode(b)
		if err != nil {
			return
		}
		again, err := envelope.Encode(first)
		if err != nil {
			require.ErrorIs(t, err, envelope.ErrTooLarge) // with its key
			return
		}
		second, err := envelope.Decode(again)
		require.NoError(t, err)
		if bytes.ContainsAny(b, "\ufffe\uffff") {
			return // become escapes
		}
		require.Equal(t, first, second)
	})
}
