package expr

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

const (
	beforeUpdate = `{"id":{"S":"k"},"n":{"N":"5"},"t":{"S":"text"},"l":{"L":[{"S":"a"},{"S":"b"},{"S":"c"}]},"e":{"L":[]},` +
		`"m":{"M":{"x":{"N":"1"},"s":{"SS":["p"]}}},` +
		`"ss":{"SS":["a","b"]},"ns":{"NS":["1","2"]},"d":{"L":[{"M":{"x":{"N":"1"}}}]}}`
	updateValues = `{":1":{"N":"1"},":2":{"N":"2"},":s":{"S":"new"},":l":{"L":[{"S":"y"},{"S":"z"}]},":ss":{"SS":["b","c"]},
		":ab":{"SS":["a","b"]},
		":p":{"SS":["p"]},":ns":{"NS":["2","3"]},":m":{"M":{"q":{"N":"1"}}},
		":big":{"N":"9e125"},":b":{"B":"AQ=="},":null":{"NULL":true},":t":{"BOOL":true}}`
)

// The changes of each update in wire form; "" for an attribute that was removed.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
func TestUpdatesApplyAsDocumented(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]map[string]string{
		"SET t = :s":                                    {"t": `{"S":"new"}`},
		"set fresh = :s, #other = :1":                   {"fresh": `{"S":"new"}`, "other": `{"N":"1"}`},
		"SET n = n + :1":                                {"n": `{"N":"6"}`},
		"SET n = :1 - n":                                {"n": `{"N":"-4"}`},
		"SET n = (n - :1)":                              {"n": `{"N":"4"}`},
		"SET n = ((m.x)+(:2))":                          {"n": `{"N":"3"}`},
		"SET t = n, n = m.x":                            {"t": `{"N":"5"}`, "n": `{"N":"1"}`},
		"SET n = l[0], t = n":                           {"n": `{"S":"a"}`, "t": `{"N":"5"}`},
		"SET n = if_not_exists(n, :s)":                  {"n": `{"N":"5"}`},
		"SET v = if_not_exists(v, :1) + :2":             {"v": `{"N":"3"}`},
		"SET v = if_not_exists(v, if_not_exists(w, n))": {"v": `{"N":"5"}`},
		"SET l = list_append(l, :l)":                    {"l": `{"L":[{"S":"a"},{"S":"b"},{"S":"c"},{"S":"y"},{"S":"z"}]}`},
		"SET l = list_append(:l, l)":                    {"l": `{"L":[{"S":"y"},{"S":"z"},{"S":"a"},{"S":"b"},{"S":"c"}]}`},
		"SET v = list_append(if_not_exists(v, e), :l)":  {"v": `{"L":[{"S":"y"},{"S":"z"}]}`},
		"SET l[1] = :1":                                 {"l": `{"L":[{"S":"a"},{"N":"1"},{"S":"c"}]}`},
		"SET l[9] = :2, l[7] = :1":                      {"l": `{"L":[{"S":"a"},{"S":"b"},{"S":"c"},{"N":"1"},{"N":"2"}]}`},
		"SET l[3] = l[0] REMOVE l[0], l[1]":             {"l": `{"L":[{"S":"c"},{"S":"a"}]}`},
		"SET e[0] = :1":                                 {"e": `{"L":[{"N":"1"}]}`},
		"SET m.y = :s, m.x = :2":                        {"m": `{"M":{"x":{"N":"2"},"y":{"S":"new"},"s":{"SS":["p"]}}}`},
		"SET d[0].x = d[0].x + :1":                      {"d": `{"L":[{"M":{"x":{"N":"2"}}}]}`},
		"SET m = :m":                                    {"m": `{"M":{"q":{"N":"1"}}}`},
		"REMOVE t":                                      {"t": ``},
		"REMOVE t, gone, m.x, m.gone":                   {"t": ``, "m": `{"M":{"s":{"SS":["p"]}}}`},
		"REMOVE l[0], l[2], l[8]":                       {"l": `{"L":[{"S":"b"}]}`},
		"REMOVE l[2], l[1], l[0]":                       {"l": `{"L":[]}`},
		"REMOVE d[0].x":                                 {"d": `{"L":[{"M":{}}]}`},
		"ADD n :2, fresh :1":                            {"n": `{"N":"7"}`, "fresh": `{"N":"1"}`},
		"ADD ss :ss":                                    {"ss": `{"SS":["a","b","c"]}`},
		"ADD ns :ns, fresh :ss":                         {"ns": `{"NS":["1","2","3"]}`, "fresh": `{"SS":["b","c"]}`},
		"ADD m.x :1, m.y :1":                            {"m": `{"M":{"x":{"N":"2"},"y":{"N":"1"},"s":{"SS":["p"]}}}`},
		"DELETE ss :ss":                                 {"ss": `{"SS":["a"]}`},
		"DELETE ss :ab, gone :ss":                       {"ss": ``},
		"DELETE m.s :p":                                 {"m": `{"M":{"x":{"N":"1"}}}`},
		"DELETE ns :ns SET t = :s REMOVE n add m.x :1": {
			"ns": `{"NS":["1"]}`, "t": `{"S":"new"}`, "n": ``, "m": `{"M":{"x":{"N":"2"},"s":{"SS":["p"]}}}`,
		},
		"SET #other = :1, fresh = t REMOVE l[1]": {"other": `{"N":"1"}`, "fresh": `{"S":"text"}`, "l": `{"L":[{"S":"a"},{"S":"c"}]}`},
	} {
		var names map[string]string
		if strings.Contains(src, "#other") {
			names = map[string]string{"#other": "other"}
		}
		u, err := ParseUpdate(src, placeholders(t, names, updateValues))
		require.NoError(t, err, src)
		before := item(t, beforeUpdate)
		after, err := u.Apply(before)
		require.NoError(t, err, src)
		assert.JSONEq(t, beforeUpdate, wire(t, before), "%s wrote into the old item", src)

		expected := before.Clone()
		for name, w := range want {
			delete(expected, name)
			if w != "" {
				expected[name] = item(t, `{"v":`+w+`}`)["v"]
			}
			assert.Contains(t, u.TopLevel(), name, src)
		}
		assert.JSONEq(t, wire(t, expected), wire(t, after), src)
	}
}

