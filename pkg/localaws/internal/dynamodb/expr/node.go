package expr

import (
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// node is a part of a parsed expression. Placeholders are resolved in place, once, before anything is evaluated.
//
//sumtype:decl
type node interface{ isNode() }

type (
	// pathNode is a document path. It has #names until it is resolved.
	pathNode struct{ path path }
	// valueNode is a :value.
	valueNode struct {
		ref   string
		value attr.Value
	}
	// callNode is a function call.
	callNode struct {
		name string
		args []node
	}
	// compareNode is a comparison, BETWEEN or IN; args[0] is the operand on the left.
	compareNode struct {
		op   string
		args []node
	}
	// sumNode is a + b or a - b.
	sumNode struct {
		op   string
		args []node
	}
	// logicNode is AND, OR (two terms or more) or NOT (one).
	logicNode struct {
		op    string
		terms []node
	}
	// group is a node in parentheses.
	group struct{ inner node }
)

func (*pathNode) isNode()    {}
func (*valueNode) isNode()   {}
func (*callNode) isNode()    {}
func (*compareNode) isNode() {}
func (*sumNode) isNode()     {}
func (*logicNode) isNode()   {}
func (*group) isNode()       {}

func ungroup(n node) node {
	if g, ok := n.(*group); ok {
		return g.inner
	}
	return n
}

// operandKind returns the kind of an operand, or 0 if it depends on the item.
func operandKind(n node) attr.Kind {
	switch n := n.(type) {
	case *valueNode:
		return n.value.Kind()
	case *callNode:
		switch n.name {
		case "size":
			return attr.Number
		case "list_append":
			return attr.List
		}
	case *sumNode:
		return attr.Number
	case *group:
		return operandKind(n.inner)
	case *pathNode, *compareNode, *logicNode:
	}
	return 0
}

func (l label) operandCount(name string, n int) error {
	return l.errorf("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, n)
}

func (l label) needsPath(name string) error {
	return l.errorf("Operator or function requires a document path; operator or function: %s", name)
}

func (l label) operandType(name, kind string) error {
	return l.errorf("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", name, kind)
}
