package dynamodb

import (
	"fmt"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/expr"
)

// Writes of one item may have Expected and AttributeUpdates instead of expressions; the Kinesis Client Library's lease table does.
// They are translated into expressions, as AWS's DAX clients do: https://github.com/aws/aws-dax-go
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.html; the texts of errors
// are those of https://github.com/architect/dynalite/tree/main/test, a test suite that was run against AWS.

type legacyConditions struct {
	Expected            map[string]expectation
	ConditionalOperator string
}

type expectation struct {
	Value              attr.Value
	Exists             *bool
	ComparisonOperator string
	AttributeValueList []attr.Value
}

type attributeUpdate struct {
	Action string
	Value  attr.Value
}

func (c *legacyConditions) checkLegacy(k *constraints) {
	k.oneOf(c.ConditionalOperator, "conditionalOperator", "OR", "AND")
	for _, name := range sortedKeys(c.Expected) {
		k.oneOf(c.Expected[name].ComparisonOperator, "expected."+name+".member.comparisonOperator", "IN", "NULL", "BETWEEN", "LT",
			"NOT_CONTAINS", "EQ", "GT", "NOT_NULL", "NE", "LE", "BEGINS_WITH", "GE", "CONTAINS")
	}
}

// translation collects the placeholders of translated expressions.
type translation struct {
	names  map[string]string
	values expr.Values
}

func (x *translation) name(attribute string) string {
	ref := fmt.Sprintf("#n%d", len(x.names))
	x.names[ref] = attribute
	return ref
}

func (x *translation) value(v attr.Value) string {
	ref := fmt.Sprintf(":v%d", len(x.values))
	x.values[ref] = v
	return ref
}

// translate replaces the legacy members of a request by a ConditionExpression and returns the UpdateExpression.
func (o *writeOptions) translate(updates map[string]attributeUpdate, update *string) (*string, error) {
	var legacy, expressions []string
	for _, member := range []struct {
		name    string
		present bool
		list    *[]string
	}{
		{"AttributeUpdates", updates != nil, &legacy},
		{"Expected", o.Expected != nil, &legacy},
		{"UpdateExpression", update != nil, &expressions},
		{"ConditionExpression", o.ConditionExpression != nil, &expressions},
	} {
		if member.present {
			*member.list = append(*member.list, member.name)
		}
	}
	switch {
	case legacy != nil && expressions != nil:
		return nil, invalid("Can not use both expression and non-expression parameters in the same request: "+
			"Non-expression parameters: {%s} Expression parameters: {%s}", strings.Join(legacy, ", "), strings.Join(expressions, ", "))
	case o.ConditionalOperator != "" && o.Expected == nil:
		return nil, invalidParameter("ConditionalOperator cannot be used without Filter or Expected")
	case o.ConditionalOperator != "" && len(o.Expected) == 1:
		return nil, invalidParameter("ConditionalOperator can only be used when Filter or Expected has two or more elements")
	case legacy == nil || o.ExpressionAttributeNames != nil || o.ExpressionAttributeValues != nil:
		return update, nil
	}
	x := &translation{map[string]string{}, expr.Values{}}
	condition, err := x.condition(o.Expected, o.ConditionalOperator)
	if err != nil {
		return nil, err
	}
	if update, err = x.update(updates); err != nil {
		return nil, err
	}
	o.ConditionExpression = condition
	if len(x.names) > 0 {
		o.ExpressionAttributeNames = x.names
	}
	if len(x.values) > 0 {
		o.ExpressionAttributeValues = x.values
	}
	return update, nil
}

// condition returns nil if nothing is expected.
func (x *translation) condition(expected map[string]expectation, operator string) (*string, error) {
	var terms []string
	for _, name := range sortedKeys(expected) {
		e := expected[name]
		operands, err := e.check(name)
		if err != nil {
			return nil, err
		}
		terms = append(terms, x.term(name, e.ComparisonOperator, e.Exists != nil && !*e.Exists, operands))
	}
	if terms == nil {
		return nil, nil //nolint:nilnil // as documented
	}
	joiner := " AND "
	if operator == "OR" {
		joiner = " OR "
	}
	text := strings.Join(terms, joiner)
	return &text, nil
}

