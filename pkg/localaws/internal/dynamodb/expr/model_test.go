package expr

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// model is a condition's text, its precedence, and its value computed without the evaluator.
type model struct {
	text  string
	binds int // OR 0, AND 1, NOT 2, anything else 3
	truth bool
}

// world is an item with integers under some letters; all letters have a :value.
type world map[string]int

const letters = "abcd"

func anyWorld() *rapid.Generator[world] {
	return rapid.Custom(func(t *rapid.T) world {
		w := world{}
		for l := range strings.SplitSeq(letters, "") {
			if rapid.IntRange(0, 3).Draw(t, "has "+l) > 0 {
				w[l] = rapid.IntRange(-2, 2).Draw(t, l)
			}
		}
		return w
	})
}

type number struct {
	text string
	n    int
	ok   bool
}

func (w world) operand(t *rapid.T, except string) number {
	if rapid.Bool().Draw(t, "constant") {
		n := rapid.IntRange(-2, 2).Draw(t, "n")
		return number{":v" + strings.ReplaceAll(strconv.Itoa(n), "-", "m"), n, true}
	}
	name := rapid.SampledFrom(strings.Split(strings.ReplaceAll(letters, except, ""), "")).Draw(t, "name")
	n, ok := w[name]
	return number{name, n, ok}
}

func (w world) condition(t *rapid.T, depth int) model {
	kind := rapid.IntRange(0, 8).Draw(t, "kind")
	if depth == 0 {
		kind = rapid.IntRange(0, 4).Draw(t, "leaf")
	}
	switch kind {
	case 0:
		name := rapid.SampledFrom(strings.Split(letters, "")).Draw(t, "name")
		_, ok := w[name]
		return model{"attribute_exists(" + name + ")", 3, ok}
	case 1:
		a, low, high := w.operand(t, "a"), rapid.IntRange(-2, 2).Draw(t, "low"), rapid.IntRange(0, 4).Draw(t, "span")
		high = min(2, low+high)
		bound := func(n int) string { return ":v" + strings.ReplaceAll(strconv.Itoa(n), "-", "m") }
		return model{a.text + " BETWEEN " + bound(low) + " and " + bound(high), 3, a.ok && low <= a.n && a.n <= high}
	case 2:
		return w.in(t)
	case 3, 4:
		return w.comparison(t)
	case 5:
		inner := w.condition(t, depth-1)
		return model{"NOT " + inner.within(t, 2), 2, !inner.truth}
	case 6:
		a, b := w.condition(t, depth-1), w.condition(t, depth-1)
		return model{a.within(t, 1) + " AND " + b.within(t, 1), 1, a.truth && b.truth}
	default:
		a, b := w.condition(t, depth-1), w.condition(t, depth-1)
		return model{a.within(t, 0) + " or " + b.within(t, 0), 0, a.truth || b.truth}
	}
}

func (w world) in(t *rapid.T) model {
	a := w.operand(t, "a")
	m := model{text: a.text + " IN (", binds: 3}
	for i := range rapid.IntRange(1, 3).Draw(t, "candidates") {
		b := w.operand(t, a.text)
		if i > 0 {
			m.text += ", "
		}
		m.text += b.text
		m.truth = m.truth || a.ok && b.ok && a.n == b.n
	}
	m.text += ")"
	return m
}

func (w world) comparison(t *rapid.T) model {
	a := w.operand(t, "d")
	b := w.operand(t, a.text)
	op := rapid.SampledFrom([]string{"=", "<>", "<", "<=", ">", ">="}).Draw(t, "op")
	both := a.ok && b.ok
	truth := map[string]bool{
		"=": both && a.n == b.n, "<>": !both || a.n != b.n, "<": both && a.n < b.n,
		"<=": both && a.n <= b.n, ">": both && a.n > b.n, ">=": both && a.n >= b.n,
	}[op]
	return model{a.text + rapid.SampledFrom([]string{"", " "}).Draw(t, "space") + op + b.text, 3, truth}
}

// within returns the text as a term of an operator of the given precedence, sometimes in unnecessary parentheses.
func (m model) within(t *rapid.T, binds int) string {
	if m.binds < binds || rapid.Bool().Draw(t, "parentheses") {
		return "(" + m.text + ")"
	}
	return m.text
}

func TestConditionsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	values := map[string]attr.Value{}
	for n := -2; n <= 2; n++ {
		values[":v"+strings.ReplaceAll(strconv.Itoa(n), "-", "m")] = attr.IntValue(int64(n))
	}
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld().Draw(t, "world")
		m := w.condition(t, 4)
		p, err := NewPlaceholders(nil, values)
		require.NoError(t, err)
		c, err := ParseCondition("ConditionExpression", m.text, p)
		require.NoError(t, err, m.text)
		i := attr.Item{}
		for name, n := range w {
			i[name] = attr.IntValue(int64(n))
		}
		require.Equal(t, m.truth, c.Matches(i), "%s of %v", m.text, w)
	})
}

// SET and REMOVE of list elements follow the developer guide: indexes refer to the old list, and values set beyond its end are
// appended by index.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
func TestListEditsAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(0, 5).Draw(t, "length")
		indexes := rapid.SliceOfNDistinct(rapid.IntRange(0, 8), 1, 6, rapid.ID[int]).Draw(t, "indexes")
		var sets, removes []string
		edits := map[int]string{}
		for _, i := range indexes {
			at := "l[" + strconv.Itoa(i) + "]"
			if edits[i] = rapid.SampledFrom([]string{"set", "remove"}).Draw(t, "edit"); edits[i] == "set" {
				sets = append(sets, at+"=:new")
			} else {
				removes = append(removes, at)
			}
		}
		var src string
		if sets != nil {
			src += " SET " + strings.Join(sets, ",")
		}
		if removes != nil {
			src += " REMOVE " + strings.Join(removes, ",")
		}
		values := Values{":new": attr.StringValue("new")}
		if sets == nil {
			values = nil
		}
		p, err := NewPlaceholders(nil, values)
		require.NoError(t, err)
		u, err := ParseUpdate(src, p)
		require.NoError(t, err, src)

		var old, want []attr.Value
		for i := range length {
			old = append(old, attr.IntValue(int64(i)))
		}
		for i := range 9 {
			switch {
			case edits[i] == "set":
				want = append(want, attr.StringValue("new"))
			case i < length && edits[i] == "":
				want = append(want, attr.IntValue(int64(i)))
			}
		}
		before := slices.Clone(old)
		after, err := u.Apply(attr.Item{"l": attr.ListValue(old)})
		require.NoError(t, err)
		require.True(t, attr.ListValue(want).Equal(after["l"]), "%s of %d: %v", src, length, after["l"])
		require.Equal(t, before, old)
	})
}

// A projection of maps has the item's values at its paths, and nothing else.
func TestProjectionsAgreeWithTheirPaths(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		i := attr.Item(anyDocument(3).Draw(t, "item").Map())
		var paths []string
		for range rapid.IntRange(1, 3).Draw(t, "paths") {
			names := rapid.SliceOfN(rapid.SampledFrom(strings.Split(letters, "")), 1, 4).Draw(t, "path")
			paths = append(paths, strings.Join(names, "."))
		}
		p, err := ParseProjection(strings.Join(paths, ", "), nil)
		if overlapping(paths) {
			require.Error(t, err, "%v", paths)
			return
		}
		require.NoError(t, err)
		kept := p.Apply(i)
		want := 0
		for _, path := range paths {
			v := lookup(i, path)
			require.True(t, v.Equal(lookup(kept, path)), "%s of %v", path, kept)
			want += leaves(v)
		}
		require.Equal(t, want, leaves(attr.MapValue(kept)))
	})
}

func anyDocument(depth int) *rapid.Generator[attr.Value] {
	return rapid.Custom(func(t *rapid.T) attr.Value {
		m := map[string]attr.Value{}
		for l := range strings.SplitSeq(letters, "") {
			switch rapid.IntRange(0, 2).Draw(t, l) {
			case 1:
				m[l] = attr.StringValue(l)
			case 2:
				if depth > 0 {
					m[l] = anyDocument(depth-1).Draw(t, l+".")
				}
			}
		}
		return attr.MapValue(m)
	})
}

func overlapping(paths []string) bool {
	for i, a := range paths {
		for _, b := range paths[i+1:] {
			if strings.HasPrefix(a+".", b+".") || strings.HasPrefix(b+".", a+".") {
				return true
			}
		}
	}
	return false
}

func lookup(i attr.Item, path string) attr.Value {
	v := attr.MapValue(i)
	for name := range strings.SplitSeq(path, ".") {
		v = v.Map()[name]
	}
	return v
}

func leaves(v attr.Value) int {
	if v.Kind() == attr.String {
		return 1
	}
	n := 0
	for _, w := range v.Map() {
		n += leaves(w)
	}
	return n
}
