package eventsourcing_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// filed has been filedV1, then filedV2. A later build may add members that those do not have.
type (
	filed struct {
		Title string          `json:"title"`
		By    person          `json:"by"`
		Extra json.RawMessage `json:"extra,omitempty"`
		Score json.Number     `json:"score,omitempty"`
	}
	person struct {
		Name string          `json:"name"`
		Born json.RawMessage `json:"born,omitempty"`
	}
	filedV1 struct {
		Heading string   `json:"heading"`
		Author  personV1 `json:"author"`
	}
	personV1 struct{ Name string }
	filedV2  struct {
		Title string `json:"title"`
		By    struct {
			Name string `json:"name"`
		} `json:"by"`
	}

	burnt    struct{}
	burntOld struct {
		How string `json:"how"`
	}
	written struct { // what filed was called once, in two shapes; the second is filedV2
		Text string `json:"text"`
	}
)

func (filed) EventName() string { return "test/filed" }
func (burnt) EventName() string { return "test/burnt" }
func (filed) isStored()         {}
func (burnt) isStored()         {}

func titled(title, by string) (v filedV2) {
	v.Title, v.By.Name = title, by
	return v
}

func newEvolved() *eventsourcing.Codec[stored] {
	return eventsourcing.NewCodec[stored](filed{}).History(filed{},
		eventsourcing.Upcast(func(v1 filedV1) filedV2 { return titled(v1.Heading, v1.Author.Name) }),
		eventsourcing.Upcast(func(v2 filedV2) filed {
			return filed{Title: strings.ToUpper(v2.Title), By: person{Name: v2.By.Name}}
		}),
	).RetireAs("test/written", filed{},
		eventsourcing.Upcast(func(v1 written) filedV2 { return titled(v1.Text, "unknown") }),
		eventsourcing.Upcast(func(same filedV2) filedV2 { return same }),
	).Retire(burnt{}, eventsourcing.Upcast(func(burntOld) burnt { return burnt{} }))
}

// A member that a former shape lacks is what another build added without a new schema version. Had an upcaster dropped
// it, a build that knows it would miss it in old events only.
func TestUpcastingKeepsUnknownMembers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ payload, want string }{
		"nothing unknown": {`{"heading":"a","author":{"Name":"b"}}`, `{"title":"A","by":{"name":"b"}}`},
		"a member": {
			`{"extra":{"deep":[{"x":1}]},"heading":"a","author":{}}`,
			`{"title":"A","by":{"name":""},"extra":{"deep":[{"x":1}]}}`,
		},
		"a number as it is spelled": {
			`{"heading":"","author":{},"score":12345678901234567890.10}`,
			`{"title":"","by":{"name":""},"score":12345678901234567890.10}`,
		},
		"within a member of a later build": {`{"heading":"","author":{},"by":{"born":1}}`, `{"title":"","by":{"name":"","born":1}}`},
		"that the new shape fills":         {`{"heading":"a","author":{},"title":"b","Title":"c","by":7}`, `{"title":"A","by":{"name":""}}`},
		"known in another case":            {`{"HEADING":"a","Author":{"name":"b"}}`, `{"title":"A","by":{"name":"b"}}`},
	} {
		e, err := newEvolved().Decode("test/filed", 1, []byte(tt.payload))
		require.NoError(t, err, name)
		got, err := json.Marshal(e)
		require.NoError(t, err, name)
		assert.Equal(t, tt.want, string(got), name)
	}
}

// lent has taken a name out of an object, and knows what lentV1 and lentV2 leave behind.
type (
	lent struct {
		LentTo string          `json:"lentTo"`
		By     json.RawMessage `json:"by,omitempty"`
		Hidden int             `json:"hidden,omitempty"`
		Kept   int             `json:"kept,omitempty"`
	}
	lentV1 struct {
		By     *person `json:"by"`
		hidden string
		Kept   string `json:"-"`
	}
	lentV2 struct {
		LentTo string `json:"lentTo"`
	}
)

func (lent) EventName() string { return "test/lent" }
func (lent) isStored()         {}

func TestUpcastingKeepsUnknownMembersInTheirPlace(t *testing.T) {
	t.Parallel()
	c := eventsourcing.NewCodec[stored](lent{}).History(lent{},
		eventsourcing.Upcast(func(v1 lentV1) lentV2 { return lentV2{LentTo: v1.By.Name + v1.hidden + v1.Kept} }),
		eventsourcing.Upcast(func(v2 lentV2) lent { return lent{LentTo: v2.LentTo} }))
	for payload, want := range map[string]lent{
		`{"by":{"name":"a","born":1}}`:                  {LentTo: "a"},
		`{"by":{"name":"a","born":1,"height":1.80}}`:    {LentTo: "a", By: json.RawMessage(`{"height":1.80}`)},
		`{"BY":{"NAME":"a"}}`:                           {LentTo: "a"},
		`{"by":{"name":"a"},"lentto":"b","lentTO":"c"}`: {LentTo: "a"},
		`{"by":{"name":"a"},"hidden":1,"kept":2}`:       {LentTo: "a", Hidden: 1, Kept: 2},
	} {
		e, err := c.Decode("test/lent", 1, []byte(payload))
		require.NoError(t, err, payload)
		assert.Equal(t, want, e, payload)
	}
}

