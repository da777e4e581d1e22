package expr

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// holds evaluates a checked condition.
func holds(n node, item attr.Item) bool {
	isTrue := func(t node) bool { return holds(t, item) }
	switch n := n.(type) {
	case *group:
		return holds(n.inner, item)
	case *logicNode:
		switch n.op {
		case "NOT":
			return !isTrue(n.terms[0])
		case "AND":
			return !slices.ContainsFunc(n.terms, func(t node) bool { return !isTrue(t) })
		default:
			return slices.ContainsFunc(n.terms, isTrue)
		}
	case *compareNode:
		return compare(n.op, operands(n.args, item))
	case *callNode:
		return call(n.name, operands(n.args, item))
	case *pathNode, *valueNode, *sumNode:
	}
	return false
}

// operands returns the zero Value for operands that the item lacks.
func operands(nodes []node, item attr.Item) []attr.Value {
	values := make([]attr.Value, len(nodes))
	for i, n := range nodes {
		values[i] = operandValue(n, item)
	}
	return values
}

func operandValue(n node, item attr.Item) attr.Value {
	switch n := n.(type) {
	case *pathNode:
		return n.path.find(item)
	case *valueNode:
		return n.value
	case *callNode: // size is the only function that is an operand
		return size(operandValue(n.args[0], item))
	case *compareNode, *logicNode, *sumNode, *group:
	}
	return attr.Value{}
}

// compare compares two operands. A missing operand is unequal to everything, also to another missing one, and has no order.
func compare(op string, args []attr.Value) bool {
	switch op {
	case "=":
		return equal(args[0], args[1])
	case "<>":
		return !equal(args[0], args[1])
	case "IN":
		return slices.ContainsFunc(args[1:], func(v attr.Value) bool { return equal(args[0], v) })
	case "BETWEEN":
		return ordered(">=", args[0], args[1]) && ordered("<=", args[0], args[2])
	default:
		return ordered(op, args[0], args[1])
	}
}

func equal(a, b attr.Value) bool { return !a.IsZero() && a.Equal(b) }

func ordered(op string, a, b attr.Value) bool {
	order, ok := a.Compare(b)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

func call(name string, args []attr.Value) bool {
	switch name {
	case "attribute_exists":
		return !args[0].IsZero()
	case "attribute_not_exists":
		return args[0].IsZero()
	case "attribute_type":
		return args[0].TypeName() == args[1].Text()
	case "begins_with":
		return beginsWith(args[0], args[1])
	default:
		return contains(args[0], args[1])
	}
}

func beginsWith(v, prefix attr.Value) bool {
	switch {
	case v.Kind() != prefix.Kind():
		return false
	case v.Kind() == attr.String:
		return strings.HasPrefix(v.Text(), prefix.Text())
	case v.Kind() == attr.Binary:
		return bytes.HasPrefix(v.Bytes(), prefix.Bytes())
	}
	return false
}

func contains(v, part attr.Value) bool {
	switch v.Kind() {
	case attr.String:
		return part.Kind() == attr.String && strings.Contains(v.Text(), part.Text())
	case attr.Binary:
		return part.Kind() == attr.Binary && bytes.Contains(v.Bytes(), part.Bytes())
	case attr.List, attr.StringSet, attr.NumberSet, attr.BinarySet:
		return !part.IsZero() && v.Contains(part)
	case attr.Number, attr.Bool, attr.Null, attr.Map:
	}
	return false
}

// size returns the zero Value for a value without a size. The size of a string is in UTF-16 code units, as observed
// (https://github.com/ExtendDB/extenddb/pull/67).
func size(v attr.Value) attr.Value {
	switch v.Kind() {
	case attr.String:
		return attr.IntValue(int64(len(utf16.Encode([]rune(v.Text())))))
	case attr.Binary:
		return attr.IntValue(int64(len(v.Bytes())))
	case attr.List, attr.StringSet, attr.NumberSet, attr.BinarySet:
		return attr.IntValue(int64(len(v.List())))
	case attr.Map:
		return attr.IntValue(int64(len(v.Map())))
	case attr.Number, attr.Bool, attr.Null:
	}
	return attr.Value{}
}
