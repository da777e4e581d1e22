package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

// step selects a map's member by name or a list's element by index.
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

// path is not empty; its first step is an attribute's name.
type path []step

// String returns the path as in DynamoDB's errors: [a, [3], b].
func (p path) String() string {
	texts := make([]string, len(p))
	for i, s := range p {
		texts[i] = s.String()
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// find returns the value at the path, or the zero Value if there is none.
func (p path) find(item attr.Item) attr.Value {
	v := item[p[0].name]
	for _, s := range p[1:] {
		v = child(v, s)
	}
	return v
}

// child returns a member or element of v, or the zero Value if there is none.
func child(v attr.Value, s step) attr.Value {
	if !s.inList {
		return v.Map()[s.name]
	}
	if v.Kind() != attr.List || s.index >= len(v.List()) {
		return attr.Value{}
	}
	return v.List()[s.index]
}

// pathTree is a tree of paths, none of which is a prefix of another.
type pathTree[T any] struct {
	children map[step]*pathTree[T]
	order    []step // as added
	first    path   // the first path through this node
	leaf     bool
	value    T // of a leaf
}

// add fails with the other path if p overlaps it, which means that one is a prefix of the other (then the tree is unchanged),
// or if p conflicts with it, which means that one goes into a list and the other into a map (then p is in the tree).
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

// newPathTree reports overlaps before conflicts, as DynamoDB does.
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

// topLevel returns the names of the attributes with which the paths start, sorted.
func (t *pathTree[T]) topLevel() []string {
	names := make([]string, len(t.order))
	for i, s := range t.order {
		names[i] = s.name
	}
	slices.Sort(names)
	return names
}

// project keeps the values at the paths. Lists are compacted, and documents without kept values are removed.
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
