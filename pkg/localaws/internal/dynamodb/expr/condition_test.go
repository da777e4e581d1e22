package expr

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

const product = `{
	"Id":{"N":"123"}, "Title":{"S":"Bicycle 123"}, "Price":{"N":"500"}, "ProductCategory":{"S":"Sporting Goods"},
	"Bytes":{"B":"AQIDBA=="}, "InStock":{"BOOL":true}, "Nothing":{"NULL":true}, "Emoji":{"S":"é𝄞"},
	"Color":{"SS":["Red","Black"]}, "Sizes":{"NS":["1","2.5"]}, "Digests":{"BS":["AQ=="]},
	"RelatedItems":{"L":[{"N":"341"},{"N":"472"},{"M":{"Deep":{"S":"x"}}}]},
	"Pictures":{"M":{"FrontView":{"S":"front.jpg"},"RearView":{"S":"rear.jpg"}}},
	"Hollow":{"M":{}}
}`

const productValues = `{
	":n":{"N":"500"}, ":low":{"N":"400"}, ":high":{"N":"500.0"}, ":less":{"N":"9"}, ":s":{"S":"Bicycle 123"}, ":bic":{"S":"Bic"},
	":cycle":{"S":"cycle"},
	":red":{"S":"Red"}, ":blue":{"S":"Blue"}, ":colors":{"SS":["Black","Red"]}, ":two":{"N":"2.50"}, ":b":{"B":"AQ=="},
	":mid":{"B":"AgM="}, ":item":{"N":"472"},
	":t":{"BOOL":true}, ":null":{"NULL":true}, ":three":{"N":"3"}, ":pics":{"M":{"RearView":{"S":"rear.jpg"},"FrontView":{"S":"front.jpg"}}},
	":S":{"S":"S"}, ":M":{"S":"M"}, ":SS":{"S":"SS"}, ":NULL":{"S":"NULL"}, ":zero":{"N":"0"}, ":one":{"N":"1"},
	":four":{"N":"4"}, ":x":{"S":"x"}
}`

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
func TestConditionsEvaluateAsDocumented(t *testing.T) {
	t.Parallel()
	names := map[string]string{"#name": "Title", "#deep": "Deep"}
	for src, want := range map[string]bool{
		"Price = :n": true, "Price = :high": true, "Price <> :n": false, "Price <> :low": true,
		"Price < :n": false, "Price <= :n": true, "Price > :low": true, "Price >= :high": true, "Price > :less": true, ":less < Price": true,
		"Price = :s": false, "Price <> :s": true, "Price < :s": false, "Title > :bic": true, "Bytes > :b": true, "Color = :colors": true,
		"Pictures = :pics": true, "InStock = :t": true, "Nothing = :null": true, "InStock = :null": false, "Color < Sizes": false,
		"InStock <= Nothing": false,
		// What is missing differs from everything and has no order.
		"Gone = :n": false, "Gone <> :n": true, "Gone <> Lost": true, "Gone = Lost": false, "Gone < :n": false, "Gone >= Lost": false,
		"Gone BETWEEN Lost AND Price":  false,
		"Price BETWEEN :low AND :high": true, "Price between :less and :low": false, "Title BETWEEN :bic AND :cycle": true,
		"Title BETWEEN :bic AND Price": false,
		":n BETWEEN Id AND Price":      true,
		"Price IN (:low, :high)":       true, "Price in (:low)": false, "Price IN (Gone)": false, "Title IN (:n, :s)": true,
		":red IN (Title, Color)":  false,
		"attribute_exists(Title)": true, "attribute_exists(Gone)": false, "attribute_not_exists(Gone)": true,
		"attribute_not_exists (Nothing)":      false,
		"attribute_exists(Pictures.RearView)": true, "attribute_exists(Pictures.SideView)": false,
		"attribute_exists(RelatedItems[2].#deep)": true,
		"attribute_exists(RelatedItems[3])":       false, "attribute_exists(Title[0])": false, "attribute_exists(Color[0])": false,
		"attribute_exists(Title.x)": false,
		"RelatedItems[1] = :item":   true, "RelatedItems[2].Deep = :x": true,
		"attribute_type(Title, :S)": true, "attribute_type(Title, :M)": false, "attribute_type(Pictures, :M)": true,
		"attribute_type(Color, :SS)":     true,
		"attribute_type(Nothing, :NULL)": true, "attribute_type(Gone, :NULL)": false,
		"begins_with(#name, :bic)": true, "begins_with(#name, :cycle)": false, "begins_with(Bytes, :b)": true, "begins_with(Bytes, :mid)": false,
		"begins_with(Bytes, :bic)": false, "begins_with(Price, :bic)": false, "begins_with(Gone, :bic)": false, "begins_with(:s, #name)": true,
		"contains(Title, :cycle)": true, "contains(Title, :red)": false, "contains(Title, :n)": false, "contains(Bytes, :mid)": true,
		"contains(Color, :red)":  true,
		"contains(Color, :blue)": false, "contains(Color, :n)": false, "contains(Sizes, :two)": true, "contains(Digests, :b)": true,
		"contains(RelatedItems, :item)": true,
		"contains(RelatedItems, :n)":    false, "contains(RelatedItems, Gone)": false, "contains(Pictures, :s)": false,
		"contains(Price, :n)": false, "contains(Gone, :n)": false,
		"size(Title) > :less": true, "size(Bytes) = :four": true, "size(Color) < :three": true, "size(RelatedItems) = :three": true,
		"size(Hollow) = :zero": true,
		"size(Digests) = :one": true, "size(Price) = :one": false, "size(InStock) <> :one": true, "size(Gone) = :zero": false,
		"size(Title) = :s":          false,
		"size(Emoji) = :three":      true, // UTF-16 code units, as observed
		"size(Color) = size(Sizes)": true, "size(:bic) BETWEEN :one AND :three": true,
		// NOT before AND before OR.
		"Price = :n OR Price = :low AND Price = :less": true, "(Price = :n OR Price = :low) AND Price = :less": false,
		"NOT Price = :low AND Price = :n": true, "NOT (Price = :low OR Price = :n)": false, "not Not NOT NOT Price = :n": true,
		"NOT Price = :n OR Price = :n": true, "(NOT (Price = :n)) OR (Price = :n)": true, "Price=:n AND Price=:n and Price = :low": false,
		"Price = :n AND (Price = :low OR (Price = :high AND Price = :n))":                 true,
		"(Price) = :n AND (Price) BETWEEN (:low) AND (:high) AND size((Bytes)) = (:four)": true,
		"Price\n=\t:n\r": true,
	} {
		p := placeholders(t, names, productValues)
		c, err := ParseCondition("ConditionExpression", src, p)
		require.NoError(t, err, src)
		assert.Equal(t, want, c.Matches(item(t, product)), src)
	}
}

