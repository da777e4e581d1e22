package dynamodb

import (
	"slices"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

type projection struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

// index is a secondary index: a container of the projected items, ordered by the index's keys.
type index struct {
	name       string
	keys       keySchema
	table      keySchema
	local      bool
	projection projection
	throughput *throughput
	container
}

func (ix *index) projectsAll() bool { return ix.projection.ProjectionType == "ALL" }

func (ix *index) projects(name string) bool {
	return ix.projectsAll() || ix.keys.has(name) || ix.table.has(name) || slices.Contains(ix.projection.NonKeyAttributes, name)
}

// entry returns an item's entry in the index and its partition; nil for an item that lacks an index key (indexes are
// sparse).
func (ix *index) entry(item attr.Item) (place, *entry) {
	for _, name := range ix.keys.names() {
		if _, ok := item[name]; !ok {
			return place{}, nil
		}
	}
	projected := item
	if !ix.projectsAll() {
		projected = attr.Item{}
		for name, v := range item {
			if ix.projects(name) {
				projected[name] = v
			}
		}
	}
	key := ix.keys.bytes(item)
	e := &entry{at: position{key.sort, ix.table.bytes(item)}, item: projected, full: item, size: projected.Size()}
	return placeOf(key.hash), e
}

// check refuses an item whose attributes cannot be keys of the index. AWS words the error differently for an update.
func (ix *index) check(item attr.Item, defs definitions, updating bool) error {
	for _, name := range ix.keys.names() {
		v, ok := item[name]
		if !ok {
			continue
		}
		if v.TypeName() != defs[name] {
			if updating {
				return invalid("The update expression attempted to update the secondary index key to unsupported type")
			}
			return invalidParameter("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s",
				name, defs[name], v.TypeName(), ix.name)
		}
		if kind, empty := emptyKey(v); empty {
			return emptyKeyError{invalid("One or more parameter values are not valid. A value specified for a secondary index key is not "+
				"supported. The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s",
				kind, ix.name, name)}
		}
		if err := checkKeySize(v, name == ix.keys.hash); err != nil {
			return err
		}
	}
	return nil
}

// apply moves the index from an item's old to its new state, either of which may be nil. It returns the write units
// consumed: one write for an entry that is put, removed or changed, two for one that moves.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
func (ix *index) apply(before, after attr.Item) float64 {
	var oldPart, newPart place
	var old, now *entry
	if before != nil {
		oldPart, old = ix.entry(before)
	}
	if after != nil {
		newPart, now = ix.entry(after)
	}
	ix.replace(oldPart, old, newPart, now)
	switch {
	case old == nil && now == nil:
		return 0
	case old == nil:
		return writeUnits(now.size)
	case now == nil:
		return writeUnits(old.size)
	case oldPart != newPart || old.at != now.at:
		return writeUnits(old.size) + writeUnits(now.size)
	case old.item.Equal(now.item):
		return 0
	default:
		return writeUnits(max(old.size, now.size))
	}
}

// replace is atomic for readers if both entries are in one stripe, as they always are in a local index. It never holds two
// locks.
func (ix *index) replace(oldPart place, old *entry, newPart place, now *entry) {
	stays := old != nil && now != nil && oldPart == newPart && old.at == now.at
	if old != nil && !stays {
		s := ix.stripe(oldPart)
		s.mu.Lock()
		ix.remove(oldPart, old.at)
		if now != nil && ix.stripe(newPart) == s {
			ix.put(newPart, now)
			now = nil
		}
		s.mu.Unlock()
	}
	if now != nil {
		s := ix.stripe(newPart)
		s.mu.Lock()
		ix.put(newPart, now)
		s.mu.Unlock()
	}
}