// Whatever else an object holds, what is known decodes the same with it as without.
func TestUnknownMembersDoNotChangeWhatIsDecoded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		known := map[string]any{"heading": rapid.String().Draw(t, "heading"), "author": map[string]any{"Name": rapid.String().Draw(t, "name")}}
		plain, _ := json.Marshal(known)
		want, err := newEvolved().Decode("test/filed", 1, plain)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range rapid.MapOf(rapid.StringMatching(`[a-z]{1,3}[_ż][a-z]*`), rapid.Int()).Draw(t, "more") {
			known[name] = map[string]any{"x": value}
		}
		extended, _ := json.Marshal(known)
		got, err := newEvolved().Decode("test/filed", 1, extended)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s decodes as %+v (%v), %s as %+v", extended, got, err, plain, want)
		}
	})
}

func TestRetiredNamesAreReadForEver(t *testing.T) {
	t.Parallel()
	c := newEvolved()
	for schema, payload := range map[int]string{1: `{"text":"a"}`, 2: `{"title":"a","by":{"name":"unknown"}}`} {
		e, err := c.Decode("test/written", schema, []byte(payload))
		require.NoError(t, err, schema)
		assert.Equal(t, filed{Title: "A", By: person{Name: "unknown"}}, e, schema)
	}
	for schema, payload := range map[int]string{1: `{"how":"brightly"}`, 2: `{}`} {
		e, err := c.Decode("test/burnt", schema, []byte(payload))
		require.NoError(t, err, schema)
		assert.Equal(t, burnt{}, e, schema)
	}
	for _, name := range []string{"test/written", "test/burnt"} {
		_, err := c.Decode(name, 3, []byte(`{}`))
		require.ErrorIs(t, err, eventsourcing.ErrUnknownEvent)
		for schema := 1; schema <= 2; schema++ {
			_, err = c.Decode(name, schema, []byte(`{"how":1,"text":1,"title":1}{`))
			require.ErrorContains(t, err, name)
		}
	}
}

func TestRetiredNamesAreNeverWrittenAgain(t *testing.T) {
	t.Parallel()
	_, _, err := newEvolved().Encode(burnt{})
	require.ErrorIs(t, err, eventsourcing.ErrRetiredEvent)
	require.ErrorContains(t, err, "test/burnt")
	_, _, err = newEvolved().Encode(revived{})
	require.ErrorIs(t, err, eventsourcing.ErrRetiredEvent)

	payload, schema, err := newEvolved().Encode(filed{Title: "A"})
	require.NoError(t, err)
	assert.Equal(t, 3, schema, "a retired name adds nothing to its successor")
	assert.JSONEq(t, `{"title":"A","by":{"name":""}}`, string(payload))
}

// TestAFormerShapeIsWrittenWhileTheCurrentOneIsRead: the first release with a new shape writes the former one, which the release
// before it reads, and reads the new one, which the release after it writes.
func TestAFormerShapeIsWrittenWhileTheCurrentOneIsRead(t *testing.T) {
	t.Parallel()
	former := func(f func(filed) filedV1) *eventsourcing.Codec[stored] {
		return newEvolved().WriteFormer(filed{}, eventsourcing.Downcast(f))
	}
	first := former(func(e filed) filedV1 { return filedV1{Heading: strings.ToLower(e.Title), Author: personV1{e.By.Name}} })
	next := newEvolved()
	want := filed{Title: "A", By: person{Name: "b"}}

	payload, schema, err := first.Encode(want)
	require.NoError(t, err)
	assert.Equal(t, 1, schema)
	assert.JSONEq(t, `{"heading":"a","author":{"Name":"b"}}`, string(payload))
	for _, reader := range []*eventsourcing.Codec[stored]{first, next} {
		for _, writer := range []*eventsourcing.Codec[stored]{first, next} {
			payload, schema, err := writer.Encode(want)
			require.NoError(t, err)
			got, err := reader.Decode("test/filed", schema, payload)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		}
	}
	assert.Equal(t, 1, first.Known()[1].Writes)
	assert.Equal(t, next.Names(), first.Names(), "both fold the same states: snapshots are shared")

	_, _, err = first.Encode(filed{Title: "A", By: person{Name: "b", Born: json.RawMessage(`1`)}})
	require.ErrorIs(t, err, eventsourcing.ErrNotWrittenYet, "the former shape has no place for the birth")
	_, _, err = former(func(filed) filedV1 { return filedV1{} }).Encode(want)
	require.ErrorIs(t, err, eventsourcing.ErrNotWrittenYet, "a mistake in the function loses nothing in silence")
}

