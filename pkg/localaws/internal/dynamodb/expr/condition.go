// Package expr parses and evaluates DynamoDB's condition, filter, key-condition, projection and update expressions.
//
// The errors and their wording follow the developer guide
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html) and observed responses of the service.
package expr

import (
	"slices"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// Condition is a parsed condition or filter expression; a nil one matches every item. It is safe for concurrent use.
type Condition struct {
	root  node
	names []string
}

// ParseCondition parses a "ConditionExpression" or "FilterExpression", as kind says. All its errors are
// ValidationExceptions.
func ParseCondition(kind, src string, p *Placeholders) (*Condition, error) {
	root, err := parseCondition(label(kind), src, p)
	if err != nil {
		return nil, err
	}
	return &Condition{root: root, names: attributes(root)}, nil
}

// Matches evaluates the condition; the item may be nil.
func (c *Condition) Matches(item attr.Item) bool { return c == nil || holds(c.root, item) }

// TopLevel returns the names of the top-level attributes in the condition, sorted and without duplicates.
func (c *Condition) TopLevel() []string {
	if c == nil {
		return nil
	}
	return slices.Clone(c.names)
}

func attributes(root node) []string {
	var names []string
	walk(root, func(n node) {
		if n, ok := n.(*pathNode); ok {
			names = append(names, n.path[0].name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// walk visits n and then its descendants from left to right.
func walk(n node, visit func(node)) {
	visit(n)
	switch n := n.(type) {
	case *callNode:
		walkAll(n.args, visit)
	case *compareNode:
		walkAll(n.args, visit)
	case *sumNode:
		walkAll(n.args, visit)
	case *logicNode:
		walkAll(n.terms, visit)
	case *group:
		walk(n.inner, visit)
	case *pathNode, *valueNode:
	}
}

func walkAll(nodes []node, visit func(node)) {
	for _, n := range nodes {
		walk(n, visit)
	}
}

func parseCondition(l label, src string, placeholders *Placeholders) (node, error) {
	p, err := newParser(l, src, "AND", "OR", "NOT", "BETWEEN", "IN")
	if err != nil {
		return nil, err
	}
	root, err := p.disjunction()
	if err != nil {
		return nil, err
	}
	if p.peek().kind != end || !isCondition(root) {
		return nil, p.syntaxError()
	}
	p.badFunction = checkFunctions(l, root, true)
	if err := p.finish(); err != nil {
		return nil, err
	}
	c := checker{l, placeholders}
	return root, c.check(root)
}

// disjunction parses the lowest precedence; the order is OR, AND, NOT, comparison. It also returns a lone operand, since "(a"
// may begin a condition or an operand, depending on what follows.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
func (p *parser) disjunction() (node, error) { return p.joined("OR", p.conjunction) }
func (p *parser) conjunction() (node, error) { return p.joined("AND", p.negation) }

func (p *parser) joined(op string, term func() (node, error)) (node, error) {
	first, err := term()
	if err != nil {
		return nil, err
	}
	l := &logicNode{op: op, terms: []node{first}}
	for p.peek().isWord(op) {
		if !isCondition(l.terms[0]) {
			return nil, p.syntaxError()
		}
		p.advance()
		p.operators++
		t, err := term()
		if err != nil {
			return nil, err
		}
		if !isCondition(t) {
			return nil, p.syntaxError()
		}
		l.terms = append(l.terms, t)
	}
	if len(l.terms) == 1 {
		return first, nil
	}
	return l, nil
}

func (p *parser) negation() (node, error) {
	if !p.acceptWord("NOT") {
		return p.comparison()
	}
	p.operators++
	term, err := p.negation()
	if err != nil {
		return nil, err
	}
	if !isCondition(term) {
		return nil, p.syntaxError()
	}
	return &logicNode{op: "NOT", terms: []node{term}}, nil
}

func (p *parser) comparison() (node, error) {
	left, err := p.primary()
	if err != nil {
		return nil, err
	}
	t := p.peek()
	comparator := t.kind == operator && slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, t.text)
	if !comparator && !t.isWord("BETWEEN") && !t.isWord("IN") {
		return left, nil
	}
	if !isOperand(left) {
		return nil, p.syntaxError()
	}
	p.advance()
	p.operators++
	args := []node{ungroup(left)}
	switch {
	case comparator:
		return p.compared(t.text, args)
	case t.isWord("BETWEEN"):
		return p.between(args)
	default:
		return p.in(args)
	}
}

func (p *parser) primary() (node, error) {
	if p.peek().is("(") {
		return p.parenthesized(p.disjunction)
	}
	return p.term()
}

func (p *parser) compared(op string, args []node) (node, error) {
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	return &compareNode{op: op, args: append(args, ungroup(right))}, nil
}

func (p *parser) between(args []node) (node, error) {
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if !p.acceptWord("AND") {
		return nil, p.syntaxError()
	}
	high, err := p.operand()
	if err != nil {
		return nil, err
	}
	return &compareNode{op: "BETWEEN", args: append(args, ungroup(low), ungroup(high))}, nil
}

func (p *parser) in(args []node) (node, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	for {
		candidate, err := p.operand()
		if err != nil {
			return nil, err
		}
		args = append(args, ungroup(candidate))
		if !p.accept(",") {
			break
		}
	}
	return &compareNode{op: "IN", args: args}, p.expect(")")
}

// isCondition reports whether n is a condition; any function may be one.
func isCondition(n node) bool {
	switch n := ungroup(n).(type) {
	case *compareNode, *logicNode, *callNode:
		return true
	case *group:
		return isCondition(n.inner)
	case *pathNode, *valueNode, *sumNode:
	}
	return false
}

// isOperand reports whether n can be compared; any function may be an operand.
func isOperand(n node) bool {
	switch ungroup(n).(type) {
	case *pathNode, *valueNode, *callNode:
		return true
	case *compareNode, *logicNode, *sumNode, *group:
	}
	return false
}
