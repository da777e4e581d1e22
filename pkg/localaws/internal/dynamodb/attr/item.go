package attr

import "maps"

// Item is a set of named attributes.
type Item map[string]Value

// Clone returns a copy whose attributes can be set without changing i. It is shallow, since values are immutable.
func (i Item) Clone() Item { return maps.Clone(i) }

// Equal compares every attribute.
func (i Item) Equal(o Item) bool { return equalMaps(i, o) }

// Size returns the bytes of names and values, which count for the limit of 400 KB and for capacity units.
func (i Item) Size() int {
	size := 0
	for name, v := range i {
		size += len(name) + v.Size()
	}
	return size
}
