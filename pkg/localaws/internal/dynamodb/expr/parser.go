package expr

import (
	"slices"
	"strconv"
	"strings"
)

// Limits of every expression.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-expression-parameters
const (
	maxBytes      = 4096
	maxOperators  = 300
	maxInOperands = 100
	maxPathDepth  = 32
	maxListIndex  = 1<<31 - 1
)

// parser is a recursive-descent parser for one expression.
//
// Syntax errors end the parse at once. DynamoDB reports other mistakes only if the syntax is correct, one kind of mistake
// after the other, so the parser keeps the first of each kind. Checks that need the placeholders follow.
type parser struct {
	label    label
	src      string
	tokens   []token
	at       int
	keywords []string // words that cannot be attribute names in this grammar

	operators int
	depth     int // of parentheses

	redundantParens, badFunction, reservedWord, repeatedSection error
}

func newParser(l label, src string, keywords ...string) (*parser, error) {
	if strings.TrimSpace(src) == "" {
		return nil, l.errorf("The expression can not be empty;")
	}
	if len(src) > maxBytes {
		return nil, l.errorf("Expression size has exceeded the maximum allowed size; expression size: %d", len(src))
	}
	return &parser{label: l, src: src, tokens: lex(src), keywords: keywords}, nil
}

// finish returns the first mistake other than syntax errors, in DynamoDB's order.
func (p *parser) finish() error {
	if p.peek().kind != end {
		return p.syntaxError()
	}
	if p.operators > maxOperators {
		return p.tooManyOperators()
	}
	for _, err := range []error{p.redundantParens, p.badFunction, p.reservedWord, p.repeatedSection} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) advance() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

func (p *parser) accept(text string) bool {
	ok := p.peek().is(text)
	if ok {
		p.advance()
	}
	return ok
}

func (p *parser) acceptWord(keyword string) bool {
	ok := p.peek().isWord(keyword)
	if ok {
		p.advance()
	}
	return ok
}

func (p *parser) expect(text string) error {
	if !p.accept(text) {
		return p.syntaxError()
	}
	return nil
}

// syntaxError returns an error about the next token that shows it with its neighbours.
func (p *parser) syntaxError() error {
	t := p.peek()
	from, to := t.start, t.end
	if p.at > 0 {
		from = p.tokens[p.at-1].start
	}
	if t.kind != end && p.tokens[p.at+1].kind != end {
		to = p.tokens[p.at+1].end
	}
	if t.kind == end && p.at > 0 {
		to = p.tokens[p.at-1].end
	}
	return p.label.errorf(`Syntax error; token: "%s", near: "%s"`, t.text, p.src[from:to])
}

func (p *parser) tooManyOperators() error {
	return p.label.errorf("The expression contains too many operators; operator count: %d", p.operators)
}

func keep(first *error, err error) {
	if *first == nil {
		*first = err
	}
}

// parenthesized parses inner between parentheses. Redundant parentheses around a result of inner are a mistake.
func (p *parser) parenthesized(inner func() (node, error)) (node, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	p.depth++
	if p.depth > maxOperators { // enough, since redundant parentheses are refused
		p.operators = p.depth
		return nil, p.tooManyOperators()
	}
	n, err := inner()
	if err != nil {
		return nil, err
	}
	if err := p.expect(")"); err != nil {
		return nil, err
	}
	p.depth--
	if _, ok := n.(*group); ok {
		keep(&p.redundantParens, p.label.errorf("The expression has redundant parentheses;"))
		return n, nil
	}
	return &group{n}, nil
}

// operand parses a path, a :value, a function or one of them in parentheses.
func (p *parser) operand() (node, error) {
	if p.peek().is("(") {
		return p.parenthesized(p.operand)
	}
	return p.term()
}

// term is an operand without parentheses.
func (p *parser) term() (node, error) {
	t := p.peek()
	switch {
	case t.kind == valueRef:
		p.advance()
		return &valueNode{ref: t.text}, nil
	case t.kind == word && p.tokens[p.at+1].is("(") && !p.isKeyword(t):
		return p.call()
	}
	return p.path()
}

func (p *parser) call() (node, error) {
	name := p.advance().text
	p.operators++
	if err := p.expect("("); err != nil {
		return nil, err
	}
	c := &callNode{name: name}
	for {
		arg, err := p.operand()
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, ungroup(arg))
		if !p.accept(",") {
			break
		}
	}
	return c, p.expect(")")
}

func (p *parser) isKeyword(t token) bool { return slices.ContainsFunc(p.keywords, t.isWord) }

// path parses a document path such as a.#b[3].
func (p *parser) path() (*pathNode, error) {
	n := &pathNode{}
	for {
		t := p.peek()
		if t.kind != nameRef && (t.kind != word || p.isKeyword(t)) {
			return nil, p.syntaxError()
		}
		p.advance()
		if t.kind == word && reserved(t.text) {
			keep(&p.reservedWord, p.label.errorf("Attribute name is a reserved keyword; reserved keyword: %s", t.text))
		}
		n.path = append(n.path, step{name: t.text})
		if err := p.indexes(n); err != nil {
			return nil, err
		}
		if !p.accept(".") {
			return n, nil
		}
	}
}

func (p *parser) indexes(n *pathNode) error {
	for p.accept("[") {
		t := p.peek()
		if t.kind != digits {
			return p.syntaxError()
		}
		p.advance()
		if err := p.expect("]"); err != nil {
			return err
		}
		index, err := strconv.ParseInt(t.text, 10, 64)
		if err != nil || index > maxListIndex {
			return p.label.errorf("List index is not within the allowable range; index: [%s]", t.text)
		}
		n.path = append(n.path, step{index: int(index), inList: true})
	}
	return nil
}
