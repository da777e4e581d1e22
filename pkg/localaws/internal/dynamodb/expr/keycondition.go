package expr

import (
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// KeyCondition is a parsed key-condition expression: one partition and, if Range is not nil, some of its sort keys. The
// caller must check that the values have the types of the key schema.
type KeyCondition struct {
	Hash  attr.Value
	Range *RangeCondition
}

// RangeCondition restricts the sort key; a nil one matches all.
type RangeCondition struct {
	Op       string       // =, <, <=, >, >=, BETWEEN or begins_with; the key is the left operand
	Operands []attr.Value // two for BETWEEN, else one
}

// Matches reports whether a sort key satisfies the condition.
func (r *RangeCondition) Matches(key attr.Value) bool {
	switch {
	case r == nil:
		return true
	case r.Op == "begins_with":
		return beginsWith(key, r.Operands[0])
	default:
		return compare(r.Op, append([]attr.Value{key}, r.Operands...))
	}
}

// Bounds returns the bounds of the sort keys that match; nil means no bound. All keys within them match, except for
// begins_with, which has only a lower bound: the matches are the first keys after it.
func (r *RangeCondition) Bounds() (low, high *attr.Value, lowInclusive, highInclusive bool) {
	if r == nil {
		return nil, nil, false, false
	}
	first := &r.Operands[0]
	switch r.Op {
	case "=":
		return first, first, true, true
	case "<":
		return nil, first, false, false
	case "<=":
		return nil, first, false, true
	case ">":
		return first, nil, false, false
	case "BETWEEN":
		return first, &r.Operands[1], true, true
	default: // >= and begins_with
		return first, nil, true, false
	}
}

// keyTerm is a condition on one attribute.
type keyTerm struct {
	name string
	RangeCondition
}

// ParseKeyCondition parses the condition on a key whose attributes are hash and, unless it is "", rng. All its errors
// are ValidationExceptions.
func ParseKeyCondition(src string, p *Placeholders, hash, rng string) (*KeyCondition, error) {
	root, err := parseCondition(keyConditionExpression, src, p)
	if err != nil {
		return nil, err
	}
	terms, err := keyTerms(root, nil)
	if err != nil {
		return nil, err
	}
	return newKeyCondition(terms, hash, rng)
}

func newKeyCondition(terms []keyTerm, hash, rng string) (*KeyCondition, error) {
	if len(terms) > 2 {
		return nil, invalid("Conditions can be of length 1 or 2 only")
	}
	find := func(name string) *RangeCondition {
		for i := range terms {
			if terms[i].name == name {
				return &terms[i].RangeCondition
			}
		}
		return nil
	}
	onHash := find(hash)
	if onHash == nil {
		return nil, invalid("Query condition missed key schema element: %s", hash)
	}
	if onHash.Op != "=" {
		return nil, invalid("Query key condition not supported")
	}
	k := &KeyCondition{Hash: onHash.Operands[0]}
	if len(terms) == 1 {
		return k, nil
	}
	if rng == "" {
		return nil, invalid("Query key condition not supported")
	}
	if k.Range = find(rng); k.Range == nil {
		return nil, invalid("Query condition missed key schema element: %s", rng)
	}
	return k, nil
}

// keyTerms appends the terms that n joins by AND.
func keyTerms(n node, terms []keyTerm) ([]keyTerm, error) {
	switch n := n.(type) {
	case *group:
		return keyTerms(n.inner, terms)
	case *logicNode:
		if n.op != "AND" {
			return nil, badKeyOperator(n.op)
		}
		for _, t := range n.terms {
			var err error
			if terms, err = keyTerms(t, terms); err != nil {
				return nil, err
			}
		}
		return terms, nil
	case *compareNode:
		if n.op == "<>" || n.op == "IN" {
			return nil, badKeyOperator(n.op)
		}
		return appendKeyTerm(terms, n.op, n.args)
	case *callNode:
		if n.name != "begins_with" {
			return nil, badKeyOperator(n.name)
		}
		return appendKeyTerm(terms, n.name, n.args)
	case *pathNode, *valueNode, *sumNode:
	}
	return terms, nil
}

func badKeyOperator(op string) error {
	return invalid("Invalid operator used in KeyConditionExpression: %s", op)
}

func appendKeyTerm(terms []keyTerm, op string, args []node) ([]keyTerm, error) {
	t, err := newKeyTerm(op, args)
	if err != nil {
		return nil, err
	}
	for _, other := range terms {
		if other.name == t.name {
			return nil, invalid("KeyConditionExpressions must only contain one condition per key")
		}
	}
	return append(terms, t), nil
}

func newKeyTerm(op string, args []node) (keyTerm, error) {
	const text = "Invalid condition in KeyConditionExpression: "
	t := keyTerm{RangeCondition: RangeCondition{Op: op}}
	_, keyFirst := args[0].(*pathNode)
	if (op == "BETWEEN" || op == "begins_with") && !keyFirst {
		return t, invalid(text+"%s operator must have the key attribute as its first operand", op)
	}
	for _, a := range args {
		switch a := a.(type) {
		case *pathNode:
			if t.name != "" {
				return t, invalid(text + "Multiple attribute names used in one condition")
			}
			if len(a.path) > 1 {
				return t, invalid("KeyConditionExpressions cannot have conditions on nested attributes")
			}
			t.name = a.path[0].name
		case *valueNode:
			t.Operands = append(t.Operands, a.value)
		case *callNode, *compareNode, *logicNode, *sumNode, *group:
			return t, invalid("KeyConditionExpressions cannot contain nested operations")
		}
	}
	if t.name == "" {
		return t, invalid(text + "No key attribute specified")
	}
	if !keyFirst {
		t.Op = mirrored(op)
	}
	return t, nil
}

// mirrored is the comparator with its operands swapped.
func mirrored(op string) string {
	switch op {
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	}
	return op
}
