package dynamodb

import (
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// rewind moves first back if the fault strikes, so that records are read again; a full page still has a new record.
func rewind(first, limit int, fault *faults.Strike) int {
	if most := min(first, limit-1, faults.MaxRepeated); most > 0 && fault.Take() {
		first -= 1 + fault.Pick(most)
	}
	return first
}

// reorder permutes the records of a page if the fault strikes; the records of one item keep their order. The new order is
// permanent and records that a client has seen are not moved, so that every read of the shard returns the same order. It
// requires the shard's lock.
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
	sh.saveReordered(page)
}

// TrimStream removes a table's stream records that are older than t and the shards that were closed before t, as if they
// had expired; a zero t removes all of them.
func (db *DB) TrimStream(table string, t time.Time) error {
	if db.table(tableName(table)) == nil {
		return tableNotFound(table)
	}
	if t.IsZero() {
		t = time.Unix(1<<40, 0) // after every record
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
