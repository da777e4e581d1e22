package projectionaudit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
)

func TestAReadModelThatEqualsTheLogHasNoDifferences(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	before := s.server.Calls()
	result, lines := s.audited()
	assert.Empty(t, lines)
	assert.True(t, result.Equal())
	related := 0 + 1 + 2 + 3 + 0 + 1 + 2 + 3 + 0 + 1
	assert.Equal(t, projectionaudit.Result{Streams: 14, Folded: 14, Rows: 14 + related, Owned: 14 + related}, result)

	// What it costs, as docs/admin.md says.
	after := s.server.Calls()
	for operation, calls := range map[string]int64{
		"Scan": 2, "BatchGetItem": 4, "GetItem": 0, "Query": 0, "PutItem": 0, "DeleteItem": 0, "TransactWriteItems": 0,
	} {
		assert.Equal(t, calls, after["DynamoDB."+operation]-before["DynamoDB."+operation], operation)
	}
}

// TestAnAuditReadsManyStreamsAtOnce: what it costs for each stream, of which some have related rows.
func TestAnAuditReadsManyStreamsAtOnce(t *testing.T) {
	t.Parallel()
	const streams = 400
	s := newStage(t)
	defer s.server.Close()
	for n := range streams {
		s.happened(bookStream(fmt.Sprint("b", n)), titled{"a"})
		if n%2 == 0 {
			s.happened(bookStream(fmt.Sprint("b", n)), placed{fmt.Sprint("s", n)})
		}
	}
	for _, segments := range []int{1, 4} {
		before := s.server.Calls()
		result, lines := s.audited(func(c *projectionaudit.Config) { c.Segments = segments })
		assert.Empty(t, lines)
		assert.Equal(t, projectionaudit.Result{Streams: streams, Folded: streams, Rows: streams * 3 / 2, Owned: streams * 3 / 2}, result)
		calls := int64(0)
		for operation, n := range s.server.Calls() {
			if calls += n - before[operation]; operation == "DynamoDB.GetItem" || operation == "DynamoDB.Query" {
				assert.Equal(t, before[operation], n, "%s is for what does not match", operation)
			}
		}
		assert.LessOrEqual(t, calls, int64(streams/8), "%d segments", segments)
	}
}

func TestAnEmptySystemHasNoDifferences(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	result, lines := s.audited(repairing)
	assert.Empty(t, lines)
	assert.Equal(t, projectionaudit.Result{}, result)
}

// difference is one that is planted in a crowd; b7 has copies on s0, s1 and s2, b3 too, and b5 on s0.
type difference struct {
	plant func(s *stage)
	found []string
	left  bool // even with Repair
	one   bool // the repair of the first puts the second right
}