// check returns the operands.
func (e expectation) check(name string) ([]attr.Value, error) {
	hasValue, operator := !e.Value.IsZero(), e.ComparisonOperator
	switch {
	case hasValue && e.AttributeValueList != nil:
		return nil, invalidParameter("Value and AttributeValueList cannot be used together for Attribute: %s", name)
	case e.Exists != nil && operator != "":
		return nil, invalidParameter("Exists and ComparisonOperator cannot be used together for Attribute: %s", name)
	case operator == "" && e.AttributeValueList != nil:
		return nil, invalidParameter("AttributeValueList can only be used with a ComparisonOperator for Attribute: %s", name)
	case operator == "" && e.Exists != nil && !*e.Exists:
		if hasValue {
			return nil, invalidParameter("Value cannot be used when Exists is false for Attribute: %s", name)
		}
		return nil, nil
	case operator == "" && !hasValue:
		exists := "null"
		if e.Exists != nil {
			exists = "true"
		}
		return nil, invalidParameter("Value must be provided when Exists is %s for Attribute: %s", exists, name)
	}
	operands := e.AttributeValueList
	if hasValue {
		operands = []attr.Value{e.Value}
	}
	fits := len(operands) == 1
	switch operator {
	case "NULL", "NOT_NULL":
		fits = len(operands) == 0
	case "BETWEEN":
		fits = len(operands) == 2
	case "IN":
		fits = len(operands) > 0
	}
	switch {
	case fits:
		return operands, nil
	case operands == nil:
		return nil, invalidParameter("Value or AttributeValueList must be used with ComparisonOperator: %s for Attribute: %s", operator, name)
	default:
		return nil, invalidParameter("Invalid number of argument(s) for the %s ComparisonOperator", operator)
	}
}

func (x *translation) term(attribute, operator string, absent bool, operands []attr.Value) string {
	name := x.name(attribute)
	refs := make([]string, len(operands))
	for i, v := range operands {
		refs[i] = x.value(v)
	}
	comparator := map[string]string{"": "=", "EQ": "=", "NE": "<>", "LE": "<=", "LT": "<", "GE": ">=", "GT": ">"}[operator]
	switch {
	case absent || operator == "NULL":
		return "attribute_not_exists(" + name + ")"
	case operator == "NOT_NULL":
		return "attribute_exists(" + name + ")"
	case operator == "CONTAINS":
		return "contains(" + name + ", " + refs[0] + ")"
	case operator == "NOT_CONTAINS":
		return "(attribute_exists(" + name + ") AND NOT contains(" + name + ", " + refs[0] + "))"
	case operator == "BEGINS_WITH":
		return "begins_with(" + name + ", " + refs[0] + ")"
	case operator == "IN":
		return name + " IN (" + strings.Join(refs, ", ") + ")"
	case operator == "BETWEEN":
		return "(" + name + " BETWEEN " + refs[0] + " AND " + refs[1] + ")"
	default:
		return name + " " + comparator + " " + refs[0]
	}
}

// update returns nil if nothing is updated.
func (x *translation) update(updates map[string]attributeUpdate) (*string, error) {
	clauses := map[string][]string{}
	for _, name := range sortedKeys(updates) {
		u := updates[name]
		kind := u.Value.TypeName()
		isSet := u.Value.Kind().Element() != 0
		switch {
		case u.Value.IsZero() && u.Action == "DELETE":
			clauses["REMOVE"] = append(clauses["REMOVE"], x.name(name))
		case u.Value.IsZero():
			return nil, invalidParameter("Only DELETE action is allowed when no attribute value is specified")
		case u.Action == "DELETE" && !isSet:
			return nil, invalidParameter("DELETE action with value is not supported for the type %s", kind)
		case u.Action == "ADD" && kind == "L":
			return nil, awsjson.NotSupported("the action ADD for a list")
		case u.Action == "ADD" && !isSet && kind != "N":
			return nil, invalidParameter("ADD action is not supported for the type %s", kind)
		case u.Action == "ADD" || u.Action == "DELETE":
			clauses[u.Action] = append(clauses[u.Action], x.name(name)+" "+x.value(u.Value))
		case u.Action == "" || u.Action == "PUT":
			clauses["SET"] = append(clauses["SET"], x.name(name)+" = "+x.value(u.Value))
		default:
			k := &constraints{}
			k.oneOf(u.Action, "attributeUpdates."+name+".member.action", "ADD", "PUT", "DELETE")
			return nil, k.err()
		}
	}
	if len(clauses) == 0 {
		return nil, nil //nolint:nilnil // as documented
	}
	sections := make([]string, 0, len(clauses))
	for _, clause := range sortedKeys(clauses) {
		sections = append(sections, clause+" "+strings.Join(clauses[clause], ", "))
	}
	text := strings.Join(sections, " ")
	return &text, nil
}