// revived takes a name that was retired.
type revived struct{}

func (revived) EventName() string { return "test/written" }
func (revived) isStored()         {}

func TestKnownReturnsEveryEventAndShape(t *testing.T) {
	t.Parallel()
	shapes := func(all ...any) (out []reflect.Type) {
		for _, a := range all {
			out = append(out, reflect.TypeOf(a))
		}
		return out
	}
	c := newEvolved()
	assert.Equal(t, []eventsourcing.Known{
		{Name: "test/burnt", Shapes: shapes(burntOld{}, burnt{}), DecodesAs: "test/burnt", Retired: true},
		{Name: "test/filed", Shapes: shapes(filedV1{}, filedV2{}, filed{}), DecodesAs: "test/filed", Writes: 3},
		{Name: "test/written", Shapes: shapes(written{}, filedV2{}), DecodesAs: "test/filed", Retired: true},
	}, c.Known())
	c.Known()[1].Shapes[0] = nil
	assert.NotNil(t, c.Known()[1].Shapes[0])
	assert.Equal(t, map[string]int{"test/burnt": 2, "test/filed": 3, "test/written": 2}, c.Names())
}

func TestRegisteringPanicsOnMistakes(t *testing.T) {
	t.Parallel()
	same := eventsourcing.Upcast(func(v filedV2) filedV2 { return v })
	former := eventsourcing.Downcast(func(filed) filedV2 { return filedV2{} })
	known := newEvolved().Names()
	type codec = *eventsourcing.Codec[stored]
	for want, mistake := range map[string]func(codec){
		"duplicate event name test/moved":                  func(codec) { eventsourcing.NewCodec[stored](moved{}, impostor{}) },
		"eventsourcing: duplicate event name test/burnt":   func(c codec) { c.Retire(burnt{}) },
		"duplicate event name test/filed":                  func(c codec) { c.Retire(filed{}) },
		"eventsourcing: duplicate event name test/written": func(c codec) { c.RetireAs("test/written", filed{}, same) },
		"eventsourcing: duplicate event name test/filed":   func(c codec) { c.RetireAs("test/filed", filed{}, same) },
		"history of eventsourcing_test.slept":              func(c codec) { c.History(slept{}) },
		"history of eventsourcing_test.burnt":              func(c codec) { c.History(burnt{}) },
		"history of eventsourcing_test.revived":            func(c codec) { c.History(revived{}) },
		"retired as eventsourcing_test.slept, which is not registered": func(c codec) {
			c.RetireAs("test/napped", slept{}, same)
		},
		"retired as eventsourcing_test.revived, which is not registered": func(c codec) {
			c.RetireAs("test/napped", revived{}, same)
		},
		"slept is written as eventsourcing_test.filedV2, which is not a former shape": func(c codec) { c.WriteFormer(slept{}, former) },
		"burnt is written as eventsourcing_test.filedV2, which is not a former shape": func(c codec) { c.WriteFormer(burnt{}, former) },
		"filed is written as eventsourcing_test.written, which is not a former shape": func(c codec) {
			c.WriteFormer(filed{}, eventsourcing.Downcast(func(filed) written { return written{} }))
		},
		"filed is written as eventsourcing_test.filed, which is not a former shape": func(c codec) {
			c.WriteFormer(filed{}, eventsourcing.Downcast(func(same filed) filed { return same }))
		},
		"filed is written as eventsourcing_test.filedV1, which is not a former shape": func(c codec) {
			c.WriteFormer(filed{}, eventsourcing.Downcast(func(filedV2) filedV1 { return filedV1{} }))
		},
		"without an upcaster": func(c codec) { c.RetireAs("test/typed", filed{}) },
		"not a shape of eventsourcing_test.filed": func(c codec) {
			c.RetireAs("test/typed", filed{}, eventsourcing.Upcast(func(written) movedV2 { return movedV2{} }))
		},
		"test/typed is upcast from schema version 1 to eventsourcing_test.movedV2, not to eventsourcing_test.filedV2": func(c codec) {
			c.RetireAs("test/typed", filed{}, eventsourcing.Upcast(func(written) movedV2 { return movedV2{} }), same)
		},
		"test/filed is upcast from schema version 1 to eventsourcing_test.movedV2, not to eventsourcing_test.filed": func(c codec) {
			c.History(filed{}, eventsourcing.Upcast(func(movedV1) movedV2 { return movedV2{} }))
		},
	} {
		c := newEvolved()
		assert.Contains(t, panicOf(func() { mistake(c) }), want)
		assert.Equal(t, known, c.Names(), want)
	}
}

func panicOf(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}
