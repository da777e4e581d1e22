package expr

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// item decodes attributes in wire form.
func item(t require.TestingT, wire string) attr.Item {
	var i attr.Item
	require.NoError(t, json.Unmarshal([]byte(wire), &i), wire)
	return i
}

// placeholders takes :values in wire form, or "" for none.
func placeholders(t require.TestingT, names map[string]string, values string) *Placeholders {
	var v Values
	if values != "" {
		require.NoError(t, json.Unmarshal([]byte(values), &v), values)
	}
	p, err := NewPlaceholders(names, v)
	require.NoError(t, err)
	return p
}

func requireValidation(t require.TestingT, err error, message string) {
	var e *awsjson.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "ValidationException", e.Code)
	require.Equal(t, message, e.Message)
}

func TestMalformedPlaceholdersAreRefused(t *testing.T) {
	t.Parallel()
	ok := map[string]attr.Value{":v": attr.NullValue()}
	for want, p := range map[string]struct {
		names  map[string]string
		values map[string]attr.Value
	}{
		"ExpressionAttributeNames must not be empty":                                       {map[string]string{}, nil},
		"ExpressionAttributeValues must not be empty":                                      {nil, map[string]attr.Value{}},
		`ExpressionAttributeNames contains invalid key: Syntax error; key: "a"`:            {map[string]string{"a": "a"}, ok},
		`ExpressionAttributeNames contains invalid key: Syntax error; key: "#"`:            {map[string]string{"#": "a"}, ok},
		`ExpressionAttributeNames contains invalid key: Syntax error; key: "#a-b"`:         {map[string]string{"#a-b": "a"}, ok},
		`ExpressionAttributeValues contains invalid key: Syntax error; key: "#v"`:          {nil, map[string]attr.Value{"#v": attr.NullValue()}},
		"ExpressionAttributeNames contains invalid value: Empty attribute name for key #a": {map[string]string{"#a": ""}, nil},
		"ExpressionAttributeValues contains invalid value: " + emptyValue + " for key :v":  {nil, map[string]attr.Value{":v": {}}},
	} {
		_, err := NewPlaceholders(p.names, p.values)
		requireValidation(t, err, want)
	}
	_, err := NewPlaceholders(map[string]string{"#4_g": "a"}, map[string]attr.Value{":_": attr.NullValue()})
	require.NoError(t, err)
}

const emptyValue = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"

func TestPlaceholdersMustBeUsed(t *testing.T) {
	t.Parallel()
	const values = `{":a":{"S":"a"},":b":{"S":"b"},":c":{"S":"c"}}`
	p := placeholders(t, map[string]string{"#a": "a", "#b": "b", "#c": "c"}, values)
	requireValidation(t, p.CheckUsed(), "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b, #c}")
	_, err := ParseCondition("ConditionExpression", "#a = :a", p)
	require.NoError(t, err)
	_, err = ParseProjection("x.#b", p)
	require.NoError(t, err)
	requireValidation(t, p.CheckUsed(), "Value provided in ExpressionAttributeNames unused in expressions: keys: {#c}")
	_, err = ParseUpdate("ADD y :b REMOVE #c", placeholders(t, map[string]string{"#c": "c"}, `{":b":{"N":"1"}}`))
	require.NoError(t, err)
	_, err = ParseUpdate("SET y = if_not_exists(#c, :b)", p)
	require.NoError(t, err)
	requireValidation(t, p.CheckUsed(), "Value provided in ExpressionAttributeValues unused in expressions: keys: {:c}")
	_, err = ParseKeyCondition("id = :c", p, "id", "")
	require.NoError(t, err)
	require.NoError(t, p.CheckUsed())
	var none *Placeholders
	require.NoError(t, none.CheckUsed())
}

func TestInvalidValuesNameTheirPlaceholder(t *testing.T) {
	t.Parallel()
	const wrong = "ExpressionAttributeValues contains invalid value: "
	for wire, want := range map[string]string{
		`{":b":{}}`:               wrong + emptyValue + " for key :b",
		`{":b":null}`:             wrong + emptyValue + " for key :b",
		`{":b":{"SS":[]}}`:        wrong + "One or more parameter values were invalid: An string set  may not be empty for key :b",
		`{":b":{"NS":["1","1"]}}`: wrong + "Input collection contains duplicates for key :b",
	} {
		var v Values
		requireValidation(t, json.Unmarshal([]byte(wire), &v), want)
	}
	var v Values
	var e *awsjson.Error
	for _, wire := range []string{`[]`, `{":b":{"S":1}}`, "{\":b\":{\"S\":\"\xff\"}}"} {
		require.ErrorAs(t, json.Unmarshal([]byte(wire), &v), &e)
		assert.Equal(t, "SerializationException", e.Code)
	}
	require.NoError(t, json.Unmarshal([]byte(`null`), &v))
	assert.Nil(t, v)
	require.NoError(t, json.Unmarshal([]byte(`{":b":{"S":"x"}}`), &v))
	assert.Equal(t, Values{":b": attr.StringValue("x")}, v)
}

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html
func TestReservedWordsAreRefusedAsNames(t *testing.T) {
	t.Parallel()
	assert.Len(t, reservedSet(), 573)
	for _, word := range []string{"name", "Status", "ABORT", "zone", "Size", "ttl"} {
		assert.True(t, reserved(word), word)
	}
	for _, word := range []string{"id", "stream_id", "remove", "version", "", "names2"} {
		assert.False(t, reserved(word), word)
	}
}
