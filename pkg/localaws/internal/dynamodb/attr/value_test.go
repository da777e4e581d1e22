package attr

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func stringSet(t require.TestingT, members ...string) Value {
	v, err := StringSetValue(members)
	require.NoError(t, err)
	return v
}

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func TestSizesFollowTheDeveloperGuide(t *testing.T) {
	t.Parallel()
	numbers, err := NumberSetValue([]string{"12345", "0"})
	require.NoError(t, err)
	binaries, err := BinarySetValue([][]byte{{1, 2}, {3}})
	require.NoError(t, err)
	for _, c := range []struct {
		value Value
		want  int
	}{
		{StringValue(""), 0},
		{StringValue("aé𝄞"), 1 + 2 + 4},
		{IntValue(0), 1},
		{IntValue(7), 2},
		{IntValue(12000), 2},
		{mustNumber(t, "-1234.5"), 4},
		{BinaryValue([]byte{0, 1, 2}), 3},
		{BoolValue(false), 1},
		{NullValue(), 1},
		{stringSet(t, "ab", "c"), 3},
		{numbers, 4 + 1},
		{binaries, 3},
		{ListValue(nil), 3},
		{ListValue([]Value{StringValue("ab"), NullValue()}), 3 + 1 + 2 + 1 + 1},
		{MapValue(nil), 3},
		{MapValue(map[string]Value{"key": StringValue("ab")}), 3 + 1 + 3 + 2},
	} {
		assert.Equal(t, c.want, c.value.Size(), "%s %+v", c.value.TypeName(), c.value)
	}
	assert.Equal(t, 2+3+1+1, Item{"id": StringValue("abc"), "b": BoolValue(true)}.Size())
}

func TestDepthCountsTheValueItself(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 1, IntValue(1).Depth())
	assert.Equal(t, 1, stringSet(t, "a").Depth())
	assert.Equal(t, 1, ListValue(nil).Depth())
	assert.Equal(t, 3, MapValue(map[string]Value{"a": ListValue([]Value{IntValue(1)}), "b": IntValue(2)}).Depth())
}

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html#HowItWorks.DataTypes.SetTypes
func TestEmptySetsAndDuplicatesAreRefused(t *testing.T) {
	t.Parallel()
	const wrong = "One or more parameter values were invalid: "
	_, err := StringSetValue(nil)
	requireValidation(t, err, wrong+"An string set  may not be empty")
	_, err = NumberSetValue(nil)
	requireValidation(t, err, wrong+"An number set  may not be empty")
	_, err = BinarySetValue(nil)
	requireValidation(t, err, wrong+"Binary sets should not be empty")
	_, err = StringSetValue([]string{"b", "a", "b"})
	requireValidation(t, err, wrong+"Input collection [b, a, b] contains duplicates.")
	_, err = BinarySetValue([][]byte{[]byte("b"), []byte("b")})
	requireValidation(t, err, wrong+"Input collection [Yg==, Yg==]of type BS contains duplicates.")
	_, err = NumberSetValue([]string{"1", "2", "1.0"})
	requireValidation(t, err, "Input collection contains duplicates")
	_, err = NumberSetValue([]string{"1", "b"})
	requireValidation(t, err, "The parameter cannot be converted to a numeric value: b")
}

func TestSetsAreUnordered(t *testing.T) {
	t.Parallel()
	assert.True(t, stringSet(t, "a", "b").Equal(stringSet(t, "b", "a")))
	assert.False(t, stringSet(t, "a", "b").Equal(stringSet(t, "a", "c")))
	assert.False(t, stringSet(t, "a", "b").Equal(stringSet(t, "a")))
}

func TestSetOperationsAgreeWithMaps(t *testing.T) {
	t.Parallel()
	members := rapid.SliceOfNDistinct(rapid.SampledFrom(strings.Split("abcdef", "")), 1, 6, rapid.ID[string])
	rapid.Check(t, func(t *rapid.T) {
		a, b := members.Draw(t, "a"), members.Draw(t, "b")
		before := stringSet(t, a...)
		union := map[string]bool{}
		rest := map[string]bool{}
		for _, m := range a {
			union[m], rest[m] = true, true
		}
		for _, m := range b {
			union[m] = true
			delete(rest, m)
		}
		x, y := stringSet(t, a...), stringSet(t, b...)
		got, ok := x.Union(y)
		require.True(t, ok)
		requireMembers(t, union, got)
		got, ok = x.Without(y)
		require.True(t, ok)
		requireMembers(t, rest, got)
		require.Equal(t, before, x, "operands stay as they are")
	})
	_, ok := stringSet(t, "a").Union(IntValue(1))
	assert.False(t, ok)
	_, ok = ListValue(nil).Without(ListValue(nil))
	assert.False(t, ok)
}

func requireMembers(t require.TestingT, want map[string]bool, got Value) {
	if len(want) == 0 {
		require.True(t, got.IsZero(), "there is no empty set")
		return
	}
	require.Equal(t, StringSet, got.Kind())
	require.Len(t, got.List(), len(want))
	for member := range want {
		require.True(t, got.Contains(StringValue(member)), member)
	}
	texts := make([]string, 0, len(want))
	for member := range want {
		texts = append(texts, member)
	}
	require.True(t, got.Equal(stringSet(t, texts...)), "in canonical order")
}

func TestClonesAreIndependent(t *testing.T) {
	t.Parallel()
	item := Item{"a": IntValue(1)}
	clone := item.Clone()
	clone["b"] = IntValue(2)
	assert.True(t, item.Equal(Item{"a": IntValue(1)}))
	assert.False(t, item.Equal(clone))
	assert.Nil(t, Item(nil).Clone())
}