func TestConditionsApplyToAMissingItem(t *testing.T) {
	t.Parallel()
	c, err := ParseCondition("ConditionExpression", "attribute_not_exists(id)", nil)
	require.NoError(t, err)
	assert.True(t, c.Matches(nil))

	c = nil
	assert.True(t, c.Matches(nil), "no condition")
	assert.Empty(t, c.TopLevel())
}

func TestConditionsReportTheirAttributes(t *testing.T) {
	t.Parallel()
	c, err := ParseCondition("FilterExpression", "b.#n > a[1] AND (NOT size(#n) = c OR begins_with(a, :v)) AND :v IN (d, e)",
		placeholders(t, map[string]string{"#n": "n"}, `{":v":{"S":"x"}}`))
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c", "d", "e", "n"}, c.TopLevel())
}

// The texts, and which of several mistakes is reported, are as observed: https://github.com/mhart/dynalite/tree/main/test
func TestSyntaxErrorsInConditionsAreRefused(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"things are not":             `token: "are", near: "things are not"`,
		"a > 4":                      `token: "4", near: "> 4"`,
		"a = :v AND __typename = :v": `token: "_", near: "AND __"`,
		"a =":                        `token: "<EOF>", near: "="`,
		"a":                          `token: "<EOF>", near: "a"`,
		"!":                          `token: "!", near: "!"`,
		"a = b = c":                  `token: "=", near: "b = c"`,
		"attribute_exists(a-b)":      `token: "-", near: "a-b"`,
		`attribute_exists("a.b")`:    `token: """, near: "("a"`,
		"attribute_exists(a..b)":     `token: ".", near: "..b"`,
		"attribute_exists(a#b)":      `token: "#b", near: "a#b)"`,
		"attribute_exists(a[b])":     `token: "b", near: "[b]"`,
		"attribute_exists()":         `token: ")", near: "()"`,
		"a in b, c":                  `token: "b", near: "in b,"`,
		"a in (b,c,)":                `token: ")", near: ",)"`,
		"a > between":                `token: "between", near: "> between"`,
		"(a)between(b.(c.d))and(c)":  `token: "(", near: ".(c"`,
		"(a)between(b.c.d)and((c)":   `token: "<EOF>", near: ")"`,
		"(a = b":                     `token: "<EOF>", near: "b"`,
		"a = b)":                     `token: ")", near: "b)"`,
		"#$.b > a":                   `token: "#", near: "#$"`,
		"a > :things.stuff":          `token: ".", near: ":things.stuff"`,
		"b[:a] > a":                  `token: ":a", near: "[:a]"`,
		"b[#_] > a":                  `token: "#_", near: "[#_]"`,
		"ü > a":                      `token: "ü", near: "ü >"`,
		"a between b.c[4.5] and :a":  `token: ".", near: "4.5"`,
		"size(a).b > a":              `token: ".", near: ").b"`,
		"(size(a))[0] > a":           `token: "[", near: ")[0"`,
		"a = b AND c":                `token: "<EOF>", near: "c"`,
		"a AND b = c":                `token: "AND", near: "a AND b"`,
		"(a) OR b = c":               `token: "OR", near: ") OR b"`,
		"NOT a":                      `token: "<EOF>", near: "a"`,
		"(a = b) = c":                `token: "=", near: ") = c"`,
		"a == b":                     `token: "=", near: "== b"`,
		"a between b, c":             `token: ",", near: "b, c"`,
		"and = b":                    `token: "and", near: "and ="`,
		"a = b OR OR c = d":          `token: "OR", near: "OR OR c"`,
	} {
		_, err := ParseCondition("FilterExpression", src, nil)
		requireValidation(t, err, "Invalid FilterExpression: Syntax error; "+want)
	}
}

