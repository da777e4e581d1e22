package expr

import (
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

func wire(t require.TestingT, i attr.Item) string {
	b, err := json.Marshal(i)
	require.NoError(t, err)
	return string(b)
}

const nestedItem = `{"a":{"S":"1"},"l":{"L":[{"S":"x"},{"S":"y"},{"M":{"p":{"S":"q"},"r":{"L":[{"N":"1"},{"N":"2"}]}}}]},` +
	`"m":{"M":{"b":{"S":"2"},"c":{"M":{"d":{"S":"3"},"e":{"S":"4"}}}}},"s":{"SS":["one"]}}`

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ProjectionExpressions.html
func TestProjectionsKeepTheirPaths(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"a":                 `{"a":{"S":"1"}}`,
		"a, s":              `{"a":{"S":"1"},"s":{"SS":["one"]}}`,
		"gone":              `{}`,
		"m.b":               `{"m":{"M":{"b":{"S":"2"}}}}`,
		"m.c.#d,m.b":        `{"m":{"M":{"b":{"S":"2"},"c":{"M":{"d":{"S":"3"}}}}}}`,
		"m.gone, a.b, a[0]": ``, // a conflict, see below
		"m.gone":            `{}`,
		"m[0]":              `{}`,
		"a.b":               `{}`,
		"s[0]":              `{}`,
		"l[1]":              `{"l":{"L":[{"S":"y"}]}}`,
		"l[1], l[0]":        `{"l":{"L":[{"S":"x"},{"S":"y"}]}}`,
		"l[2].r[1],l[0]":    `{"l":{"L":[{"S":"x"},{"M":{"r":{"L":[{"N":"2"}]}}}]}}`,
		"l[3]":              `{}`,
		"l.p":               `{}`,
	} {
		p, err := ParseProjection(src, placeholders(t, map[string]string{"#d": "d"}, ""))
		if want == "" {
			requireValidation(t, err, "Invalid ProjectionExpression: Two document paths conflict with each other; "+
				"must remove or rewrite one of these paths; path one: [a, b], path two: [a, [0]]")
			continue
		}
		require.NoError(t, err, src)
		before := item(t, nestedItem)
		assert.JSONEq(t, want, wire(t, p.Apply(before)), src)
		assert.JSONEq(t, nestedItem, wire(t, before), "the item stays as it is")
	}
	var all *Projection
	assert.JSONEq(t, nestedItem, wire(t, all.Apply(item(t, nestedItem))))
	assert.Empty(t, all.TopLevel())
}

func TestProjectionsReportTheirAttributes(t *testing.T) {
	t.Parallel()
	p, err := ParseProjection("m.b, a, m.c[1]", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "m"}, p.TopLevel())
	assert.Nil(t, p.Apply(nil))
}

func TestInvalidProjectionsAreRefused(t *testing.T) {
	t.Parallel()
	const overlap = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
	for src, want := range map[string]string{
		"":                    "The expression can not be empty;",
		"a b":                 `Syntax error; token: "b", near: "a b"`,
		"a,":                  `Syntax error; token: "<EOF>", near: ","`,
		":v":                  `Syntax error; token: ":v", near: ":v"`,
		"size(a)":             `Syntax error; token: "(", near: "size(a"`,
		"a[-1]":               `Syntax error; token: "-", near: "[-1"`,
		"a, status":           "Attribute name is a reserved keyword; reserved keyword: status",
		"a.#x":                "An expression attribute name used in the document path is not defined; attribute name: #x",
		"a, b, #a":            overlap + "[a], path two: [a]",
		"a, a.b":              overlap + "[a], path two: [a, b]",
		"a.b[0].c, x, a.b[0]": overlap + "[a, b, [0], c], path two: [a, b, [0]]",
		"d[1], d.b, c, c.x":   overlap + "[c], path two: [c, x]",
	} {
		_, err := ParseProjection(src, placeholders(t, map[string]string{"#a": "a"}, ""))
		requireValidation(t, err, "Invalid ProjectionExpression: "+want)
	}
}
