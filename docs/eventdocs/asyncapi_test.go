package eventdocs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/leftfold/leftfold/docs/eventdocs"
	"github.com/leftfold/leftfold/docs/eventdocs/eventdocstest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

func asyncAPI(t *testing.T) []byte {
	t.Helper()
	text, err := newCatalogue(t).AsyncAPI()
	require.NoError(t, err)
	return text
}

// TestAsyncAPIIsValid checks the document against AsyncAPI's own JSON schema; make lint-asyncapi installs and names it.
func TestAsyncAPIIsValid(t *testing.T) {
	t.Parallel()
	published := os.Getenv("LEFTFOLD_ASYNCAPI_SCHEMA")
	if published == "" {
		t.Skip("LEFTFOLD_ASYNCAPI_SCHEMA is not set: run make lint-asyncapi")
	}
	const official = "asyncapi.json"
	file, err := os.Open(published)
	require.NoError(t, err)
	defer func() { _ = file.Close() }() // only read
	content, err := jsonschema.UnmarshalJSON(file)
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(official, content))
	schema, err := compiler.Compile(official)
	require.NoError(t, err)

	text := asyncAPI(t)
	document, err := eventdocstest.JSON(text)
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))
	for sound, spoilt := range map[string]string{
		"asyncapi: 3.0.0": "asyncapi: 2.6.0", "  version: 1.0.0": "  wersion: 1.0.0", "action: send": "action: shout",
		"protocol: kinesis": "x-protocol: kinesis", "fifoQueue: true": "fifoQueue: 1", "x-kinesis": "kinesis",
		"maxReceiveCount: 1000": "maxReceiveCount: many", "summary: Opens": "shortly: Opens", "type: integer": "type: whole",
		"deduplicationScope: messageGroup": "deduplicationScope: stream",
	} {
		require.Contains(t, string(text), sound)
		bad, err := eventdocstest.JSON([]byte(strings.ReplaceAll(string(text), sound, spoilt)))
		require.NoError(t, err)
		require.Error(t, schema.Validate(bad), spoilt)
	}
}

func TestAsyncAPIReferencesResolve(t *testing.T) {
	t.Parallel()
	var document map[string]any
	require.NoError(t, yaml.Unmarshal(asyncAPI(t), &document))
	refs := 0
	walk(document, func(ref string) {
		refs++
		var at any = document
		for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			within, _ := at.(map[string]any)
			require.Contains(t, within, step, ref)
			at = within[step]
		}
	})
	assert.Greater(t, refs, 50)
}

func walk(value any, found func(ref string)) {
	switch v := value.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			found(ref)
		}
		for _, member := range v {
			walk(member, found)
		}
	case []any:
		for _, member := range v {
			walk(member, found)
		}
	}
}

func newMessages(t *testing.T) eventdocstest.Messages {
	t.Helper()
	m, err := eventdocstest.NewMessages(asyncAPI(t))
	require.NoError(t, err)
	return m
}