func differences() map[string]difference {
	edit := func(id, row string, attributes projection.Item) func(*stage) {
		return func(s *stage) { s.plant(id, row, attributes) }
	}
	return map[string]difference{
		"a deleted own row": {
			plant: func(s *stage) { s.lose("b7", "book") },
			found: []string{"missing: book/b7 has no row; the log is at version 4"},
		},
		"a stream that never arrived": {
			plant: func(s *stage) { s.append(bookStream("new"), titled{"secret"}, placed{"s3"}) },
			found: []string{"missing: book/new has no row; the log is at version 2"},
		},
		"a stale stream": {
			plant: func(s *stage) { s.append(bookStream("b7"), titled{"secret"}, withdrawn{"s1"}) },
			found: []string{"stale: book/b7 is at version 4; the log is at version 6"},
		},
		"a deleted related row": {
			plant: func(s *stage) { s.lose("s1", "book#b7") },
			found: []string{"edited: book/b7 differs from the fold at version 4 in row book#b7 of s1"},
		},
		"an edited own row": {
			plant: edit("s2", "shelf", projection.Item{"name": text("secret")}),
			found: []string{"edited: shelf/s2 differs from the fold at version 1 in row shelf of s2"},
		},
		"an attribute more": {
			plant: edit("b7", "book", projection.Item{"secret": text("x")}),
			found: []string{"edited: book/b7 differs from the fold at version 4 in row book of b7"},
		},
		"an attribute less": {
			plant: edit("s2", "shelf", projection.Item{"listed": nil}),
			found: []string{"edited: shelf/s2 differs from the fold at version 1 in row shelf of s2"},
		},
		"another event's ID": {
			plant: edit("s2", "shelf", projection.Item{"event_id": text("x")}),
			found: []string{"edited: shelf/s2 differs from the fold at version 1 in row shelf of s2"},
		},
		"another stream in an own row": {
			plant: edit("s2", "shelf", projection.Item{"stream": text("test/shelf/s3")}),
			found: []string{"edited: shelf/s2 differs from the fold at version 1 in row shelf of s2"},
		},
		"a version back, without the rows": {
			plant: edit("b7", "book", projection.Item{"version": number("3")}),
			found: []string{"edited: book/b7 differs from the fold at version 3 in row book of b7"},
		},
		"an own row that cannot be read": {
			plant: edit("b7", "book", projection.Item{"version": text("secret")}),
			found: []string{"edited: book/b7 differs from the fold at version 0 in row book of b7"},
		},
		"edited related rows": {
			plant: func(s *stage) {
				for n := range 3 {
					s.plant(fmt.Sprint("s", n), "book#b7", projection.Item{"title": text("secret")})
				}
				s.lose("b7", "book")
				s.happened(bookStream("b7"), placed{"s3"}, placed{"s4"}) // heals, and does not look at rows that stay as they are
				for n := range 5 {
					s.plant(fmt.Sprint("s", n), "book#b7", projection.Item{"title": text("secret")})
				}
			},
			found: []string{"edited: book/b7 differs from the fold at version 6 in " +
				"row book#b7 of s0, book#b7 of s1, book#b7 of s2 and 2 more"},
		},
		"a related row that names no owner": {
			plant: edit("s1", "book#b7", projection.Item{"stream": nil}),
			found: []string{
				"edited: book/b7 differs from the fold at version 4 in row book#b7 of s1",
				"foreign: row book#b7 of s1: no stream can own it",
			},
			one: true,
		},
		"a related row given to another stream": {
			plant: edit("s1", "book#b7", projection.Item{"stream": text("test/book/b3")}),
			found: []string{
				"edited: book/b7 differs from the fold at version 4 in row book#b7 of s1",
				"foreign: row book#b7 of s1: book/b3 does not derive it at version 4",
			},
		},
		"a foreign row of a stream": {
			plant: edit("s3", "book#b7", projection.Item{"stream": text("test/book/b7"), "title": text("secret")}),
			found: []string{"foreign: row book#b7 of s3: book/b7 does not derive it at version 4"},
		},
		"a foreign row without an owner": {
			plant: edit("s3", "book#b7", projection.Item{"title": text("secret")}),
			found: []string{"foreign: row book#b7 of s3: no stream can own it"},
		},
		"a foreign row of an odd name": {
			plant: edit("ann@secret.example", "book of secrets", projection.Item{"stream": text("no stream")}),
			found: []string{"foreign: row (not shown): no stream can own it"},
		},
		"an own row with the ID of no stream": {
			plant: edit("not/an/id", "book", projection.Item{"stream": text("test/book/b7")}),
			found: []string{"foreign: row (not shown): no stream can own it"},
		},
		"a foreign row of a stream without events": {
			plant: edit("s3", "book#nobody", projection.Item{"stream": text("test/book/nobody")}),
			found: []string{"foreign: row book#nobody of s3: the log has no event of its owner"},
		},
		"an own row of a stream without events": {
			plant: edit("nobody", "book", projection.Item{
				"stream": text("test/book/nobody"), "version": number("2"), "updated_at": text("2026-01-02T03:04:05Z"),
			}),
			found: []string{"foreign: row book of nobody: the log has no event of its owner"},
		},
		"an own row of a stream without events, which cannot be read": {
			plant: edit("nobody", "book", projection.Item{"stream": text("test/book/nobody")}),
			found: []string{"foreign: row book of nobody: the log has no event of its owner"},
		},
		"a parked row of a stream without events": {
			plant: edit("nobody", "parked#book", projection.Item{"stream": text("test/book/nobody"), "version": number("1"), "latest": number("1")}),
			found: []string{"foreign: row parked#book of nobody: the log has no event of its owner"},
		},
		"a parked row of no source": {
			plant: edit("b7", "parked#magazine", projection.Item{"stream": text("test/book/b7")}),
			found: []string{"foreign: row parked#magazine of b7: no stream can own it"},
		},
		"a row of another program's category": {
			plant: edit("s3", "magazine#m", projection.Item{"stream": text("test/magazine/m")}),
			found: []string{"illegible: magazine/m: its category is not known to this program"},
			left:  true,
		},
		"a version that the log does not have": {
			plant: edit("b7", "book", projection.Item{"version": number("9")}),
			found: []string{"hole: book/b7: the log lacks events that were applied"},
			left:  true,
		},
	}
}

