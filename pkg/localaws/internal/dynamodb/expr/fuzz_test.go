package expr

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// requireRefusal requires a ValidationException.
func requireRefusal(t *testing.T, err error) {
	t.Helper()
	var e *awsjson.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "ValidationException", e.Code)
}

func FuzzExpressions(f *testing.F) {
	f.Fuzz(func(t *testing.T, src string) {
		names := map[string]string{"#a": "a", "#b": "b c", "#l": "l"}
		values := Values{
			":n": attr.IntValue(1), ":s": attr.StringValue("S"), ":t": attr.BoolValue(true), ":l": attr.ListValue([]attr.Value{attr.IntValue(1)}),
			":m": attr.MapValue(map[string]attr.Value{"a": attr.IntValue(1)}),
		}
		p, err := NewPlaceholders(names, values)
		require.NoError(t, err)
		var i attr.Item
		const wire = `{"a":{"N":"1"},"b":{"S":"x"},"l":{"L":[{"M":{"a":{"N":"2"}}},{"S":"y"}]},"m":{"M":{"a":{"L":[]}}},"s":{"NS":["1","2"]}}`
		require.NoError(t, json.Unmarshal([]byte(wire), &i))

		if c, err := ParseCondition("ConditionExpression", src, p); err != nil {
			requireRefusal(t, err)
		} else {
			c.Matches(i)
		}
		if k, err := ParseKeyCondition(src, p, "a", "b"); err != nil {
			requireRefusal(t, err)
		} else {
			require.False(t, k.Hash.IsZero())
			k.Range.Matches(attr.IntValue(1))
			k.Range.Bounds()
		}
		if projection, err := ParseProjection(src, p); err != nil {
			requireRefusal(t, err)
		} else {
			require.LessOrEqual(t, projection.Apply(i).Size(), i.Size())
		}
		if u, err := ParseUpdate(src, p); err != nil {
			requireRefusal(t, err)
		} else if after, err := u.Apply(i); err != nil {
			requireRefusal(t, err)
		} else {
			u.Project(after)
			_, err := json.Marshal(after)
			require.NoError(t, err, "every value of the new item is one")
		}
		var untouched attr.Item
		require.NoError(t, json.Unmarshal([]byte(wire), &untouched))
		require.True(t, untouched.Equal(i), "the item stays as it is")
	})
}
