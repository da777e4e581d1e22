package eventdocs

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
)

type embedded struct {
	Inner bool `json:"inner"`
}

func TestTypesHaveTheirShapes(t *testing.T) {
	t.Parallel()
	type all struct {
		embedded

		Text   string          `json:"text"`
		Flag   bool            `json:"flag,omitzero"`
		Count  uint64          `json:"count,omitempty"`
		Ratio  float64         `json:"ratio"`
		List   []struct{}      `json:"list"`
		Any    json.RawMessage `json:"any"`
		At     time.Time       `json:"at"`
		Within struct {
			ID string `json:"id"`
		} `json:"within"`
	}
	got, err := (&describer{repository: fstest.MapFS{"docs/eventdocs/a.go": {Data: []byte(`package eventdocs

type embedded struct {
	// Inner is a member of the type that embeds it.
	Inner bool
}
`)}}}).shape(reflect.TypeFor[all]())
	require.NoError(t, err)
	assert.Equal(t, Shape{Type: "object", Fields: []Field{
		{Name: "inner", Shape: Shape{Type: "boolean", Doc: "a member of the type that embeds it"}},
		{Name: "text", Shape: Shape{Type: "string"}},
		{Name: "flag", Optional: true, Shape: Shape{Type: "boolean"}},
		{Name: "count", Optional: true, Shape: Shape{Type: "integer"}},
		{Name: "ratio", Shape: Shape{Type: "number"}},
		{Name: "list", Shape: Shape{Type: "array", Items: &Shape{Type: "object"}}},
		{Name: "any"},
		{Name: "at", Shape: Shape{Type: "string", Format: "date-time"}},
		{Name: "within", Shape: Shape{Type: "object", Fields: []Field{{Name: "id", Shape: Shape{Type: "string"}}}}},
	}}, got)
}

func TestUnsupportedTypesAreRefused(t *testing.T) {
	t.Parallel()
	type hidden struct{ a string }
	for want, of := range map[string]any{
		"differ in case only": struct {
			A string `json:"userId"`
			B string `json:"userid"`
		}{},
		"exported and have a name": hidden{a: "x"},
		"have a name in JSON":      struct{ A string }{},
		"keys of kind int": struct {
			M map[int]string `json:"m"`
		}{},
		"a payload of kind chan": struct {
			C []chan int `json:"c"`
		}{},
	} {
		_, err := (&describer{repository: fstest.MapFS{}}).shape(reflect.TypeOf(of))
		require.ErrorContains(t, err, want)
	}
}

func TestCommentsAreReadFromTheSource(t *testing.T) {
	t.Parallel()
	got, err := comments(fstest.MapFS{
		"door/events.go": {Data: []byte(`package door

// Hung opens a door's
// stream. More is not said.
type Hung struct {
	// Room is where it hangs.
	Room string
	Bare string
}

type (
	// Name names a door
	Name string
	Plain int
)

// Not of a type.
func Hang() {}
`)},
		"door/events_test.go": {Data: []byte(`no Go at all`)},
	}, "door")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"Hung": "opens a door's stream", "Hung.Room": "where it hangs", "Hung.Bare": "", "Name": "names a door", "Plain": "",
	}, got)
	_, err = comments(fstest.MapFS{"door/events.go": {Data: []byte(`no Go at all`)}}, "door")
	require.ErrorContains(t, err, "door/events.go")
}

func TestEveryTypeHasAComment(t *testing.T) {
	t.Parallel()
	d := &describer{repository: os.DirFS("../..")}
	assert.Equal(t, "what the role is called at the time of an event of another aggregate", d.doc(reflect.TypeFor[role.Reference]()))
	assert.Equal(t, "what a role is called, in the case it was given", d.doc(reflect.TypeFor[role.Reference]().Field(0).Type))
	assert.Empty(t, d.doc(reflect.TypeFor[string]()))
	require.NoError(t, d.err)
	broken := &describer{repository: fstest.MapFS{"pkg/domain/role/a.go": {Data: []byte(`?`)}}}
	_, err := broken.shape(reflect.TypeFor[role.Reference]())
	require.ErrorContains(t, err, "read the comments of pkg/domain/role")
}