func TestUpdatesApplyToAMissingItem(t *testing.T) {
	t.Parallel()
	u, err := ParseUpdate("SET a = if_not_exists(a, :1) ADD b :2 REMOVE c DELETE d :ss", placeholders(t, nil, updateValues))
	require.NoError(t, err)
	after, err := u.Apply(nil)
	require.NoError(t, err)
	assert.JSONEq(t, `{"a":{"N":"1"},"b":{"N":"2"}}`, wire(t, after))
}

func TestUpdatesProjectTheirPaths(t *testing.T) {
	t.Parallel()
	u, err := ParseUpdate("SET m.x = :2, fresh = :1 REMOVE l[0], t ADD n :1", placeholders(t, nil, updateValues))
	require.NoError(t, err)
	assert.Equal(t, []string{"fresh", "l", "m", "n", "t"}, u.TopLevel())
	before := item(t, beforeUpdate)
	after, err := u.Apply(before)
	require.NoError(t, err)
	assert.JSONEq(
		t, `{"m":{"M":{"x":{"N":"1"}}},"l":{"L":[{"S":"a"}]},"t":{"S":"text"},"n":{"N":"5"}}`, wire(t, u.Project(before)), "UPDATED_OLD",
	)
	assert.JSONEq(
		t, `{"m":{"M":{"x":{"N":"2"}}},"l":{"L":[{"S":"b"}]},"fresh":{"N":"1"},"n":{"N":"6"}}`, wire(t, u.Project(after)), "UPDATED_NEW",
	)
}

