package attr

import "maps"

// Item is a set of named attributes.
type Item map[string]Value

// Clone is shallow: values are immutable, so a change of either item's attributes does not show in the other.
func (i Item) Clone() Item { return maps.Clone(i) }

// Equal compares every attribute.
func (i Item) Equal(o Item) bool { return equalMaps(i, o) }

// Size is the number of bytes that count against the limit of 400 KB and for capacity units: names and values.
func (i Item) Size() int {
	size := 0
	for name, v := range i {
		size += len(name) + v.Size()
	}
	return size
}
