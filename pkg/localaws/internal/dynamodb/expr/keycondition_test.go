package expr

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

const keyValues = `{":p":{"S":"org"}, ":1":{"N":"1"}, ":3":{"N":"3"}, ":s":{"S":"a"}}`

// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
func TestKeyConditionsAreParsed(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]struct {
		op       string
		operands []string
		low      string
		high     string
		lowIn    bool
		highIn   bool
	}{
		"pk = :p":                          {},
		":p = pk":                          {},
		"(pk = :p)":                        {},
		"pk = :p AND sk = :1":              {"=", []string{"1"}, "1", "1", true, true},
		"sk < :3 AND pk = :p":              {"<", []string{"3"}, "", "3", false, false},
		"(pk = :p) AND (sk <= :3)":         {"<=", []string{"3"}, "", "3", false, true},
		"#p = :p AND :1 <= sk":             {">=", []string{"1"}, "1", "", true, false},
		"pk = :p AND :1 < sk":              {">", []string{"1"}, "1", "", false, false},
		"pk = :p AND :3 > sk":              {"<", []string{"3"}, "", "3", false, false},
		"pk = :p AND :3 >= sk":             {"<=", []string{"3"}, "", "3", false, true},
		"pk = :p AND sk > :1":              {">", []string{"1"}, "1", "", false, false},
		"pk = :p and sk between :1 and :3": {"BETWEEN", []string{"1", "3"}, "1", "3", true, true},
		"begins_with(sk, :s) AND pk = :p":  {"begins_with", []string{"a"}, "a", "", true, false},
	} {
		k, err := ParseKeyCondition(src, placeholders(t, map[string]string{"#p": "pk"}, keyValues), "pk", "sk")
		require.NoError(t, err, src)
		assert.Equal(t, "org", k.Hash.Text(), src)
		low, high, lowIn, highIn := k.Range.Bounds()
		assert.Equal(t, []any{want.low, want.high, want.lowIn, want.highIn}, []any{text(low), text(high), lowIn, highIn}, src)
		if want.op == "" {
			assert.Nil(t, k.Range, src)
			assert.True(t, k.Range.Matches(attr.IntValue(1)))
			continue
		}
		assert.Equal(t, want.op, k.Range.Op, src)
		for i, v := range k.Range.Operands {
			assert.Equal(t, want.operands[i], v.Text(), src)
		}
	}
}

func text(v *attr.Value) string {
	if v == nil {
		return ""
	}
	return v.Text()
}

