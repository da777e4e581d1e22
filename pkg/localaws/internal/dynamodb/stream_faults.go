package dynamodb

import (
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// goBack lets a fault deliver some former records again, and at least one new one of a full page.
func rewind(first, limit int, fault *faults.Strike) int {
	if most := min(first, limit-1, faults.MaxRepeated); most > 0 && fault.Take() {
		first -= 1 + fault.Pick(most)
	}
	return first
}

// reorder is a fault: records of different items change places in a page, those of one item keep their order. It holds
// for good, and records that anybody has met stay where they are: so a shard reads the same whenever and from wherever
// it is read. It needs the shard's lock.
func (sh *shard) reorder(first, n int, fault *faults.Strike) {
	if fault == nil {
		return
	}
	for first < n && sh.records[first].sequence <= sh.seen {
		first++
	}
	page := sh.records[first:n]
	byItem, turns := map[primaryKey][]*record{}, make([]primaryKey, len(page))
	for i, r := range page {
		turns[i] = sh.keys.bytes(r.keys)
		byItem[turns[i]] = append(byItem[turns[i]], r)
	}
	if len(byItem) < 2 || !fault.Take() {
		return
	}
	for i := len(turns) - 1; i > 0; i-- {
		j := fault.Pick(i + 1)
		turns[i], turns[j] = turns[j], turns[i]
	}
	for i, id := range turns {
		r := *byItem[id][0]
		byItem[id] = byItem[id][1:]
		r.sequence = page[i].sequence
		page[i] = &r
	}
}

// TrimStream forgets a table's change records that are older than t, and the shards that were closed before, as if they
// had come of age; a zero t takes all there is.
func (db *DB) TrimStream(table string, t time.Time) error {
	if db.table(tableName(table)) == nil {
		return tableNotFound(table)
	}
	if t.IsZero() {
		t = time.Unix(1<<40, 0) // after all
	}
	for _, s := range db.streamsOf(tableName(table)) {
		s.trimBefore(t)
	}
	return nil
}

func (s *stream) trimBefore(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.trimBefore(t)
		sh.mu.Unlock()
	}
	s.dropClosedBefore(t)
}
