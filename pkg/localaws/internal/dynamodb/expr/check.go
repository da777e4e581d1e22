package expr

import (
	"encoding/base64"
	"slices"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// conditionFunctions returns the number of operands of a function of conditions.
func conditionFunctions(name string) (operands int, ok bool) {
	switch name {
	case "attribute_exists", "attribute_not_exists", "size":
		return 1, true
	case "attribute_type", "begins_with", "contains":
		return 2, true
	}
	return 0, false
}

// updateFunctions returns the number of operands of a function of update expressions.
func updateFunctions(name string) (operands int, ok bool) {
	switch name {
	case "if_not_exists", "list_append":
		return 2, true
	}
	return 0, false
}

// checkFunctions reports the first function that is unknown or misplaced. Only size is an operand; all others are conditions.
func checkFunctions(l label, n node, asCondition bool) error {
	switch n := n.(type) {
	case *callNode:
		_, known := conditionFunctions(n.name)
		_, ofUpdates := updateFunctions(n.name)
		switch {
		case ofUpdates:
			return l.errorf("The function is not allowed in a condition expression; function: %s", n.name)
		case !known:
			return l.errorf("Invalid function name; function: %s", n.name)
		case asCondition == (n.name == "size"):
			return l.errorf("The function is not allowed to be used this way in an expression; function: %s", n.name)
		}
		return checkAllFunctions(l, n.args, false)
	case *compareNode:
		return checkAllFunctions(l, n.args, false)
	case *logicNode:
		return checkAllFunctions(l, n.terms, true)
	case *group:
		return checkFunctions(l, n.inner, asCondition)
	case *pathNode, *valueNode, *sumNode:
	}
	return nil
}

func checkAllFunctions(l label, nodes []node, asCondition bool) error {
	for _, n := range nodes {
		if err := checkFunctions(l, n, asCondition); err != nil {
			return err
		}
	}
	return nil
}

// checker resolves placeholders and checks operands from left to right, inner nodes first.
type checker struct {
	label        label
	placeholders *Placeholders
}

func (c checker) check(n node) error {
	switch n := n.(type) {
	case *pathNode:
		return c.placeholders.resolvePath(c.label, n)
	case *valueNode:
		return c.placeholders.resolveValue(c.label, n)
	case *callNode:
		if err := c.checkAll(n.args); err != nil {
			return err
		}
		return c.checkCall(n)
	case *compareNode:
		if err := c.checkAll(n.args); err != nil {
			return err
		}
		return c.checkCompare(n)
	case *logicNode:
		return c.checkAll(n.terms)
	case *group:
		return c.check(n.inner)
	case *sumNode: // of updates only
	}
	return nil
}

func (c checker) checkAll(nodes []node) error {
	for _, n := range nodes {
		if err := c.check(n); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) checkCall(n *callNode) error {
	if want, _ := conditionFunctions(n.name); want != len(n.args) {
		return c.label.operandCount(n.name, len(n.args))
	}
	switch n.name {
	case "attribute_exists", "attribute_not_exists", "attribute_type":
		if _, ok := n.args[0].(*pathNode); !ok {
			return c.label.needsPath(n.name)
		}
	}
	if err := c.checkDistinct(n.name, n.args); err != nil {
		return err
	}
	switch n.name {
	case "attribute_type":
		return c.checkTypeName(n.args[1])
	case "begins_with":
		return c.checkKinds(n.name, n.args, attr.String, attr.Binary)
	case "size":
		return c.checkKinds(n.name, n.args, attr.String, attr.Binary, attr.List, attr.Map,
			attr.StringSet, attr.NumberSet, attr.BinarySet)
	}
	return nil
}

// typeNames are in the order of DynamoDB's errors.
const typeNames = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"

func (c checker) checkTypeName(n node) error {
	v, ok := n.(*valueNode)
	switch {
	case !ok && operandKind(n) == 0:
		return c.label.operandType("attribute_type", typeNames)
	case operandKind(n) != attr.String:
		return c.label.operandType("attribute_type", operandKind(n).String())
	}
	if _, ok := attr.ParseKind(v.value.Text()); !ok {
		return c.label.errorf("Invalid attribute type name found; type: %s, valid types: %s", v.value.Text(), typeNames)
	}
	return nil
}

// checkKinds accepts operands whose kind depends on the item.
func (c checker) checkKinds(op string, args []node, kinds ...attr.Kind) error {
	for _, a := range args {
		if k := operandKind(a); k != 0 && !slices.Contains(kinds, k) {
			return c.label.operandType(op, k.String())
		}
	}
	return nil
}

func (c checker) checkDistinct(op string, args []node) error {
	first, ok := args[0].(*pathNode)
	if !ok {
		return nil
	}
	for _, a := range args[1:] {
		if a, ok := a.(*pathNode); ok && slices.Equal(a.path, first.path) {
			return c.label.errorf("The first operand must be distinct from the remaining operands for this operator or function; "+
				"operator: %s, first operand: %s", op, first.path)
		}
	}
	return nil
}

func (c checker) checkCompare(n *compareNode) error {
	if n.op == "IN" && len(n.args)-1 > maxInOperands {
		return c.label.errorf("The IN operator is provided with too many operands; number of operands: %d", len(n.args)-1)
	}
	if err := c.checkDistinct(n.op, n.args); err != nil {
		return err
	}
	switch n.op {
	case "=", "<>", "IN":
		return nil
	}
	if err := c.checkKinds(n.op, n.args, attr.String, attr.Number, attr.Binary); err != nil {
		return err
	}
	if n.op == "BETWEEN" {
		return c.checkBounds(n.args[1], n.args[2])
	}
	return nil
}

func (c checker) checkBounds(low, high node) error {
	l, ok := low.(*valueNode)
	h, also := high.(*valueNode)
	if !ok || !also {
		return nil
	}
	const text = "The BETWEEN operator requires %s; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s"
	order, comparable := l.value.Compare(h.value)
	switch {
	case !comparable:
		return c.label.errorf(text, "same data type for lower and upper bounds", describe(l.value), describe(h.value))
	case order > 0:
		return c.label.errorf(text, "upper bound to be greater than or equal to lower bound", describe(l.value), describe(h.value))
	}
	return nil
}

func describe(v attr.Value) string {
	text := v.Text()
	if v.Kind() == attr.Binary {
		text = base64.StdEncoding.EncodeToString(v.Bytes())
	}
	return "{" + v.TypeName() + ":" + text + "}"
}