// Each is found, named without data, left alone without Repair, and repaired with it.
func TestEachDifferenceIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	for name, d := range differences() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			s.crowd()
			d.plant(s)
			planted := s.rows()

			result, lines := s.audited()
			assert.Equal(t, d.found, lines)
			assert.Equal(t, len(d.found), result.Differences)
			assert.False(t, result.Equal())
			assert.Equal(t, planted, s.rows(), "nothing is changed without Repair")

			result, lines = s.audited(repairingEmptied)
			if d.left {
				assert.Equal(t, d.found, lines)
				assert.Equal(t, planted, s.rows())
				return
			}
			if d.one {
				d.found = d.found[:1]
			}
			for i := range d.found {
				d.found[i] += ": repaired"
			}
			assert.Equal(t, d.found, lines)
			assert.True(t, result.Equal())
			result, lines = s.audited()
			assert.Empty(t, lines)
			assert.True(t, result.Equal())
			s.requireFolded()
		})
	}
}

// requireFolded requires that the table is what a new projection of the log would be.
func (s *stage) requireFolded() {
	s.t.Helper()
	other := newStage(s.t)
	defer other.server.Close()
	for stream, records := range s.logged {
		_, err := other.projector(other.db).Apply(s.t.Context(), records)
		require.NoError(s.t, err, stream)
	}
	require.Equal(s.t, other.rows(), s.rows())
}

// What is left of a stream whose events were lost is deleted on request only, and then all of it.
func TestRowsOfAnEmptiedStreamAreDeletedOnRequestOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	for version := range 4 {
		s.forget(bookStream("b7"), version+1)
	}
	left := s.rows()
	result, lines := s.audited(repairing)
	assert.Equal(t, []string{"foreign: row book of b7: the log has no event of its owner"}, lines)
	assert.False(t, result.Equal())
	assert.Equal(t, left, s.rows())

	result, _ = s.audited(repairingEmptied)
	assert.True(t, result.Equal())
	delete(s.logged, bookStream("b7"))
	s.requireFolded()
}

// Something else deleted events. The rows are evidence of what was lost: they are reported once and left alone.
func TestAHoleIsReportedAndItsRowsAreKept(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2, 4} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			s.crowd()
			s.forget(bookStream("b7"), version)
			before := s.rows()
			result, lines := s.audited(repairingEmptied)
			assert.Equal(t, []string{"hole: book/b7: the log lacks events that were applied"}, lines)
			assert.False(t, result.Equal())
			assert.Equal(t, before, s.rows())
		})
	}
}

// A read model that is being filled is behind the log. What it has must be right.
func TestAReadModelThatMayLagIsComparedAsFarAsItHasCome(t *testing.T) {
	t.Parallel()
	lagging := func(c *projectionaudit.Config) { c.Lagging = true }
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	s.append(bookStream("b7"), titled{"later"})
	s.append(bookStream("new"), titled{"new"})
	s.append(bookStream("lost"), titled{"1"}, titled{"2"})
	s.forget(bookStream("lost"), 1)
	for _, sample := range []float64{1, 1e-9} {
		_, lines := s.audited(lagging, func(c *projectionaudit.Config) { c.Sample = sample })
		assert.Empty(t, lines)
	}
	s.plant("b7", "book", projection.Item{"title": text("secret")})
	s.forget(bookStream("b3"), 1)
	_, lines := s.audited(lagging)
	require.Len(t, lines, 2)
	assert.Regexp(t, "^edited: book/b7 differs from the fold at version 4 ", lines[0])
	assert.Equal(t, "hole: book/b3: the log lacks events that were applied", lines[1])
}

func TestAParkedStreamIsNoDifference(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	s.broken.Store(true)
	s.happened(bookStream("b7"), torn{}, titled{"secret"})
	s.happened(bookStream("new"), torn{})
	parked := s.rows()
	for _, sample := range []float64{1, 1e-9} { // of the second only versions are compared
		for _, repair := range []bool{false, true} {
			result, lines := s.audited(func(c *projectionaudit.Config) { c.Sample, c.Repair = sample, repair })
			assert.Equal(t, []string{
				"parked: book/b7 is at version 4; the log is at version 6", "parked: book/new is at version 0; the log is at version 1",
			}, lines)
			assert.True(t, result.Equal())
			assert.Equal(t, 2, result.Parked)
			assert.Equal(t, parked, s.rows())
		}
	}

	s.plant("s1", "book#b7", projection.Item{"title": text("secret")})
	result, lines := s.audited(repairing)
	assert.Equal(t, []string{
		"edited: book/b7 differs from the fold at version 4 in row book#b7 of s1: repaired",
		"parked: book/new is at version 0; the log is at version 1",
	}, lines)
	assert.True(t, result.Equal(), "a parked stream's rows are right for their version")
	assert.Equal(t, parked["s1|book#b7"], s.rows()["s1|book#b7"])

	s.lose("b7", "book") // what was applied before the event that cannot be
	for _, sample := range []float64{1, 1e-9} {
		_, lines = s.audited(func(c *projectionaudit.Config) { c.Sample, c.Repair = sample, sample < 1 })
		assert.Contains(t, strings.Join(lines, "\n"), "missing: book/b7 has no row; the log is at version 6")
	}
	assert.Equal(t, parked["b7|book"], s.rows()["b7|book"])
}

