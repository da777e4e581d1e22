package attr

// Item sizes are estimates by AWS's published rules: a name and a string count their UTF-8 bytes, a number a byte per
// two significant digits and one more, a BOOL or NULL one, a list or map 3 and one per element.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
const (
	documentOverhead = 3
	elementOverhead  = 1
)

// Size returns the bytes of the value without its name.
func (v Value) Size() int {
	size := 0
	switch v.kind {
	case String:
		return len(v.text)
	case Number:
		d, _ := parseDecimal(v.text)
		return (len(d.digits)+1)/2 + 1
	case Binary:
		return len(v.Bytes())
	case Bool, Null:
		return 1
	case StringSet, NumberSet, BinarySet:
		for _, m := range v.List() {
			size += m.Size()
		}
	case List:
		size = documentOverhead
		for _, e := range v.List() {
			size += elementOverhead + e.Size()
		}
	case Map:
		size = documentOverhead + elementOverhead*len(v.Map()) + Item(v.Map()).Size()
	}
	return size
}

// Depth returns the number of nesting levels: 1 for a scalar, a set or an empty document, and one more for each document
// around it.
func (v Value) Depth() int {
	deepest := 0
	for _, e := range v.List() {
		deepest = max(deepest, e.Depth())
	}
	for _, e := range v.Map() {
		deepest = max(deepest, e.Depth())
	}
	if v.kind.Element() != 0 {
		return 1
	}
	return deepest + 1
}
