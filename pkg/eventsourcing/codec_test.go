package eventsourcing_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// stored is the closed set of events that the codec's tests write and read.
type stored interface {
	eventsourcing.Event
	isStored()
}

// moved has had three shapes: {"to": "N 50"}, then {"place": "N 50"}, now {"place": "N 50", "height": 0}.
type moved struct {
	Place  string  `json:"place"`
	Height float64 `json:"height"`
}

type rested struct{}

type movedV1 struct {
	To string `json:"to"`
}

type movedV2 struct {
	Place string `json:"place"`
}

func (moved) EventName() string  { return "test/moved" }
func (rested) EventName() string { return "test/rested" }
func (moved) isStored()          {}
func (rested) isStored()         {}

// impostor goes by the name of another event.
type impostor struct{}

func (impostor) EventName() string { return "test/moved" }
func (impostor) isStored()         {}

func newCodec() *eventsourcing.Codec[stored] {
	return eventsourcing.NewCodec[stored](moved{}, rested{}).History(moved{},
		eventsourcing.Upcast(func(v1 movedV1) movedV2 { return movedV2{Place: v1.To} }),
		eventsourcing.Upcast(func(v2 movedV2) moved { return moved{Place: strings.ToUpper(v2.Place)} }),
	)
}

func TestCodecUpcastsEveryEarlierShape(t *testing.T) {
	t.Parallel()
	for schema, payload := range map[int]string{
		1: `{"to":"n 50"}`,
		2: `{"place":"n 50"}`,
		3: `{"place":"N 50","height":0}`,
	} {
		e, err := newCodec().Decode("test/moved", schema, []byte(payload))
		require.NoError(t, err, schema)
		assert.Equal(t, moved{Place: "N 50"}, e, schema)
	}
}

func TestCodecDoesNotUpcastTheCurrentShape(t *testing.T) {
	t.Parallel()
	e, err := newCodec().Decode("test/moved", 3, []byte(`{"place":"lower case stays","height":1.5,"unknown":[]}`))
	require.NoError(t, err)
	assert.Equal(t, moved{Place: "lower case stays", Height: 1.5}, e)
}

func TestCodecEncodesInTheCurrentSchema(t *testing.T) {
	t.Parallel()
	c := newCodec()
	payload, schema, err := c.Encode(moved{Place: "N 50", Height: 2})
	require.NoError(t, err)
	assert.Equal(t, 3, schema)
	assert.JSONEq(t, `{"place":"N 50","height":2}`, string(payload))

	payload, schema, err = c.Encode(rested{})
	require.NoError(t, err)
	assert.Equal(t, 1, schema)
	assert.JSONEq(t, `{}`, string(payload))

	assert.Equal(t, map[string]int{"test/moved": 3, "test/rested": 1}, c.Names())
}

func TestCodecRefusesUnknownEvents(t *testing.T) {
	t.Parallel()
	c := newCodec()
	for _, tt := range []struct {
		name   string
		schema int
	}{{"test/slept", 1}, {"", 1}, {"test/moved", 0}, {"test/moved", -1}, {"test/moved", 4}, {"test/rested", 2}} {
		_, err := c.Decode(tt.name, tt.schema, []byte(`{}`))
		require.ErrorIs(t, err, eventsourcing.ErrUnknownEvent, tt)
		require.ErrorContains(t, err, tt.name)
		assert.False(t, c.Knows(tt.name, tt.schema), tt)
	}
	for what, e := range map[string]stored{
		"a pointer":                  &moved{},
		"another of the same name":   impostor{},
		"one that is not registered": slept{},
	} {
		_, _, err := c.Encode(e)
		require.ErrorIs(t, err, eventsourcing.ErrNotRegistered, what)
		require.ErrorContains(t, err, e.EventName(), what)
	}
}

type slept struct{}

func (slept) EventName() string { return "test/slept" }
func (slept) isStored()         {}

func TestCodecRefusesMalformedPayloads(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{``, `{`, `null`, " null\n", `[]`, `"x"`, `{"place":1,"to":1}`, `{} {}`, "\xff"} {
		for schema := 1; schema <= 3; schema++ {
			_, err := newCodec().Decode("test/moved", schema, []byte(payload))
			require.ErrorContains(t, err, "test/moved", "%q in schema version %d", payload, schema)
			assert.NotErrorIs(t, err, eventsourcing.ErrUnknownEvent)
		}
	}
}

func TestCodecReportsWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	var unsupported *json.UnsupportedValueError
	_, _, err := newCodec().Encode(moved{Height: inf()})
	assert.ErrorAs(t, err, &unsupported)
}

func inf() float64 { zero := 0.0; return 1 / zero }

// of is an event of one kind of things among several.
type of struct {
	kind string

	Place string `json:"place"`
}

func (e of) EventName() string { return e.kind + "/moved" }
func (of) isStored()           {}

func TestADecodedEventKnowsItsName(t *testing.T) {
	t.Parallel()
	codec := eventsourcing.NewCodec[stored](of{kind: "test/ship"}, of{kind: "test/car"})
	for _, kind := range []string{"test/ship", "test/car"} {
		event, err := codec.Decode(kind+"/moved", 1, []byte(`{"place":"N 50"}`))
		require.NoError(t, err)
		assert.Equal(t, of{kind: kind, Place: "N 50"}, event)
	}
	event, err := codec.Decode("test/ship/moved", 1, []byte(`{}`))
	require.NoError(t, err)
	assert.Equal(t, of{kind: "test/ship"}, event, "and has nothing of the one before")
}

func TestJoinedCodecsDecodeAsEachWouldAlone(t *testing.T) {
	t.Parallel()
	joined := eventsourcing.Join(newCodec(), eventsourcing.NewCodec[eventsourcing.Event](turned{}))
	for _, e := range []eventsourcing.Event{moved{Place: "N 50"}, turned{Degrees: 90}} {
		data, schema, err := joined.Encode(e)
		require.NoError(t, err)
		decoded, err := joined.Decode(e.EventName(), schema, data)
		require.NoError(t, err)
		assert.Equal(t, e, decoded)
	}
	old, err := joined.Decode("test/moved", 1, []byte(`{"to":"n 50"}`))
	require.NoError(t, err)
	assert.Equal(t, moved{Place: "N 50"}, old)
	assert.False(t, newCodec().Knows("test/turned", 1), "neither is changed")
	assert.Panics(t, func() { eventsourcing.Join(newCodec(), newCodec()) }, "a name is there twice")
}

// turned is an event of another set.
type turned struct {
	Degrees int `json:"degrees"`
}

func (turned) EventName() string { return "test/turned" }