// Another build has applied an event that this one cannot fold.
func TestAnEventThatThisBuildCannotFoldIsIllegible(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	s.happened(bookStream("b7"), torn{}, titled{"secret"})
	s.plant("s3", "book#b7", projection.Item{"stream": text("test/book/b7")}) // no second line about it
	s.broken.Store(true)
	before := s.rows()
	result, lines := s.audited(repairing)
	assert.Equal(t, []string{"illegible: book/b7: an event that was applied cannot be folded by this program"}, lines)
	assert.False(t, result.Equal())
	assert.Equal(t, before, s.rows())
}

// The same is found with each page size.
func TestTheResultDoesNotDependOnThePageSize(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	s.lose("b7", "book")
	s.append(bookStream("b3"), titled{"secret"})
	s.plant("s3", "book#b5", projection.Item{"stream": text("test/book/b5")})
	s.plant("s0", "shelf", projection.Item{"name": text("secret")})
	whole, want := s.audited()
	require.Equal(t, 4, whole.Differences)
	for _, size := range []int32{1, 2, 3, 7, 1000} {
		result, lines := s.audited(func(c *projectionaudit.Config) { c.PageSize = size })
		assert.Equal(t, whole, result)
		assert.Equal(t, want, lines)
	}
}

// A sample compares the versions of all streams, and folds a part of them.
func TestASampleFoldsAPartAndComparesAllVersions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	s.append(bookStream("b3"), titled{"secret"})
	s.plant("s1", "shelf", projection.Item{"name": text("secret")})
	draws := 0
	half := func(c *projectionaudit.Config) {
		c.Sample = 0.5
		c.Rand = func() float64 { draws++; return float64(draws%2) * 0.5 }
	}
	result, lines := s.audited(half)
	assert.Equal(t, 14, result.Streams)
	assert.Equal(t, 7, result.Folded)
	assert.Equal(t, 27, result.Rows)
	assert.InDelta(t, 13, result.Owned, 1)
	assert.Contains(t, lines, "stale: book/b3 is at version 4; the log is at version 5")
	draws = 1 // the other half
	_, others := s.audited(half)
	assert.Contains(t, append(lines, others...), "edited: shelf/s1 differs from the fold at version 1 in row shelf of s1")
	assert.Len(t, append(lines, others...), 3)
}

// Long streams derive many rows, more than one call reads or writes.
func TestAStreamMayHaveAnyNumberOfRows(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	for n := range 250 {
		s.append(bookStream("b"), placed{fmt.Sprint("s", n)})
	}
	_, err := s.projector(s.db).Redrive(t.Context(), bookStream("b"))
	require.NoError(t, err)
	_, lines := s.audited()
	require.Empty(t, lines)
	s.lose("s7", "book#b")
	s.plant("s177", "book#b", projection.Item{"title": text("secret")})
	_, lines = s.audited(repairing)
	assert.Equal(t, []string{"edited: book/b differs from the fold at version 250 in row book#b of s177, book#b of s7: repaired"}, lines)
	s.requireFoldedRows(250)

	for version := range 250 {
		s.forget(bookStream("b"), version+1)
	}
	result, _ := s.audited(repairingEmptied)
	assert.True(t, result.Equal())
	assert.Empty(t, s.rows())
}

func (s *stage) requireFoldedRows(related int) {
	s.t.Helper()
	result, lines := s.audited()
	require.Empty(s.t, lines)
	require.Equal(s.t, related+1, result.Rows)
}

func TestAWaitForASuspicionIsAnnounced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.server.Close()
		s.crowd()
		s.lose("b7", "book")
		var waits []string
		_, lines := s.audited(func(c *projectionaudit.Config) {
			c.Settle = time.Minute
			c.OnWait = func(suspected int, left time.Duration) { waits = append(waits, fmt.Sprint(suspected, " in ", left)) }
		})
		assert.Len(t, lines, 1)
		assert.Equal(t, []string{"1 in 1m0s"}, waits)
	})
}

func TestAnAuditThatIsStoppedIsAnError(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	for stopAt := 1; stopAt <= 6; stopAt++ { // of all calls
		ctx, stop := context.WithCancel(t.Context())
		calls := 0
		var c projectionaudit.Config
		s.through(&hooks{before: func(string) error {
			if calls++; calls == stopAt {
				stop()
			}
			return nil
		}})(&c)
		c.OnFinding = func(f projectionaudit.Finding) { t.Error(f) }
		_, err := projectionaudit.Run(ctx, c)
		require.ErrorIs(t, err, context.Canceled)
	}
}
