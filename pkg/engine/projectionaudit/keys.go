package projectionaudit

import (
	"hash/maphash"

	"github.com/leftfold/leftfold/pkg/engine/projection"
)

// maxKeys bounds what keys keeps, some 20 bytes of each. The owners of other rows are looked up.
const maxKeys = 4 << 20

// keys is a set of rows, by a number of each of 64 bits that differs from run to run: two rows hardly ever have the same.
type keys struct {
	seed maphash.Seed
	of   map[uint64]struct{}
}

func newKeys() keys { return keys{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (k keys) add(rows []projection.Key) {
	for _, row := range rows {
		if len(k.of) < maxKeys {
			k.of[maphash.Comparable(k.seed, row)] = struct{}{}
		}
	}
}

func (k keys) has(row projection.Key) bool {
	_, has := k.of[maphash.Comparable(k.seed, row)]
	return has
}
