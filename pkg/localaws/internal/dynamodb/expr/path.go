package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// step leads to a map's member by name or to a list's element by index.
type step struct {
	name   string
	index  int
	inList bool
}

func (s step) String() string {
	if s.inList {
		return fmt.Sprintf("[%d]", s.index)
	}
	return s.name
}

// path is never empty and its first step is an attribute's name.
type path []step

// String is the form of DynamoDB's errors: [a, [3], b].
func (p path) String() string {
	texts := make([]string, len(p))
	for i, s := range p {
		texts[i] = s.String()
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// find returns the zero Value if the item has nothing at the path.
func (p path) find(item attr.Item) attr.Value {
	v := item[p[0].name]
	for _, s := range p[1:] {
		v = child(v, s)
	}
	return v
}

// child returns the zero Value if v has no such member or element.
func child(v attr.Value, s step) attr.Value {
	if !s.inList {
		return v.Map()[s.name]
	}
	if v.Kind() != attr.List || s.index >= len(v.List()) {
		return attr.Value{}
	}
	return v.List()[s.index]
}

// pathTree holds paths of which none is a part of another, by their steps.
type pathTree[T any] struct {
	children map[step]*pathTree[T]
	order    []step // as added
	first    path   // the first path that came by here
	leaf     bool
	value    T // of a leaf
}

// add fails if a path in the tree is a part of p or p of it: overlap, and the tree is the same as before; or if p goes
// into a list where another path goes into a map: conflict, and p is in the tree. The path in the way is returned.
func (t *pathTree[T]) add(p path, value T) (overlap, conflict path) {
	n := t
	for i, s := range p {
		if n.leaf {
			return n.first, conflict
		}
		if i > 0 && len(n.order) > 0 && n.order[0].inList != s.inList && conflict == nil {
			conflict = n.children[n.order[0]].first
		}
		next := n.children[s]
		if next == nil {
			if n.children == nil {
				n.children = map[step]*pathTree[T]{}
			}
			next = &pathTree[T]{first: p}
			n.children[s] = next
			n.order = append(n.order, s)
		}
		n = next
	}
	if n.leaf || len(n.order) > 0 {
		return n.first, conflict
	}
	n.leaf, n.value = true, value
	return nil, conflict
}

// newPathTree refuses overlaps before conflicts, as DynamoDB does.
func newPathTree[T any](l label, paths []path, value func(i int) T) (*pathTree[T], error) {
	t := &pathTree[T]{}
	var conflicting error
	const text = "Two document paths %s with each other; must remove or rewrite one of these paths; path one: %s, path two: %s"
	for i, p := range paths {
		overlap, conflict := t.add(p, value(i))
		if overlap != nil {
			return nil, l.errorf(text, "overlap", overlap, p)
		}
		if conflict != nil {
			keep(&conflicting, l.errorf(text, "conflict", conflict, p))
		}
	}
	return t, conflicting
}

// topLevel names the attributes that the paths start with, sorted.
func (t *pathTree[T]) topLevel() []string {
	names := make([]string, len(t.order))
	for i, s := range t.order {
		names[i] = s.name
	}
	slices.Sort(names)
	return names
}

// project keeps what is at the paths. Elements of a list close up, and a document of which nothing is kept is left out.
func (t *pathTree[T]) project(item attr.Item) attr.Item {
	kept := attr.Item{}
	for s, n := range t.children {
		if v := n.projectValue(item[s.name]); !v.IsZero() {
			kept[s.name] = v
		}
	}
	return kept
}

func (t *pathTree[T]) projectValue(v attr.Value) attr.Value {
	switch {
	case t.leaf:
		return v
	case v.Kind() == attr.Map:
		kept := map[string]attr.Value{}
		for s, n := range t.children {
			if w := n.projectValue(child(v, s)); !w.IsZero() {
				kept[s.name] = w
			}
		}
		if len(kept) > 0 {
			return attr.MapValue(kept)
		}
	case v.Kind() == attr.List:
		var kept []attr.Value
		for _, s := range t.sorted() {
			if w := t.children[s].projectValue(child(v, s)); !w.IsZero() {
				kept = append(kept, w)
			}
		}
		if len(kept) > 0 {
			return attr.ListValue(kept)
		}
	}
	return attr.Value{}
}

// sorted returns the steps into a list by index.
func (t *pathTree[T]) sorted() []step {
	return slices.SortedFunc(slices.Values(t.order), func(a, b step) int { return a.index - b.index })
}
