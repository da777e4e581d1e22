package attr

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
func TestValuesEncodeAsTheyWereDecoded(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{
		`{"S":"Hello"}`, `{"S":""}`, `{"N":"123.45"}`, `{"B":"dGhpcyB0ZXh0"}`, `{"B":""}`, `{"BOOL":true}`, `{"BOOL":false}`, `{"NULL":true}`,
		`{"SS":["Giraffe","Hippo"]}`, `{"SS":[""]}`, `{"NS":["-19","7.5","42.2"]}`, `{"BS":["","U3Vubnk="]}`,
		`{"L":[]}`, `{"M":{}}`, `{"L":[{"S":"Cookies"},{"N":"3.14159"}]}`, `{"M":{"Age":{"N":"35"},"Name":{"S":"Joe"}}}`,
		`{"S":"é𝄞"}`, `{"S":"�"}`,
	} {
		var v Value
		require.NoError(t, json.Unmarshal([]byte(wire), &v), wire)
		got, err := json.Marshal(v)
		require.NoError(t, err)
		assert.Equal(t, wire, string(got))
	}
	var v Value
	require.NoError(t, json.Unmarshal([]byte(`{"S":"\ud834\udd1e \\ud834"}`), &v))
	assert.Equal(t, `𝄞 \ud834`, v.Text())
	require.NoError(t, json.Unmarshal([]byte(`{"S":null, "N":"1", "unknown":1}`), &v))
	assert.Equal(t, IntValue(1), v)
}

func TestNilContentsRoundTrip(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]Value{
		"nil binary": BinaryValue(nil), "nil list": ListValue(nil), "nil map": MapValue(nil),
	} {
		wire, err := json.Marshal(v)
		require.NoError(t, err)
		var got Value
		require.NoError(t, json.Unmarshal(wire, &got), "%s: %s", name, wire)
		assert.True(t, v.Equal(got), name)
	}
	_, err := json.Marshal(Value{})
	require.Error(t, err)
}

// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html
func TestInvalidValuesAreRefused(t *testing.T) {
	t.Parallel()
	const (
		empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
		wrong = "One or more parameter values were invalid: "
	)
	for wire, want := range map[string]string{
		`{}`:             empty,
		`{"a":""}`:       empty,
		`{"s":"x"}`:      empty,
		`{"S":null}`:     empty,
		`null`:           empty,
		`{"M":{"a":{}}}`: empty,
		`{"L":[{}]}`:     empty,
		`{"L":[null]}`:   empty,
		`{"S":"a","N":"1"}`: "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the " +
			"supported datatypes",
		`{"NULL":false}`:            wrong + "Null attribute value types must have the value of true",
		`{"SS":[]}`:                 wrong + "An string set  may not be empty",
		`{"M":{"":{"S":"a"}}}`:      wrong + "Empty attribute name",
		`{"L":[{"NS":["1","01"]}]}`: "Input collection contains duplicates",
		`{"N":"x"}`:                 "The parameter cannot be converted to a numeric value: x",
		nested(32): "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels " +
			"beyond supported limit",
	} {
		var v Value
		requireValidation(t, json.Unmarshal([]byte(wire), &v), want)
		assert.True(t, v.IsZero(), wire)
	}
}

// nested wraps a string in the given number of maps and lists.
// The limit is 32 levels: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes
func nested(wraps int) string {
	return strings.Repeat(`{"M":{"a":{"L":[`, wraps/2) + strings.Repeat(`{"M":{"a":`, wraps%2) + `{"S":"leaf"}` +
		strings.Repeat(`}}`, wraps%2) + strings.Repeat(`]}}}`, wraps/2)
}

func TestNestingLimitIs32Levels(t *testing.T) {
	t.Parallel()
	var v Value
	require.NoError(t, json.Unmarshal([]byte(nested(31)), &v))
	assert.Equal(t, 32, v.Depth())
	var item Item
	require.NoError(t, json.Unmarshal([]byte(`{"x":`+nested(31)+`}`), &item))
	require.Error(t, json.Unmarshal([]byte(`{"x":`+nested(32)+`}`), &item))
}

func TestJSONOfAnotherShapeIsRefused(t *testing.T) {
	t.Parallel()
	for _, wire := range []string{
		`"a"`, `[]`, `{"S":1}`, `{"N":1}`, `{"BOOL":"true"}`, `{"B":"?"}`, `{"B":"YQ"}`, `{"BS":["?"]}`, `{"SS":"a"}`, `{"SS":[null]}`,
		`{"NS":[1]}`,
		`{"L":{}}`, `{"M":[]}`,
		`{"S":"\ud834"}`, `{"S":"\udd1e\ud834"}`, `{"S":"\ud834x"}`, `{"M":{"\ud834":{"S":"a"}}}`, "{\"S\":\"\xff\"}",
		"{\"M\":{\"\xff\":{\"S\":\"a\"}}}",
	} {
		var v Value
		requireSerialization(t, json.Unmarshal([]byte(wire), &v), wire)
		var item Item
		requireSerialization(t, json.Unmarshal([]byte(`{"a":`+wire+`}`), &item), wire)
	}
	var item Item
	requireSerialization(t, json.Unmarshal([]byte("{\"\xff\":{\"S\":\"a\"}}"), &item), "name")
	requireSerialization(t, json.Unmarshal([]byte(`[]`), &item), "list")
	require.NoError(t, json.Unmarshal([]byte(`null`), &item))
	assert.Nil(t, item)
}

func requireSerialization(t *testing.T, err error, wire string) {
	t.Helper()
	var e *awsjson.Error
	require.ErrorAs(t, err, &e, wire)
	require.Equal(t, "SerializationException", e.Code, wire)
}

// anyValue draws values of every kind.
func anyValue(depth int) *rapid.Generator[Value] {
	return rapid.Custom(func(t *rapid.T) Value {
		scalar := anyScalar().Draw(t, "scalar")
		last := 5
		if depth == 0 {
			last = 3
		}
		switch rapid.IntRange(0, last).Draw(t, "kind") {
		case 0:
			return BoolValue(rapid.Bool().Draw(t, "flag"))
		case 1:
			return NullValue()
		case 2:
			kind := map[Kind]Kind{String: StringSet, Number: NumberSet, Binary: BinarySet}[scalar.Kind()]
			set, err := newSet(kind, []Value{scalar})
			require.NoError(t, err)
			return set
		case 4:
			return ListValue(rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "list"))
		case 5:
			return MapValue(rapid.MapOfN(rapid.StringN(1, 3, -1), anyValue(depth-1), 0, 3).Draw(t, "map"))
		default:
			return scalar
		}
	})
}

func TestValuesAreUnchangedByEncodingAndDecoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue(3).Draw(t, "value")
		wire, err := json.Marshal(v)
		require.NoError(t, err)
		var got Value
		require.NoError(t, json.Unmarshal(wire, &got))
		require.True(t, v.Equal(got), "%s", wire)
		require.Equal(t, v.Size(), got.Size())
		require.Equal(t, v.Depth(), got.Depth())
	})
}

func FuzzValueJSON(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Value
		if err := json.Unmarshal(data, &v); err != nil {
			if jsontext.Value(data).IsValid() {
				var e *awsjson.Error
				require.ErrorAs(t, err, &e)
			}
			return
		}
		require.True(t, utf8.Valid(data))
		wire, err := json.Marshal(v)
		require.NoError(t, err)
		var again Value
		require.NoError(t, json.Unmarshal(wire, &again))
		require.True(t, v.Equal(again), "%s became %s", data, wire)
		require.LessOrEqual(t, v.Depth(), MaxDepth)
	})
}