func TestInvalidConditionsAreRefused(t *testing.T) {
	t.Parallel()
	const (
		parens   = "The expression has redundant parentheses;"
		unknown  = "Invalid function name; function: "
		misused  = "The function is not allowed to be used this way in an expression; function: "
		noUpdate = "The function is not allowed in a condition expression; function: "
		keyword  = "Attribute name is a reserved keyword; reserved keyword: "
		noName   = "An expression attribute name used in the document path is not defined; attribute name: "
		noValue  = "An expression attribute value used in expression is not defined; attribute value: "
		count    = "Incorrect number of operands for operator or function; operator or function: "
		kind     = "Incorrect operand type for operator or function; operator or function: "
		path     = "Operator or function requires a document path; operator or function: "
		distinct = "The first operand must be distinct from the remaining operands for this operator or function; operator: "
	)
	for src, want := range map[string]string{
		"": "The expression can not be empty;", " \n": "The expression can not be empty;",
		"a=a and a > ((views))": parens, "a > whatever((:things), ((a)))": parens, "a=a AND ((a=a AND a=a)) AND a=a": parens,
		"a=a OR ((a=a OR (a=a OR a=a)))": parens, "((a = b))": parens,
		"a=a and whatever((:things)) > a": unknown + "whatever", "attRIbute_exIsts((views), #a)": unknown + "attRIbute_exIsts",
		"if_not_exists(a, b) = c":                     noUpdate + "if_not_exists",
		"a=a and attribute_exists((views), (#a)) > b": misused + "attribute_exists", "attribute_type(things, :a) > b": misused + "attribute_type",
		"size(contains(a, b)) > a": misused + "contains", "size(things)": misused + "size", "NOT size(things)": misused + "size",
		"a between b and attribute_exists(things)": misused + "attribute_exists",
		"a in (b, attribute_exists(things))":       misused + "attribute_exists",
		"attribute_exists(views, #a)":              keyword + "views", ":a < abOrT": keyword + "abOrT", "a.name = b": keyword + "name",
		"attribute_exists(#Pictures.RearView, :a) and a=a": noName + "#Pictures", "begins_with(Pictures.#RearView)": noName + "#RearView",
		"(#P between :lo and :hi) and (#PC in (:cat1, :cat2))": noName + "#P", "#4g > a": noName + "#4g",
		"(a)between(b.c[45].#d)and(:a)": noName + "#d",
		"begins_with(:hello, #a, #b)":   noValue + ":hello", ":undefined < :b": noValue + ":undefined", ":_ > a": noValue + ":_",
		"attribute_exists(things, a) and a=a":         count + "attribute_exists, number of operands: 2",
		"attribute_type(things)":                      count + "attribute_type, number of operands: 1",
		"begins_with(things, size(a), b)":             count + "begins_with, number of operands: 3",
		"size(things, a) > b":                         count + "size, number of operands: 2",
		"attribute_type(a, size(a)) and a=a and a=:n": kind + "attribute_type, operand type: N",
		"attribute_type(a, :n)":                       kind + "attribute_type, operand type: N",
		"attribute_type(ab.bc[1].a, SS)":              kind + "attribute_type, operand type: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
		"attribute_type(a, :s)":                       "Invalid attribute type name found; type: s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
		"begins_with(a, :n)":                          kind + "begins_with, operand type: N",
		"begins_with(:ss, a)":                         kind + "begins_with, operand type: SS",
		"begins_with(a, size(b))":                     kind + "begins_with, operand type: N",
		"size(size(a)) > :n":                          kind + "size, operand type: N",
		"size(:bool) > a":                             kind + "size, operand type: BOOL",
		"a < :bool":                                   kind + "<, operand type: BOOL", ":l >= a": kind + ">=, operand type: L",
		"a between :n and :m":          kind + "BETWEEN, operand type: M",
		"attribute_exists(:s) and a=a": path + "attribute_exists", "attribute_not_exists(size(:s))": path + "attribute_not_exists",
		"attribute_type(:s, :s)":            path + "attribute_type",
		"attribute_not_exists(size(:n))":    kind + "size, operand type: N",
		"a = a AND a = a AND :views > a":    distinct + "=, first operand: [a]",
		"#a <> a":                           distinct + "<>, first operand: [a]",
		"((a=a) OR (a=a))":                  distinct + "=, first operand: [a]",
		"contains(ab.bc[1].a, ab.bc[1].#a)": distinct + "contains, first operand: [ab, bc, [1], a]",
		"attribute_type(ab[1].#a, ab[1].a)": distinct + "attribute_type, first operand: [ab, [1], a]",
		"a IN (:n, a)":                      distinct + "IN, first operand: [a]",
		"a between :n and :s": "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: " +
			"AttributeValue: {N:10}, upper bound operand: AttributeValue: {S:s}",
		"a between :n and :nine": "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower " +
			"bound operand: AttributeValue: {N:10}, upper bound operand: AttributeValue: {N:9}",
		"a between :b and :b0": "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower " +
			"bound operand: AttributeValue: {B:AQ==}, upper bound operand: AttributeValue: {B:AA==}",
		"a[99999999999] = b":                    "List index is not within the allowable range; index: [99999999999]",
		"a[2147483648] = b":                     "List index is not within the allowable range; index: [2147483648]",
		"a" + strings.Repeat(".b", 32) + " = b": "The document path has too many nesting levels; nesting levels: 33",
	} {
		p := placeholders(t, map[string]string{"#a": "a"}, `{":n":{"N":"10"}, ":nine":{"N":"9"}, ":s":{"S":"s"}, ":ss":{"SS":["a"]},
			":bool":{"BOOL":true}, ":l":{"L":[]}, ":m":{"M":{}}, ":b":{"B":"AQ=="}, ":b0":{"B":"AA=="}, ":a":{"S":"S"}}`)
		_, err := ParseCondition("FilterExpression", src, p)
		requireValidation(t, err, "Invalid FilterExpression: "+want)
	}
}

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-expression-parameters
func TestExpressionLimits(t *testing.T) {
	t.Parallel()
	parse := func(src string) error {
		_, err := ParseCondition("ConditionExpression", src, placeholders(t, nil, `{":v":{"N":"1"}}`))
		return err
	}
	const wrong = "Invalid ConditionExpression: "
	comparisons := func(n int) string { return strings.TrimSuffix(strings.Repeat("a=b OR ", n), " OR ") }
	require.NoError(t, parse(comparisons(150)), "150 comparisons and 149 ORs")
	requireValidation(t, parse(comparisons(151)), wrong+"The expression contains too many operators; operator count: 301")

	padded := func(n int) string { return "a = b" + strings.Repeat(" ", n-5) }
	require.NoError(t, parse(padded(4096)))
	requireValidation(t, parse(padded(4097)), wrong+"Expression size has exceeded the maximum allowed size; expression size: 4097")

	in := func(n int) string { return "a IN (" + strings.TrimSuffix(strings.Repeat(":v,", n), ",") + ")" }
	require.NoError(t, parse(in(100)))
	requireValidation(t, parse(in(101)), wrong+"The IN operator is provided with too many operands; number of operands: 101")

	require.NoError(t, parse("a"+strings.Repeat("[0]", 31)+" = b"))
	require.NoError(t, parse("a[2147483647] = b"))
	require.NoError(t, parse(strings.Repeat("NOT (", 200)+"a=b"+strings.Repeat(")", 200)))
	for _, src := range []string{
		strings.Repeat("(", 4096), strings.Repeat("(", 2000) + "a=b" + strings.Repeat(")", 2000), strings.Repeat("NOT ", 1000) + "a=b",
		strings.Repeat("f(", 2000), "a=" + strings.Repeat("(", 4000), strings.Repeat("a(", 1000) + "a" + strings.Repeat(")", 1000),
	} {
		require.Error(t, parse(src))
	}
}

func TestMatchesDoesNotChangeTheItem(t *testing.T) {
	t.Parallel()
	before := item(t, product)
	i := before.Clone()
	c, err := ParseCondition("ConditionExpression", "contains(RelatedItems, Id) OR size(Color) > Price", nil)
	require.NoError(t, err)
	c.Matches(i)
	assert.Equal(t, map[string]attr.Value(before), map[string]attr.Value(i))
}
