package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

type tokenKind uint8

const (
	end       tokenKind = iota
	word                // attribute name, function name or keyword
	nameRef             // #name
	valueRef            // :value
	digits              // list index
	operator            // comparator or punctuation
	character           // any other character; not valid in expressions
)

type token struct {
	kind       tokenKind
	text       string
	start, end int // offsets in the source
}

func (t token) is(text string) bool { return t.kind == operator && t.text == text }

// isWord ignores case, as keywords do.
func (t token) isWord(keyword string) bool {
	return t.kind == word && strings.EqualFold(t.text, keyword)
}

// lex never fails: invalid input becomes a character token, which no grammar accepts. The last token is end.
//
// An attribute name starts with a letter, so "_id" is a syntax error at the underscore.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ExpressionAttributeNames.html
func lex(src string) []token {
	tokens := make([]token, 0, len(src)/4+1) // more than most have
	for i := 0; i < len(src); {
		if strings.IndexByte(" \t\r\n", src[i]) >= 0 {
			i++
			continue
		}
		kind, n := next(src[i:])
		tokens = append(tokens, token{kind, src[i : i+n], i, i + n})
		i += n
	}
	return append(tokens, token{end, "<EOF>", len(src), len(src)})
}

// next returns the kind and length of the token that s starts with.
func next(s string) (tokenKind, int) {
	switch c := s[0]; {
	case isLetter(c):
		return word, span(s, 0)
	case isDigit(c):
		n := 1
		for n < len(s) && isDigit(s[n]) {
			n++
		}
		return digits, n
	case c == '#' && span(s, 1) > 1:
		return nameRef, span(s, 1)
	case c == ':' && span(s, 1) > 1:
		return valueRef, span(s, 1)
	}
	for _, op := range []string{"<>", "<=", ">=", "<", ">", "=", "+", "-", "(", ")", "[", "]", ",", "."} {
		if strings.HasPrefix(s, op) {
			return operator, len(op)
		}
	}
	_, n := utf8.DecodeRuneInString(s)
	return character, n
}

// span returns the index of the first byte of s from i on that is not a letter, digit or underscore.
func span(s string, i int) int {
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '_') {
		i++
	}
	return i
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func invalid(format string, args ...any) error {
	return awsjson.Errorf("ValidationException", format, args...)
}

// label is the name of a kind of expression in errors.
type label string

const (
	keyConditionExpression label = "KeyConditionExpression"
	projectionExpression   label = "ProjectionExpression"
	updateExpression       label = "UpdateExpression"
)

func (l label) errorf(format string, args ...any) error {
	return invalid("Invalid %s: %s", l, fmt.Sprintf(format, args...))
}