// The texts, and which of several mistakes is reported, are as observed: https://github.com/mhart/dynalite/tree/main/test
func TestInvalidUpdatesAreRefused(t *testing.T) {
	t.Parallel()
	const (
		syntax   = "Syntax error; token: "
		overlap  = "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: "
		conflict = "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: "
		kind     = "Incorrect operand type for operator or function; operator or function: "
		clause   = "Incorrect operand type for operator or function; operator: "
		count    = "Incorrect number of operands for operator or function; operator or function: "
		path     = "Operator or function requires a document path; operator or function: "
		forAdd   = ", typeSet: ALLOWED_FOR_ADD_OPERAND"
		forDel   = ", typeSet: ALLOWED_FOR_DELETE_OPERAND"
	)
	for src, want := range map[string]string{
		"":         "The expression can not be empty;",
		"whatever": syntax + `"whatever", near: "whatever"`, "set": syntax + `"<EOF>", near: "set"`, "set a": syntax + `"<EOF>", near: "a"`,
		"add a": syntax + `"<EOF>", near: "a"`, "set a=set": syntax + `"set", near: "=set"`, "remove a = b": syntax + `"=", near: "a = b"`,
		"add a = b": syntax + `"=", near: "a = b"`, "delete a b": syntax + `"b", near: "a b"`, "add a f(b)": syntax + `"f", near: "a f("`,
		"remove a b": syntax + `"b", near: "a b"`, "set :a = b": syntax + `":a", near: "set :a ="`,
		"set a = b / :v": syntax + `"/", near: "b / :v"`,
		"set a = b * c":  syntax + `"*", near: "b * c"`, `set a[1] = "eight"`: syntax + `""", near: "= "eight"`,
		"set a[1] = 1":                 syntax + `"1", near: "= 1"`,
		"SET a = if_not_exist(a, 100)": syntax + `"100", near: ", 100)"`, "SET f(a, b) = a": syntax + `"(", near: "f(a"`,
		"set (a = (b + c))":   syntax + `"(", near: "set (a"`,
		"set a = (b.c).d + e": syntax + `".", near: ").d"`, "set a = b + c + d": syntax + `"+", near: "c + d"`,
		"set a = (b + c) + d": syntax + `"+", near: ") + d"`,
		"set a = b +":         syntax + `"<EOF>", near: "+"`, "set a = b,": syntax + `"<EOF>", near: ","`,
		"SET a = b SET": syntax + `"<EOF>", near: "SET"`, "set a = f(b + c)": syntax + `"+", near: "b + c"`,
		"set a = ((b))":                       "The expression has redundant parentheses;",
		" set #c = :c set abOrt = true ":      "Attribute name is a reserved keyword; reserved keyword: abOrt",
		" remove Absolute ":                   "Attribute name is a reserved keyword; reserved keyword: Absolute",
		"set #c = if_not_exist(:c) set c = d": "Invalid function name; function: if_not_exist",
		"set a = size(b)":                     "The function is not allowed in an update expression; function: size",
		"set a = #c set c = :d":               `The "SET" section can only be used once in an update expression;`,
		"remove #d set a = b Remove e":        `The "REMOVE" section can only be used once in an update expression;`,
		"add #d :e set a = b add e :f":        `The "ADD" section can only be used once in an update expression;`,
		"delete #d :e set a = b delete #e :f": `The "DELETE" section can only be used once in an update expression;`,
		"SET #x = if_not_exists(:c)": "An expression attribute name used in the document path is not defined; " +
			"attribute name: #x",
		"SET #c = if_not_exists(:c)": "An expression attribute value used in expression is not defined; " +
			"attribute value: :c",
		"ADD a :c": "An expression attribute value used in expression is not defined; " +
			"attribute value: :c",
		"set d[1] = a, d.b = a, c[1].a = a, #c = if_not_exists(a)":    overlap + "[c, [1], a], path two: [c]",
		"set #c[3].#d = a, #c[3] = a":                                 overlap + "[c, [3], [3]], path two: [c, [3]]",
		"set a = b remove a.b":                                        overlap + "[a], path two: [a, b]",
		"set #c[3].#d = a, #c.#d[3] = if_not_exists(a)":               conflict + "[c, [3], [3]], path two: [c, [3], [3]]",
		"remove a.#c set a[1] = #d":                                   conflict + "[a, c], path two: [a, [1]]",
		"set b = list_append(:s, a), c = if_not_exists(a) add a.b :s": clause + "ADD, operand type: STRING" + forAdd,
		"delete a.b :1": clause + "DELETE, operand type: NUMBER" + forDel,
		"add a :null":   clause + "ADD, operand type: NULL" + forAdd,
		"delete a :t":   clause + "DELETE, operand type: BOOLEAN" + forDel,
		"add a :b":      clause + "ADD, operand type: BINARY" + forAdd,
		"add a :m":      clause + "ADD, operand type: MAP" + forAdd, "delete a :l": clause + "DELETE, operand type: LIST" + forDel,
		"set a = if_not_exists(c)":        count + "if_not_exists, number of operands: 1",
		"set a = list_append(c)":          count + "list_append, number of operands: 1",
		"set a = list_append(:l, :l, :l)": count + "list_append, number of operands: 3",
		"set a = if_not_exists(:l, c)":    path + "if_not_exists", "set a = if_not_exists(if_not_exists(a, b), c)": path + "if_not_exists",
		"set a = list_append(:s, a)": kind + "list_append, operand type: S", "set a = list_append(a, :m)": kind + "list_append, operand type: M",
		"set a = a + :s": kind + "+, operand type: S", "set a = :b - a": kind + "-, operand type: B",
		"set a = (a + :ss)":                              kind + "+, operand type: SS",
		"set a = a - list_append(:l, b)":                 kind + "-, operand type: L",
		"set a = :1+:1" + strings.Repeat(",a=a+:1", 300): "The expression contains too many operators; operator count: 301",
	} {
		_, err := ParseUpdate(src, placeholders(t, map[string]string{"#c": "c", "#d": "[3]"}, updateValues))
		requireValidation(t, err, "Invalid UpdateExpression: "+want)
	}
}

