package dynamodb

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.Expected.html
func TestExpectedIsACondition(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.putUser("a", `,"n":{"N":"5"},"name":{"S":"Ada"},"set":{"SS":["x","y"]}`)
	for expected, holds := range map[string]bool{
		`{"none":{"Exists":false}}`: true,
		`{"n":{"Exists":false}}`:    false,
		`{"n":{"Value":{"N":"5"}}}`: true,
		`{"n":{"Value":{"N":"6"}}}`: false,
		`{"name":{"Value":{"S":"Ada"},"Exists":true},"n":{"Value":{"N":"5"}}}`:                                                       true,
		`{"name":{"Value":{"S":"Ada"}},"n":{"Value":{"N":"6"}}}`:                                                                     false,
		`{"n":{"ComparisonOperator":"EQ","Value":{"N":"5"}}}`:                                                                        true,
		`{"n":{"ComparisonOperator":"NE","AttributeValueList":[{"N":"5"}]}}`:                                                         false,
		`{"n":{"ComparisonOperator":"LE","AttributeValueList":[{"N":"5"}]}}`:                                                         true,
		`{"n":{"ComparisonOperator":"LT","AttributeValueList":[{"N":"5"}]}}`:                                                         false,
		`{"n":{"ComparisonOperator":"GE","AttributeValueList":[{"N":"5"}]}}`:                                                         true,
		`{"n":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"5"}]}}`:                                                         false,
		`{"n":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"5"},{"N":"6"}]}}`:                                          true,
		`{"n":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"6"},{"N":"7"}]},"name":{"ComparisonOperator":"NOT_NULL"}}`: false,
		`{"n":{"ComparisonOperator":"IN","AttributeValueList":[{"N":"4"},{"N":"5"}]}}`:                                               true,
		`{"n":{"ComparisonOperator":"IN","AttributeValueList":[{"N":"4"}]}}`:                                                         false,
		`{"none":{"ComparisonOperator":"NULL"}}`:                                                                                     true,
		`{"n":{"ComparisonOperator":"NULL"}}`:                                                                                        false,
		`{"n":{"ComparisonOperator":"NOT_NULL"}}`:                                                                                    true,
		`{"name":{"ComparisonOperator":"BEGINS_WITH","AttributeValueList":[{"S":"A"}]}}`:                                             true,
		`{"name":{"ComparisonOperator":"BEGINS_WITH","AttributeValueList":[{"S":"d"}]}}`:                                             false,
		`{"set":{"ComparisonOperator":"CONTAINS","AttributeValueList":[{"S":"x"}]}}`:                                                 true,
		`{"set":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"S":"x"}]}}`:                                             false,
		`{"set":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"S":"z"}]}}`:                                             true,
		`{"none":{"ComparisonOperator":"NOT_CONTAINS","AttributeValueList":[{"S":"z"}]}}`:                                            false,
		`{"n":{"Value":{"N":"6"}},"name":{"Value":{"S":"Ada"}}},"ConditionalOperator":"OR"`:                                          true,
		`{"n":{"Value":{"N":"6"}},"name":{"Value":{"S":"Ada"}}},"ConditionalOperator":"AND"`:                                         false,
		`{}`: true,
	} {
		for operation, target := range map[string]string{
			"UpdateItem": `"Key":{"id":{"S":"a"}}`,
			"PutItem":    `"Item":{"id":{"S":"a"},"n":{"N":"5"},"name":{"S":"Ada"},"set":{"SS":["x","y"]}}`,
		} {
			status, out := s.do(operation, `{"TableName":"users",`+target+`,"Expected":`+expected+`}`)
			if holds {
				assert.Equal(t, http.StatusOK, status, "%s %s: %v", operation, expected, out)
			} else {
				assert.Equal(t, namespace+"#ConditionalCheckFailedException", out["__type"], "%s %s", operation, expected)
			}
		}
	}
	s.fails("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"Expected":{"n":{"Value":{"N":"6"}}}}`,
		"ConditionalCheckFailedException", "The conditional request failed")
	s.ok("DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"Expected":{"n":{"Value":{"N":"5"}}}}`)
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.AttributeUpdates.html
func TestAttributeUpdatesAreAnUpdate(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.putUser("a", `,"n":{"N":"5"},"old":{"S":"x"},"set":{"SS":["x","y"]}`)
	out := s.ok("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"ReturnValues":"ALL_NEW","AttributeUpdates":{
		"n":{"Action":"ADD","Value":{"N":"2"}},"old":{"Action":"DELETE"},"set":{"Action":"DELETE","Value":{"SS":["y"]}},
		"a.b":{"Action":"PUT","Value":{"S":"a name with a dot"}},"size":{"Value":{"S":"a reserved name"}}},
		"Expected":{"n":{"Value":{"N":"5"}}}}`)
	assert.Equal(t, object{
		"id": object{"S": "a"}, "n": object{"N": "7"}, "set": object{"SS": []any{"x"}},
		"a.b": object{"S": "a name with a dot"}, "size": object{"S": "a reserved name"},
	}, out["Attributes"])
	s.ok("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"none"}},"AttributeUpdates":{"x":{"Action":"DELETE"}}}`)
	assert.NotContains(t, s.ok("GetItem", `{"TableName":"users","Key":{"id":{"S":"none"}}}`), "Item", "nothing happens")
	s.ok("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"none"}},"AttributeUpdates":{"x":{"Action":"ADD","Value":{"N":"1"}}}}`)
	assert.Contains(t, s.ok("GetItem", `{"TableName":"users","Key":{"id":{"S":"none"}}}`), "Item")
}

// Source: https://github.com/architect/dynalite/tree/main/test, a test suite that was run against AWS.
func TestMalformedLegacyMembersAreRefused(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	const wrong = "One or more parameter values were invalid: "
	for members, message := range map[string]string{
		`"Expected":{"a":{}}`: wrong +
			"Value must be provided when Exists is null for Attribute: a",
		`"Expected":{"a":{"Exists":true}}`: wrong +
			"Value must be provided when Exists is true for Attribute: a",
		`"Expected":{"a":{"Exists":false,"Value":{"S":"x"}}}`: wrong +
			"Value cannot be used when Exists is false for Attribute: a",
		`"Expected":{"a":{"AttributeValueList":[{"S":"x"}]}}`: wrong +
			"AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
		`"Expected":{"a":{"Exists":true,"ComparisonOperator":"EQ"}}`: wrong +
			"Exists and ComparisonOperator cannot be used together for Attribute: a",
		`"Expected":{"a":{"ComparisonOperator":"EQ"}}`: wrong +
			"Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
		`"Expected":{"a":{"Value":{"S":"x"},"ComparisonOperator":"EQ","AttributeValueList":[{"S":"x"}]}}`: wrong +
			"Value and AttributeValueList cannot be used together for Attribute: a",
		`"Expected":{"a":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"S":"x"}]}}`: wrong +
			"Invalid number of argument(s) for the BETWEEN ComparisonOperator",
		`"ConditionalOperator":"OR"`: wrong +
			"ConditionalOperator cannot be used without Filter or Expected",
		`"ConditionalOperator":"OR","Expected":{"a":{"Exists":false}}`: wrong +
			"ConditionalOperator can only be used when Filter or Expected has two or more elements",
		`"ConditionExpression":"attribute_exists(id)","AttributeUpdates":{},"Expected":{"a":{"Exists":false}}`: "Can not use both expression " +
			"and non-expression parameters in the same request: Non-expression parameters: {AttributeUpdates, Expected} " +
			"Expression parameters: {ConditionExpression}",
		`"Expected":{"a":{"Exists":false}},"ExpressionAttributeNames":{"#a":"a"}`: "ExpressionAttributeNames " +
			"can only be specified when using expressions",
		`"AttributeUpdates":{"a":{"Action":"PUT"}}`: wrong +
			"Only DELETE action is allowed when no attribute value is specified",
		`"AttributeUpdates":{"a":{"Action":"DELETE","Value":{"S":"x"}}}`: wrong +
			"DELETE action with value is not supported for the type S",
		`"AttributeUpdates":{"a":{"Action":"ADD","Value":{"S":"x"}}}`: wrong +
			"ADD action is not supported for the type S",
		`"AttributeUpdates":{"id":{"Value":{"S":"x"}}}`: wrong +
			"Cannot update attribute id. This attribute is part of the key",
	} {
		s.fails("UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},`+members+`}`, "ValidationException", message)
	}
}
