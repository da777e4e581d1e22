package expr

import (
	"maps"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

func errBadPath() error {
	return invalid("The document path provided in the update expression is invalid for update")
}

func errBadType() error {
	return invalid("An operand in the update expression has an incorrect data type")
}

func errNoAttribute() error {
	return invalid("The provided expression refers to an attribute that does not exist in the item")
}

// Apply returns the updated item and does not modify old. All operands are read from old and all list indexes refer to old,
// so the order of the clauses does not matter. Pass an item that does not exist yet as its key. All errors are
// ValidationExceptions.
func (u *Update) Apply(old attr.Item) (attr.Item, error) {
	updated, err := edit{old}.members(old, u.actions)
	if err != nil {
		return nil, err
	}
	for _, s := range u.actions.order {
		if updated[s.name].Depth() > attr.MaxDepth {
			return nil, attr.ErrTooDeep()
		}
	}
	return updated, nil
}

// edit applies the actions to copies of the values on their paths.
type edit struct{ old attr.Item }

func (e edit) members(m map[string]attr.Value, t *pathTree[action]) (map[string]attr.Value, error) {
	edited := maps.Clone(m)
	if edited == nil {
		edited = map[string]attr.Value{}
	}
	for _, s := range t.order {
		if s.inList {
			return nil, errBadPath()
		}
		v, err := e.value(m[s.name], t.children[s])
		if err != nil {
			return nil, err
		}
		if v.IsZero() {
			delete(edited, s.name)
		} else {
			edited[s.name] = v
		}
	}
	return edited, nil
}

// elements appends values set beyond the end in the order of their indexes.
func (e edit) elements(list []attr.Value, t *pathTree[action]) ([]attr.Value, error) {
	edited := append([]attr.Value(nil), list...)
	for _, s := range t.sorted() {
		if !s.inList {
			return nil, errBadPath()
		}
		var before attr.Value
		if s.index < len(list) {
			before = list[s.index]
		}
		v, err := e.value(before, t.children[s])
		if err != nil {
			return nil, err
		}
		if s.index < len(list) {
			edited[s.index] = v
		} else {
			edited = append(edited, v)
		}
	}
	kept := edited[:0]
	for _, v := range edited {
		if !v.IsZero() {
			kept = append(kept, v)
		}
	}
	return kept, nil
}

// value returns the zero Value for a value that is removed.
func (e edit) value(v attr.Value, t *pathTree[action]) (attr.Value, error) {
	switch {
	case t.leaf:
		return e.act(v, t.value)
	case v.Kind() == attr.Map:
		m, err := e.members(v.Map(), t)
		return attr.MapValue(m), err
	case v.Kind() == attr.List:
		l, err := e.elements(v.List(), t)
		return attr.ListValue(l), err
	}
	return attr.Value{}, errBadPath()
}

func (e edit) act(v attr.Value, a action) (attr.Value, error) {
	switch a.clause {
	case "SET":
		return e.operand(a.value)
	case "ADD":
		return e.add(v, a.value)
	case "DELETE":
		return e.remove(v, a.value)
	default: // REMOVE
		return attr.Value{}, nil
	}
}

func (e edit) add(v attr.Value, n node) (attr.Value, error) {
	more, err := e.operand(n)
	switch {
	case err != nil || v.IsZero():
		return more, err
	case v.Kind() == attr.Number:
		return v.Add(more)
	}
	union, ok := v.Union(more)
	if !ok {
		return attr.Value{}, errBadType()
	}
	return union, nil
}

func (e edit) remove(v attr.Value, n node) (attr.Value, error) {
	less, err := e.operand(n)
	if err != nil || v.IsZero() {
		return v, err
	}
	rest, ok := v.Without(less)
	if !ok {
		return attr.Value{}, errBadType()
	}
	return rest, nil
}

// operand never returns the zero Value without an error.
func (e edit) operand(n node) (attr.Value, error) {
	switch n := n.(type) {
	case *group:
		return e.operand(n.inner)
	case *valueNode:
		return n.value, nil
	case *pathNode:
		v := n.path.find(e.old)
		if v.IsZero() {
			return v, errNoAttribute()
		}
		return v, nil
	case *sumNode:
		return e.sum(n)
	case *callNode:
		if n.name == "list_append" {
			return e.listAppend(n.args[0], n.args[1])
		}
		return e.ifNotExists(n.args[0], n.args[1])
	case *compareNode, *logicNode:
	}
	return attr.Value{}, errBadType()
}

func (e edit) operands(a, b node) (x, y attr.Value, err error) {
	if x, err = e.operand(a); err != nil {
		return x, y, err
	}
	y, err = e.operand(b)
	return x, y, err
}

func (e edit) sum(n *sumNode) (attr.Value, error) {
	x, y, err := e.operands(n.args[0], n.args[1])
	if err != nil {
		return attr.Value{}, err
	}
	if n.op == "-" {
		return x.Sub(y)
	}
	return x.Add(y)
}

func (e edit) listAppend(a, b node) (attr.Value, error) {
	x, y, err := e.operands(a, b)
	if err != nil {
		return attr.Value{}, err
	}
	if x.Kind() != attr.List || y.Kind() != attr.List {
		return attr.Value{}, errBadType()
	}
	joined := make([]attr.Value, 0, len(x.List())+len(y.List()))
	return attr.ListValue(append(append(joined, x.List()...), y.List()...)), nil
}

func (e edit) ifNotExists(existing, otherwise node) (attr.Value, error) {
	if p, ok := existing.(*pathNode); ok {
		if v := p.path.find(e.old); !v.IsZero() {
			return v, nil
		}
	}
	return e.operand(otherwise)
}