func TestUpdatesThatDoNotFitTheItemAreRefused(t *testing.T) {
	t.Parallel()
	const (
		badPath = "The document path provided in the update expression is invalid for update"
		badType = "An operand in the update expression has an incorrect data type"
		missing = "The provided expression refers to an attribute that does not exist in the item"
	)
	for src, want := range map[string]string{
		"set c = gone": missing, "set c = list_append(gone, l)": missing, "set c = n + gone": missing,
		"set c = if_not_exists(gone, lost)": missing, "set c = l[3]": missing,
		"set t.a = :1": badPath, "set t[1] = :1": badPath, "set gone.a = :1": badPath, "set gone[0] = :1": badPath,
		"set m[1] = :1": badPath, "set l.x = :1": badPath,
		"set l[3].x = :1": badPath, "set m.gone.x = :1": badPath, "set ss[0] = :1": badPath,
		"remove t.a": badPath, "remove gone.a": badPath, "remove gone[1]": badPath, "remove m[1]": badPath, "remove l.x": badPath,
		"remove l[3].x":  badPath,
		"delete t.a :ss": badPath, "delete gone.a :ss": badPath, "delete l.x :ss": badPath, "add t.a :ss": badPath,
		"add gone[1] :ss": badPath, "add m[1] :1": badPath,
		"delete ns :ss": badType, "delete m :ss": badType, "delete n :ns": badType, "add m :ns": badType, "add ns :1": badType,
		"add n :ss": badType, "add ss :ns": badType,
		"set c = t + :1": badType, "set c = m - :1": badType, "set c = list_append(n, if_not_exists(gone, :l))": badType,
		"set c = :1 + if_not_exists(t, :1)": badType,
		"set n = :big + :big":               "Number overflow. Attempting to store a number with magnitude larger than supported range",
	} {
		u, err := ParseUpdate(src, placeholders(t, nil, updateValues))
		require.NoError(t, err, src)
		_, err = u.Apply(item(t, beforeUpdate))
		requireValidation(t, err, want)
	}
}

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes
func TestUpdatesKeepTheNestingLimit(t *testing.T) {
	t.Parallel()
	deep := attr.IntValue(1)
	for range attr.MaxDepth - 1 {
		deep = attr.ListValue([]attr.Value{deep})
	}
	old := attr.Item{"m": attr.MapValue(nil)}
	p, err := NewPlaceholders(nil, Values{":deep": deep})
	require.NoError(t, err)
	u, err := ParseUpdate("SET a = :deep", p)
	require.NoError(t, err)
	_, err = u.Apply(old)
	require.NoError(t, err)
	u, err = ParseUpdate("SET m.a = :deep", p)
	require.NoError(t, err)
	_, err = u.Apply(old)
	require.Error(t, err)
}
