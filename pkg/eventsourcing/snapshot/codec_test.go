package snapshot_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

type kept struct {
	Name  string         `json:"name"`
	Roles []string       `json:"roles"`
	More  map[string]int `json:"more"`
	At    time.Time      `json:"at"`
}

type (
	event = eventsourcing.Event

	named struct {
		Name string `json:"name"`
	}
	counted struct{}

	counter struct {
		Name string `json:"name"`
		N    int    `json:"n"`
	}
)

func (named) EventName() string   { return "test/counter/named" }
func (counted) EventName() string { return "test/counter/counted" }

func eventsOf(events ...event) *eventsourcing.Codec[event] { return eventsourcing.NewCodec(events...) }

type former struct{}

func TestAShapeChangesWithItsRevisionAndEvents(t *testing.T) {
	t.Parallel()
	shapeOf := func(revision int, events *eventsourcing.Codec[event]) string {
		return snapshot.NewCodec[kept](revision, events).Shape()
	}
	shapes := map[string]string{}
	for what, shape := range map[string]string{
		"the first":        shapeOf(1, eventsOf(named{})),
		"another revision": shapeOf(2, eventsOf(named{})),
		"one event more":   shapeOf(1, eventsOf(named{}, counted{})),
		"another event":    shapeOf(1, eventsOf(counted{})),
		"an event's second schema": shapeOf(1, eventsOf(named{}).History(named{},
			eventsourcing.Upcast(func(former) named { return named{} }))),
	} {
		require.Len(t, shape, 32)
		if twin, known := shapes[shape]; known {
			t.Errorf("%s has the shape of %s", what, twin)
		}
		shapes[shape] = what
	}
	assert.Equal(t, shapeOf(1, eventsOf(named{}, counted{})), shapeOf(1, eventsOf(counted{}, named{})))
}

func TestStatesAreDecodedAsEncoded(t *testing.T) {
	t.Parallel()
	codec := snapshot.NewCodec[kept](1, eventsOf())
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
	codec := snapshot.NewCodec[counter](1, eventsOf())
	for _, text := range []string{
		``, `null`, `[]`, `{}`, `{"name":"a"}`, `{"name":"a","n":"1"}`, `{"name":"a","n":1,"m":2}`, `{"name":"a","n":1}{}`,
		`{"name":"a","n":1} x`, `{"NAME":"a","n":1}`, `{"name":"a","n":1,"n":2}`,
		`{"name":null,"n":1}`, `{"name":"a","n":1.0}`, "{\"name\":\"\xff\",\"n\":1}",
	} {
		_, err := codec.Decode([]byte(text))
		require.Error(t, err, text)
	}
	got, err := codec.Decode([]byte(` { "name": "a", "n": 1 } `))
	require.NoError(t, err)
	assert.Equal(t, counter{Name: "a", N: 1}, got)
}