// The texts are the service's, as observed: https://github.com/mhart/dynalite/tree/main/test
func TestInvalidKeyConditionsAreRefused(t *testing.T) {
	t.Parallel()
	const (
		operator = "Invalid operator used in KeyConditionExpression: "
		wrong    = "Invalid condition in KeyConditionExpression: "
		multiple = wrong + "Multiple attribute names used in one condition"
		nested   = "KeyConditionExpressions cannot contain nested operations"
		deep     = "KeyConditionExpressions cannot have conditions on nested attributes"
		twice    = "KeyConditionExpressions must only contain one condition per key"
		missed   = "Query condition missed key schema element: "
		no       = "Query key condition not supported"
	)
	for src, want := range map[string]string{
		"": "Invalid KeyConditionExpression: The expression can not be empty;",
		"attribute_type(a, :s)": "Invalid KeyConditionExpression: Invalid attribute type name found; type: a, valid types: " +
			"{B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
		"a > :1 and size(b) > c or a > c": operator + "OR", "a in (b, size(c), d)": operator + "IN",
		"attribute_exists(a)": operator + "attribute_exists",
		"contains(a.d, b)":    operator + "contains", "not a > b": operator + "NOT", "a <> b": operator + "<>",
		"pk = :p AND NOT sk = :1":                   operator + "NOT",
		":s between size(b) and size(a) and b > :1": wrong + "BETWEEN operator must have the key attribute as its first operand",
		"begins_with(:s, b) and a > :1":             wrong + "begins_with operator must have the key attribute as its first operand",
		":1 between b and c":                        wrong + "BETWEEN operator must have the key attribute as its first operand",
		"size(b) > a AND a.b > b AND b > c":         nested, "a > size(b.d)": nested, "a between size(b) and size(a)": nested,
		"b > a.b": multiple, "b between c[1] and d": multiple, "a between b and size(a)": multiple, "begins_with(a, b)": multiple,
		"b.d > a AND c.d > e.f": deep, "a.d > c": deep, "b[0] > a": deep,
		":1 > :3 AND a < :3":                      wrong + "No key attribute specified",
		"b > :1 AND b < :1 and c = :1 and d = :1": twice, "(a > :1 and b > :1) and (b > :1 and c > :1)": twice, "pk = :p AND pk = :p": twice,
		"pk = :p AND sk > :1 AND c = :1": "Conditions can be of length 1 or 2 only",
		"sk = :1":                        missed + "pk", "pk = :p AND another = :1": missed + "sk", "another = :1 AND sk = :1": missed + "pk",
		"pk > :p": no, "begins_with(pk, :p)": no, "pk BETWEEN :p AND :p AND sk = :1": no,
		"pk = :p AND begins_with(sk, :1)": "Invalid KeyConditionExpression: Incorrect operand type for operator or function; " +
			"operator or function: begins_with, operand type: N",
		"pk = :p AND sk between :3 and :1": "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be " +
			"greater than or equal to lower bound; lower bound operand: AttributeValue: {N:3}, upper bound operand: " +
			"AttributeValue: {N:1}",
		"pk = :gone": "Invalid KeyConditionExpression: An expression attribute value used in expression is not defined; " +
			"attribute value: :gone",
		"pk = :p AND stream = :1": "Invalid KeyConditionExpression: Attribute name is a reserved keyword; reserved keyword: stream",
	} {
		_, err := ParseKeyCondition(src, placeholders(t, nil, keyValues), "pk", "sk")
		requireValidation(t, err, want)
	}
	_, err := ParseKeyCondition("pk = :p AND sk = :1", placeholders(t, nil, keyValues), "pk", "")
	requireValidation(t, err, no)
	_, err = ParseKeyCondition("#s = :1", placeholders(t, map[string]string{"#s": "version"}, keyValues), "stream", "version")
	requireValidation(t, err, missed+"stream")
}

// The keys within the bounds are the keys that match.
func TestBoundsOfARangeAgreeWithMatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Map(rapid.Int64Range(-3, 3), attr.IntValue)
		key, a, b := number.Draw(t, "key"), number.Draw(t, "a"), number.Draw(t, "b")
		if order, _ := a.Compare(b); order > 0 {
			a, b = b, a
		}
		src := rapid.SampledFrom([]string{
			"sk = :a", "sk < :a", "sk <= :a", "sk > :a", "sk >= :a", ":a < sk", ":a >= sk", "sk BETWEEN :a AND :b",
		}).Draw(t, "condition")
		p, err := NewPlaceholders(nil, Values{":p": attr.StringValue("x"), ":a": a, ":b": b})
		require.NoError(t, err)
		k, err := ParseKeyCondition("pk = :p AND "+src, p, "pk", "sk")
		require.NoError(t, err)
		low, high, lowIn, highIn := k.Range.Bounds()
		within := true
		if low != nil {
			order, _ := key.Compare(*low)
			within = order > 0 || order == 0 && lowIn
		}
		if high != nil {
			order, _ := key.Compare(*high)
			within = within && (order < 0 || order == 0 && highIn)
		}
		require.Equal(t, within, k.Range.Matches(key))

		c, err := ParseCondition("FilterExpression", src, p)
		require.NoError(t, err)
		require.Equal(t, c.Matches(attr.Item{"sk": key}), k.Range.Matches(key), "as a filter would")
	})
}

func TestRangesDoNotMatchOtherKinds(t *testing.T) {
	t.Parallel()
	for _, r := range []*RangeCondition{
		{Op: "begins_with", Operands: []attr.Value{attr.StringValue("a")}}, {Op: ">", Operands: []attr.Value{attr.StringValue("a")}},
	} {
		assert.True(t, r.Matches(attr.StringValue("ab")))
		assert.False(t, r.Matches(attr.BinaryValue([]byte("ab"))))
		assert.False(t, r.Matches(attr.Value{}))
	}
}
