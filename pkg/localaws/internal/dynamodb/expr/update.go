package expr

import (
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// Update is a parsed update expression. It is safe for concurrent use.
type Update struct {
	actions *pathTree[action]
	creates bool
}

// action is the effect of a clause on one path.
type action struct {
	clause string // SET, REMOVE, ADD or DELETE
	target *pathNode
	value  node // nil for REMOVE; a *valueNode for ADD and DELETE
}

// ParseUpdate parses the clauses of an update expression. All its errors are ValidationExceptions.
func ParseUpdate(src string, placeholders *Placeholders) (*Update, error) {
	p, err := newParser(updateExpression, src, "SET", "REMOVE", "ADD", "DELETE")
	if err != nil {
		return nil, err
	}
	var actions []action
	seen := map[string]bool{}
	for ok := true; ok; ok = p.peek().kind != end {
		clause := strings.ToUpper(p.peek().text)
		if actions, err = p.section(actions); err != nil {
			return nil, err
		}
		if seen[clause] {
			keep(&p.repeatedSection, p.label.errorf("The %q section can only be used once in an update expression;", clause))
		}
		seen[clause] = true
	}
	for _, a := range actions {
		if a.value != nil {
			walk(a.value, p.checkUpdateFunction)
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return newUpdate(actions, placeholders)
}

// newUpdate makes all further checks in DynamoDB's order.
func newUpdate(actions []action, placeholders *Placeholders) (*Update, error) {
	for _, a := range actions {
		if err := resolve(a, placeholders); err != nil {
			return nil, err
		}
	}
	paths := make([]path, len(actions))
	for i, a := range actions {
		paths[i] = a.target.path
	}
	tree, err := newPathTree(updateExpression, paths, func(i int) action { return actions[i] })
	if err != nil {
		return nil, err
	}
	for _, a := range actions {
		if err := checkClauseOperand(a); err != nil {
			return nil, err
		}
	}
	for _, a := range actions {
		if a.clause == "SET" {
			if err := checkSetValue(a.value); err != nil {
				return nil, err
			}
		}
	}
	creates := slices.ContainsFunc(actions, func(a action) bool { return a.clause == "SET" || a.clause == "ADD" })
	return &Update{actions: tree, creates: creates}, nil
}

func (p *parser) section(actions []action) ([]action, error) {
	t := p.peek()
	if !p.isKeyword(t) {
		return nil, p.syntaxError()
	}
	p.advance()
	clause := strings.ToUpper(t.text)
	for {
		target, err := p.path()
		if err != nil {
			return nil, err
		}
		value, err := p.clauseValue(clause)
		if err != nil {
			return nil, err
		}
		actions = append(actions, action{clause, target, value})
		if !p.accept(",") {
			return actions, nil
		}
	}
}

func (p *parser) clauseValue(clause string) (node, error) {
	switch clause {
	case "REMOVE":
		return nil, nil //nolint:nilnil // REMOVE has no value, and nil is how an action says so
	case "SET":
		if err := p.expect("="); err != nil {
			return nil, err
		}
		return p.sum()
	}
	t := p.peek()
	if t.kind != valueRef {
		return nil, p.syntaxError()
	}
	p.advance()
	return &valueNode{ref: t.text}, nil
}

// sum is an operand, or two joined by one + or -.
func (p *parser) sum() (node, error) {
	left, err := p.summand()
	if err != nil {
		return nil, err
	}
	op := p.peek()
	if !op.is("+") && !op.is("-") {
		return left, nil
	}
	if !isOperand(left) {
		return nil, p.syntaxError()
	}
	p.advance()
	p.operators++
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	return &sumNode{op: op.text, args: []node{ungroup(left), ungroup(right)}}, nil
}

func (p *parser) summand() (node, error) {
	if p.peek().is("(") {
		return p.parenthesized(p.sum)
	}
	return p.term()
}

func (p *parser) checkUpdateFunction(n node) {
	c, ok := n.(*callNode)
	if !ok {
		return
	}
	_, ofConditions := conditionFunctions(c.name)
	_, known := updateFunctions(c.name)
	switch {
	case ofConditions:
		keep(&p.badFunction, p.label.errorf("The function is not allowed in an update expression; function: %s", c.name))
	case !known:
		keep(&p.badFunction, p.label.errorf("Invalid function name; function: %s", c.name))
	}
}

func resolve(a action, placeholders *Placeholders) error {
	if err := placeholders.resolvePath(updateExpression, a.target); err != nil || a.value == nil {
		return err
	}
	var first error
	walk(a.value, func(n node) {
		switch n := n.(type) {
		case *pathNode:
			keep(&first, placeholders.resolvePath(updateExpression, n))
		case *valueNode:
			keep(&first, placeholders.resolveValue(updateExpression, n))
		case *callNode, *compareNode, *logicNode, *sumNode, *group:
		}
	})
	return first
}

// checkClauseOperand checks the operand of ADD, a number or set, or of DELETE, a set.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
func checkClauseOperand(a action) error {
	if a.clause != "ADD" && a.clause != "DELETE" {
		return nil
	}
	k := operandKind(a.value)
	if k.Element() != 0 || a.clause == "ADD" && k == attr.Number {
		return nil
	}
	return updateExpression.errorf(
		"Incorrect operand type for operator or function; operator: %s, operand type: %s, typeSet: ALLOWED_FOR_%s_OPERAND",
		a.clause, longName(k), a.clause)
}

// longName returns a type's name in the errors of ADD and DELETE.
func longName(k attr.Kind) string {
	switch k {
	case attr.String:
		return "STRING"
	case attr.Number:
		return "NUMBER"
	case attr.Binary:
		return "BINARY"
	case attr.Bool:
		return "BOOLEAN"
	case attr.Null:
		return "NULL"
	case attr.List:
		return "LIST"
	case attr.Map:
		return "MAP"
	case attr.StringSet, attr.NumberSet, attr.BinarySet:
	}
	return k.String()
}

// checkSetValue checks the operands of functions and sums, inner nodes first.
func checkSetValue(n node) error {
	switch n := n.(type) {
	case *group:
		return checkSetValue(n.inner)
	case *sumNode:
		if err := checkSetValues(n.args); err != nil {
			return err
		}
		return checker{label: updateExpression}.checkKinds(n.op, n.args, attr.Number)
	case *callNode:
		if err := checkSetValues(n.args); err != nil {
			return err
		}
		if want, _ := updateFunctions(n.name); want != len(n.args) {
			return updateExpression.operandCount(n.name, len(n.args))
		}
		if n.name == "list_append" {
			return checker{label: updateExpression}.checkKinds(n.name, n.args, attr.List)
		}
		if _, ok := n.args[0].(*pathNode); !ok {
			return updateExpression.needsPath(n.name)
		}
	case *pathNode, *valueNode, *compareNode, *logicNode:
	}
	return nil
}

func checkSetValues(nodes []node) error {
	for _, n := range nodes {
		if err := checkSetValue(n); err != nil {
			return err
		}
	}
	return nil
}

// Creates reports whether the update makes an item that does not exist yet. One that only removes and deletes does not:
// https://github.com/scylladb/scylladb/issues/5862
func (u *Update) Creates() bool { return u.creates }

// TopLevel returns the names of the top-level attributes that the update writes, sorted.
func (u *Update) TopLevel() []string { return slices.Clone(u.actions.topLevel()) }

// Project returns the values of the item at the updated paths, for the ReturnValues UPDATED_OLD and UPDATED_NEW.
func (u *Update) Project(item attr.Item) attr.Item { return u.actions.project(item) }
