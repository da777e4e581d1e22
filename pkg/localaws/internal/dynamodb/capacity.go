package dynamodb

import (
	"maps"
	"math"
	"slices"
)

// Units. Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
const (
	readUnit  = 4 << 10
	writeUnit = 1 << 10
)

func writeUnits(size int) float64 { return math.Max(1, math.Ceil(float64(size)/writeUnit)) }

func readUnits(size int, consistent bool) float64 {
	units := math.Max(1, math.Ceil(float64(size)/readUnit))
	if consistent {
		return units
	}
	return units / 2
}

// capacityChoice is the ReturnConsumedCapacity member.
type capacityChoice string

func (c capacityChoice) check(k *constraints) {
	k.oneOf(string(c), "returnConsumedCapacity", "INDEXES", "TOTAL", "NONE")
}

func (c capacityChoice) wanted() bool { return c == "TOTAL" || c == "INDEXES" }

type capacity struct {
	CapacityUnits      float64
	ReadCapacityUnits  *float64 `json:",omitempty"`
	WriteCapacityUnits *float64 `json:",omitempty"`
}

type consumedCapacity struct {
	TableName              string
	CapacityUnits          float64
	ReadCapacityUnits      *float64            `json:",omitempty"`
	WriteCapacityUnits     *float64            `json:",omitempty"`
	Table                  *capacity           `json:",omitempty"`
	LocalSecondaryIndexes  map[string]capacity `json:",omitempty"`
	GlobalSecondaryIndexes map[string]capacity `json:",omitempty"`
}

// consumption is the capacity units that a request consumed on one table and its indexes.
type consumption struct {
	table         float64
	local, global map[string]float64
}

func (c *consumption) index(ix *index, units float64) {
	if units == 0 {
		return
	}
	m := &c.global
	if ix.local {
		m = &c.local
	}
	if *m == nil {
		*m = map[string]float64{}
	}
	(*m)[ix.name] += units
}

func (c *consumption) add(o consumption) {
	c.table += o.table
	for name, units := range o.local {
		c.local = with(c.local, name, units)
	}
	for name, units := range o.global {
		c.global = with(c.global, name, units)
	}
}

func with(m map[string]float64, name string, units float64) map[string]float64 {
	if m == nil {
		m = map[string]float64{}
	}
	m[name] += units
	return m
}

// scale multiplies all units; transactions cost twice as much.
func (c *consumption) scale(by float64) {
	c.table *= by
	for _, m := range []map[string]float64{c.local, c.global} {
		for name := range m {
			m[name] *= by
		}
	}
}

func (c consumption) total() float64 {
	sum := c.table
	for _, m := range []map[string]float64{c.local, c.global} {
		for _, units := range m {
			sum += units
		}
	}
	return sum
}

// report returns the ConsumedCapacity of a response; nil unless the request wants it.
func (c consumption) report(table string, choice capacityChoice) *consumedCapacity {
	if !choice.wanted() {
		return nil
	}
	out := &consumedCapacity{TableName: table, CapacityUnits: c.total()}
	if choice == "INDEXES" {
		out.Table = &capacity{CapacityUnits: c.table}
		out.LocalSecondaryIndexes = perIndex(c.local)
		out.GlobalSecondaryIndexes = perIndex(c.global)
	}
	return out
}

func perIndex(units map[string]float64) map[string]capacity {
	if len(units) == 0 {
		return nil
	}
	out := make(map[string]capacity, len(units))
	for name, n := range units {
		out[name] = capacity{CapacityUnits: n}
	}
	return out
}

// bill is the consumption of a request on several tables.
type bill map[string]*consumption

func (b bill) add(table string, c consumption) {
	if b[table] == nil {
		b[table] = &consumption{}
	}
	b[table].add(c)
}

func (b bill) total() (sum float64) {
	for _, c := range b {
		sum += c.total()
	}
	return sum
}

func (b bill) report(choice capacityChoice) []consumedCapacity {
	if !choice.wanted() {
		return nil
	}
	out := make([]consumedCapacity, 0, len(b))
	for _, name := range slices.Sorted(maps.Keys(b)) {
		out = append(out, *b[name].report(name, choice))
	}
	return out
}

// transactional adds read or write units to each line, as the responses of transactions have them.
func transactional(lines []consumedCapacity, writes bool) []consumedCapacity {
	for i := range lines {
		units := lines[i].CapacityUnits
		kind := &lines[i].ReadCapacityUnits
		if writes {
			kind = &lines[i].WriteCapacityUnits
		}
		*kind = &units
		if t := lines[i].Table; t != nil {
			spent := t.CapacityUnits
			if writes {
				t.WriteCapacityUnits = &spent
			} else {
				t.ReadCapacityUnits = &spent
			}
		}
	}
	return lines
}
