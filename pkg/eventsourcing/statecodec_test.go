package eventsourcing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type (
	text string
	list []list

	kept struct {
		Name  string         `json:"name"`
		Roles []string       `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
	}
	keptByAnotherName struct {
		Name  text           `json:"name"` // the kind is what JSON sees
		Roles []text         `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
	}
	renamedField struct {
		Title string         `json:"name"`
		Roles []string       `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
	}
	retaggedField struct {
		Name  string         `json:"title"`
		Roles []string       `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
	}
	retypedField struct {
		Name  string         `json:"name"`
		Roles []bool         `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
	}
	retypedWithin struct {
		Name  string          `json:"name"`
		Roles []string        `json:"roles"`
		More  map[string]int8 `json:"more"`
		At    time.Time       `json:"at"`
	}
	arrayForSlice struct {
		Name  string         `json:"name"`
		Roles [2]string      `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
	}
	otherMarshaler struct {
		Name  string         `json:"name"`
		Roles []string       `json:"roles"`
		More  map[string]int `json:"more"`
		At    month          `json:"at"`
	}
	oneMore struct {
		Name  string         `json:"name"`
		Roles []string       `json:"roles"`
		More  map[string]int `json:"more"`
		At    time.Time      `json:"at"`
		Held  bool           `json:"held"`
	}
	month struct{ time.Time }
)

func shapeOf[T any](revision int, events *eventsourcing.Codec[event]) string {
	same := func(t T) T { return t }
	return eventsourcing.NewStateCodec(revision, events, same, same).Shape()
}

func eventsOf(register ...func(*eventsourcing.Codec[event])) *eventsourcing.Codec[event] {
	c := eventsourcing.NewCodec[event]()
	for _, r := range register {
		r(c)
	}
	return c
}

// widened is another structure under the name of an event.
type widened struct {
	named

	Held bool `json:"held"`
}

type former struct{}

func TestAShapeChangesWithWhatItStandsFor(t *testing.T) {
	t.Parallel()
	withNamed := func(c *eventsourcing.Codec[event]) { eventsourcing.Register[named](c) }
	withCounted := func(c *eventsourcing.Codec[event]) { eventsourcing.Register[counted](c) }
	one := eventsOf(withNamed)
	shapes := map[string]string{}
	for what, shape := range map[string]string{
		"the first":         shapeOf[kept](1, one),
		"another revision":  shapeOf[kept](2, one),
		"a renamed field":   shapeOf[renamedField](1, one),
		"a retagged field":  shapeOf[retaggedField](1, one),
		"a retyped field":   shapeOf[retypedField](1, one),
		"retyped elements":  shapeOf[retypedWithin](1, one),
		"an array":          shapeOf[arrayForSlice](1, one),
		"another marshaler": shapeOf[otherMarshaler](1, one),
		"one field more":    shapeOf[oneMore](1, one),
		"one event more":    shapeOf[kept](1, eventsOf(withNamed, withCounted)),
		"another event":     shapeOf[kept](1, eventsOf(withCounted)),
		"a wider event":     shapeOf[kept](1, eventsOf(func(c *eventsourcing.Codec[event]) { eventsourcing.Register[widened](c) })),
		"an event's second schema": shapeOf[kept](1, eventsOf(func(c *eventsourcing.Codec[event]) {
			eventsourcing.Register[named](c, eventsourcing.Upcast(func(former) named { return named{} }))
		})),
	} {
		require.Len(t, shape, 32)
		if twin, known := shapes[shape]; known {
			t.Errorf("%s has the shape of %s", what, twin)
		}
		shapes[shape] = what
	}
	assert.Equal(t, shapeOf[kept](1, one), shapeOf[keptByAnotherName](1, one), "JSON does not show what types are called")
	assert.Equal(t, shapeOf[kept](1, eventsOf(withNamed, withCounted)), shapeOf[kept](1, eventsOf(withCounted, withNamed)))
	assert.NotEmpty(t, shapeOf[list](1, one), "types within themselves have a shape too")
}

func TestStatesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	same := func(k kept) kept { return k }
	codec := eventsourcing.NewStateCodec(1, eventsOf(), same, same)
	for _, want := range []kept{
		{},
		{Name: "Zoë <z>", Roles: []string{}, More: map[string]int{"b": 2, "a": 1}, At: time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)},
	} {
		text, err := codec.Encode(want)
		require.NoError(t, err)
		got, err := codec.Decode(text)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestOnlyWhatEncodeWritesIsDecoded(t *testing.T) {
	t.Parallel()
	codec := counterStates(1, eventsOf())
	for _, text := range []string{
		``, `null`, `[]`, `{}`, `{"name":"a"}`, `{"name":"a","n":"1"}`, `{"name":"a","n":1,"m":2}`, `{"name":"a","n":1}{}`,
		`{"name":"a","n":1} x`, `{"NAME":"a","n":1}`, `{"name":"a","n":1,"n":2}`, `{"name":null,"n":1}`, `{"name":"a","n":1.0}`, "{\"name\":\"\xff\",\"n\":1}",
	} {
		_, err := codec.Decode([]byte(text))
		require.Error(t, err, text)
	}
	got, err := codec.Decode([]byte(` { "name": "a", "n": 1 } `))
	require.NoError(t, err)
	assert.Equal(t, counter{name: "a", n: 1}, got)
}