func record(e eventdocs.Event, schema int, data json.RawMessage) eventsourcing.Record {
	return eventsourcing.Record{
		ID: "e1", Stream: eventsourcing.StreamID{Category: path.Dir(e.Name), ID: "1"}, Version: 1,
		Name: e.Name, Schema: schema, Data: data, RecordedAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// Every stored event matches exactly the message of its name and schema version: as it is, and with members that a later
// build adds, but not without a member that was always written.
func TestStoredEventsMatchTheirMessages(t *testing.T) {
	t.Parallel()
	messages := newMessages(t)
	match := func(r eventsourcing.Record) []string {
		b, err := envelope.Encode(r)
		require.NoError(t, err)
		names, err := messages.Match(b)
		require.NoError(t, err)
		return names
	}
	seen := 0
	for _, a := range newCatalogue(t).Aggregates {
		for _, e := range a.Events {
			for _, v := range e.Versions {
				want := []string{fmt.Sprintf("%s.v%d", strings.ReplaceAll(e.Name, "/", "."), v.Schema)}
				for _, data := range v.Examples {
					seen++
					assert.Equal(t, want, match(record(e, v.Schema, data)))
					more := append(bytes.TrimSuffix(bytes.Clone(data), []byte("}")), `,"addedByALaterBuild":[1.10]}`...)
					more = bytes.Replace(more, []byte("{,"), []byte("{"), 1)
					assert.Equal(t, want, match(record(e, v.Schema, more)))
				}
				for _, f := range v.Shape.Fields {
					var members map[string]json.RawMessage
					require.NoError(t, json.Unmarshal(v.Examples[0], &members))
					delete(members, f.Name)
					less, err := json.Marshal(members)
					require.NoError(t, err)
					assert.Equal(t, f.Optional, len(match(record(e, v.Schema, less))) == 1, "%s without %s", e.Name, f.Name)
					members[f.Name] = json.RawMessage(`[7]`)
					wrong, err := json.Marshal(members)
					require.NoError(t, err)
					assert.Empty(t, match(record(e, v.Schema, wrong)), "%s with another %s", e.Name, f.Name)
				}
				assert.Empty(t, match(record(e, len(e.Versions)+1, v.Examples[0])), "%s of a future version", e.Name)
				elsewhere := record(e, v.Schema, v.Examples[0])
				elsewhere.Stream.Category = "org/iam/nothing"
				assert.Empty(t, match(elsewhere))
			}
		}
	}
	assert.GreaterOrEqual(t, seen, 13)
}

// Whatever the aggregate writes, its enrichment included, matches the document.
func TestWrittenEventsMatchTheirMessages(t *testing.T) {
	t.Parallel()
	const id, roleID = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57", "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"
	friday := time.Date(2026, 12, 4, 17, 0, 0, 0, time.UTC)
	log := new(memstore.Store)
	users, err := eventsourcing.NewRepository(eventsourcing.Config[user.State, user.Event]{Aggregate: user.Aggregate(), Store: log})
	require.NoError(t, err)
	for _, d := range []eventsourcing.Command[user.State, user.Event]{
		user.Register{ID: id, Email: "zoë@example.com"},
		user.Update{FirstName: "Zoë", LastName: "O"},
		user.AddRole{Role: user.Grantable{ID: roleID, Exists: true, Enabled: true}},
		user.ChangeEmail{Email: "zoe@example.com"},
		user.Disable{},
		user.Enable{},
		user.RemoveRole{RoleID: roleID},
		user.AddRole{Role: user.Grantable{ID: roleID, Exists: true, Enabled: true}, Until: friday},
		user.ChangeRoleUntil{RoleID: roleID, Until: friday.Add(time.Hour)},
		user.ExpireRole{RoleID: roleID, Until: friday.Add(time.Hour), Now: friday.Add(time.Hour)},
	} {
		_, err := users.Do(t.Context(), id, d, eventsourcing.WithMetadata(eventsourcing.Metadata{Actor: "a"}))
		require.NoError(t, err)
	}
	messages := newMessages(t)
	written := map[string]bool{}
	for r, err := range log.Read(t.Context(), eventsourcing.StreamID{Category: user.Category, ID: id}, 0) {
		require.NoError(t, err)
		written[r.Name] = true
		b, err := envelope.Encode(r)
		require.NoError(t, err)
		names, err := messages.Match(b)
		require.NoError(t, err)
		assert.Equal(t, []string{fmt.Sprintf("%s.v%d", strings.ReplaceAll(r.Name, "/", "."), r.Schema)}, names)
		for i := range r.Enrichment {
			r.Enrichment[i].Data = json.RawMessage(`{}`)
			b, err := envelope.Encode(r)
			require.NoError(t, err)
			names, err := messages.Match(b)
			require.NoError(t, err)
			assert.Empty(t, names, "%s with a fact that says nothing", r.Name)
		}
	}
	for _, k := range user.NewCodec().Known() {
		assert.Equal(t, !k.Retired, written[k.Name], k.Name)
	}
}

// The schema of the envelope requires what package envelope requires.
func TestTheEnvelopesSchemaMatchesItsDecoder(t *testing.T) {
	t.Parallel()
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Required   []string       `yaml:"required"`
				Properties map[string]any `yaml:"properties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	require.NoError(t, yaml.Unmarshal(asyncAPI(t), &document))
	schema := document.Components.Schemas["envelope"]
	messages := newMessages(t)
	r := record(eventdocs.Event{Known: eventsourcing.Known{Name: "org/iam/user/disabled"}}, 1, json.RawMessage(`{}`))
	r.Metadata = eventsourcing.Metadata{
		CorrelationID: "c", CausationID: "k", Actor: "a", Traceparent: "00", Extra: map[string]string{"tenant": "t1"},
	}
	r.Enrichment = []eventsourcing.Enrichment{{Aggregate: "a", ID: "i", Data: json.RawMessage(`null`)}}
	b, err := envelope.Encode(r)
	require.NoError(t, err)
	names, err := messages.Match(b)
	require.NoError(t, err)
	require.Len(t, names, 1)
	var written map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &written))
	assert.Equal(t, keys(schema.Properties), keys(written))
	metadata, _ := schema.Properties["metadata"].(map[string]any)["properties"].(map[string]any)
	assert.Len(t, metadata, reflect.TypeFor[eventsourcing.Metadata]().NumField()-1, "all but Extra")
	for _, name := range schema.Required {
		for _, value := range []json.RawMessage{nil, json.RawMessage(`[]`)} {
			if name == "data" && value != nil {
				continue
			}
			spoilt := map[string]json.RawMessage{}
			require.NoError(t, json.Unmarshal(b, &spoilt))
			delete(spoilt, name)
			if value != nil {
				spoilt[name] = value
			}
			less, err := json.Marshal(spoilt)
			require.NoError(t, err)
			_, err = envelope.Decode(less)
			require.ErrorContains(t, err, name)
			names, err := messages.Match(less)
			require.NoError(t, err)
			assert.Empty(t, names, "%s=%s", name, value)
		}
	}
	for name := range written {
		less := map[string]json.RawMessage{}
		require.NoError(t, json.Unmarshal(b, &less))
		delete(less, name)
		text, err := json.Marshal(less)
		require.NoError(t, err)
		_, refused := envelope.Decode(text)
		names, err := messages.Match(text)
		require.NoError(t, err)
		assert.Equal(t, refused != nil, len(names) == 0, "without %s", name)
	}
}

func keys[V any](m map[string]V) map[string]bool {
	out := map[string]bool{}
	for k := range m {
		out[k] = true
	}
	return out
}

// Every member of every shape is in a golden file, or a change to it would not be noticed.
func TestEveryMemberHasAnExample(t *testing.T) {
	t.Parallel()
	for _, a := range newCatalogue(t).Aggregates {
		for _, e := range a.Events {
			for _, v := range e.Versions {
				assert.NotEmpty(t, v.Examples)
				for _, missing := range without(v.Shape, v.Examples) {
					t.Errorf("%s, schema version %d: no stored example has %q", e.Name, v.Schema, missing)
				}
			}
		}
	}
}

// without names the members that no example has.
func without(s eventdocs.Shape, examples []json.RawMessage) (out []string) {
	for _, f := range s.Fields {
		var values []json.RawMessage
		for _, example := range examples {
			var members map[string]json.RawMessage
			if err := json.Unmarshal(example, &members); err == nil && members[f.Name] != nil {
				values = append(values, members[f.Name])
			}
		}
		if len(values) == 0 {
			out = append(out, f.Name)
		}
		out = append(out, without(f.Shape, values)...)
	}
	return out
}
