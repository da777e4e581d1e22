package generation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.server.Close()
		f(w)
	})
}

func TestAnEventIsInEveryFedGenerationBeforeItIsDone(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		m := w.model(1, 2)
		w.apply(m, w.append("a", touched{}))
		w.step(begin(2))
		time.Sleep(generation.Settle)
		w.apply(m, w.append("a", touched{}, touched{}))
		assert.Equal(w, eventsourcing.Version(3), w.in("things", "a").Version)
		assert.Equal(w, thing{Times: 3, Doubled: 6}, w.in("things-g2", "a").thing, "what was before is read from the log")
		w.step(generation.State.Retire)
		time.Sleep(generation.Settle)
		w.apply(m, w.append("a", touched{}))
		assert.Equal(w, eventsourcing.Version(4), w.in("things", "a").Version)
		assert.Equal(w, eventsourcing.Version(3), w.in("things-g2", "a").Version, "it is left")
	})
}

// TestAnEventThatOneGenerationCannotApplyDelaysNoOther: the next one parks the aggregate, for itself.
func TestAnEventThatOneGenerationCannotApplyDelaysNoOther(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.step(begin(2))
		m := w.model(1, 2)
		w.apply(m, w.append("a", touched{}, broken{}, touched{}))
		assert.Equal(w, eventsourcing.Version(3), w.in("things", "a").Version)
		assert.Equal(w, eventsourcing.Version(1), w.in("things-g2", "a").Version)
		rows, _, err := m.Parked(w.Context(), 10, projection.Cursor{})
		require.NoError(w, err)
		assert.Empty(w, rows, "the current generation has parked nothing")
		row, found, err := m.ParkedStream(w.Context(), eventsourcing.StreamID{Category: category, ID: "a"})
		require.NoError(w, err)
		assert.True(w, found)
		assert.Equal(w, eventsourcing.Version(2), row.Version)
	})
}

func TestAGenerationThatFailsDelaysNoOther(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.step(begin(1))
		_, err := w.db.DeleteTable(w.Context(), &dynamodb.DeleteTableInput{TableName: new("things-g2")})
		require.NoError(w, err)
		done, err := w.model(1).Apply(w.Context(), w.append("a", touched{}))
		require.Error(w, err)
		assert.Zero(w, done, "it is not acknowledged before it is in both")
		assert.Equal(w, eventsourcing.Version(1), w.in("things", "a").Version)
	})
}

// TestDuringASwitchAReadAnswersWhatBothHave: so those that read one of the generations answer no less.
func TestDuringASwitchAReadAnswersWhatBothHave(t *testing.T) {
	t.Parallel()
	for name, behind := range map[string]string{"the next one is behind": "things-g2", "the current one is behind": "things"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.step(begin(1))
				m := w.model(1)
				w.apply(m, w.append("a", touched{}))
				w.step(generation.State.Filled)
				w.step(generation.State.Switch)
				ahead := map[string]string{"things": "things-g2", "things-g2": "things"}[behind]
				late := func() eventsourcing.Version { // one generation has it, the other not yet
					records := w.append("a", touched{})
					p, err := projection.NewProjector(projection.Config{
						Name: "x", Table: ahead, DB: w.db, EventLog: w.log, Sources: []projection.Source{source(1)},
					})
					require.NoError(w, err)
					_, err = p.Apply(w.Context(), records)
					require.NoError(w, err)
					return records[0].Version
				}
				time.Sleep(generation.Settle)
				r := m.Reader()
				head := late()
				got, err := read(w.Context(), r, "a")
				require.NoError(w, err)
				assert.Equal(w, head, got)
				assert.Equal(w, head, w.in(behind, "a").Version, "before the answer")

				head = late()
				var all []seen
				require.NoError(w, r.BatchGet(w.Context(), []projection.Key{{ID: "a", Row: "thing"}, {ID: "none", Row: "thing"}}, &all))
				require.Len(w, all, 1)
				assert.Equal(w, head, all[0].Version)
				assert.Equal(w, head, w.in(behind, "a").Version, "before the answer")

				head = late()
				var one seen
				found, err := r.Await(w.Context(), "a", "thing", head, time.Minute, &one)
				require.NoError(w, err)
				assert.True(w, found)
				assert.Equal(w, head, w.in(behind, "a").Version, "before the answer")
			})
		})
	}
}

// TestDuringASwitchAReadIsRefusedWhereOneGenerationIsParked: an answer would be more than the one, or less than the other has
// answered.
func TestDuringASwitchAReadIsRefusedWhereOneGenerationIsParked(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.step(begin(2))
		m := w.model(1, 2)
		w.apply(m, w.append("a", touched{}, broken{}))
		w.apply(m, w.append("b", touched{}))
		w.step(generation.State.Filled)
		w.step(generation.State.Switch)
		time.Sleep(generation.Settle)
		_, err := read(w.Context(), m.Reader(), "a")
		require.ErrorIs(w, err, eventsourcing.ErrUnavailable)
		got, err := read(w.Context(), m.Reader(), "b")
		require.NoError(w, err)
		assert.Equal(w, w.in("things-g2", "b").Version, got)
	})
}

// TestAListGoesOnInItsGeneration: a cursor of the former generation is good until that is left.
func TestAListGoesOnInItsGeneration(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		m := w.model(1)
		for _, id := range []string{"a", "b", "c"} {
			w.apply(m, w.append(id, touched{}))
		}
		w.step(begin(1))
		stranger := w.model(1)
		for _, id := range []string{"a", "b", "c"} {
			w.apply(stranger, w.append(id, touched{}))
		}
		var page []struct{ projection.Key }
		listed, err := m.Reader().List(w.Context(), projection.Filter{}, 1, projection.Cursor{}, &page)
		require.NoError(w, err)
		related, err := m.Reader().Rows(w.Context(), "all", "thing#", 1, projection.Cursor{}, &page)
		require.NoError(w, err)
		rest := func() (errs []error) {
			var rows []struct{ projection.Key }
			_, err := m.Reader().List(w.Context(), projection.Filter{}, 10, listed, &rows)
			if errs = append(errs, err); err == nil {
				assert.Len(w, rows, 2)
			}
			_, err = m.Reader().Rows(w.Context(), "all", "thing#", 10, related, &rows)
			if errs = append(errs, err); err == nil {
				assert.Len(w, rows, 2)
			}
			return errs
		}
		for _, step := range []func(generation.State) (generation.State, error){
			generation.State.Filled, generation.State.Switch, generation.State.Switched,
		} {
			w.step(step)
			time.Sleep(generation.Settle)
			assert.Equal(w, []error{nil, nil}, rest())
		}
		w.step(generation.State.Retire)
		time.Sleep(generation.Settle)
		for _, err := range rest() {
			require.ErrorIs(w, err, projection.ErrBadCursor)
		}
	})
}

// TestABuildLeavesWhatItDoesNotKnow: it applies nothing while a generation is fed whose shape it does not know, and reads the
// current one as long as it knows that.
func TestABuildLeavesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		older, newer := w.model(1), w.model(1, 2)
		w.apply(older, w.append("a", touched{}))
		status, err := newer.Status(w.Context())
		require.NoError(w, err)
		assert.True(w, status.RebuildDue(), "it serves the older shape meanwhile")
		w.step(begin(2))
		time.Sleep(generation.Settle)
		status, err = newer.Status(w.Context())
		require.NoError(w, err)
		assert.False(w, status.RebuildDue(), "it is under way")

		records := w.append("a", touched{})
		require.ErrorIs(w, older.Open(w.Context()), generation.ErrUnknownShape)
		done, err := older.Apply(w.Context(), records)
		require.ErrorIs(w, err, generation.ErrUnknownShape)
		assert.Zero(w, done)
		assert.Equal(w, eventsourcing.Version(1), w.in("things", "a").Version, "it is applied to no generation")
		require.NoError(w, older.Ready(w.Context()))
		got, err := read(w.Context(), older.Reader(), "a")
		require.NoError(w, err)
		assert.Equal(w, eventsourcing.Version(1), got)
		require.NoError(w, newer.Open(w.Context()))
		w.apply(newer, records)

		for _, step := range []func(generation.State) (generation.State, error){
			generation.State.Filled, generation.State.Switch, generation.State.Switched,
		} {
			w.step(step)
		}
		time.Sleep(generation.Settle)
		require.ErrorIs(w, older.Ready(w.Context()), generation.ErrUnknownShape)
		_, err = read(w.Context(), older.Reader(), "a")
		require.ErrorIs(w, err, eventsourcing.ErrUnavailable)
		got, err = read(w.Context(), newer.Reader(), "a")
		require.NoError(w, err)
		assert.Equal(w, eventsourcing.Version(2), got)
	})
}

// TestAnAuditOfAGenerationThatIsLeftFindsNothing: reads move to another generation while a stream is suspected, which then stays behind
// because events are not applied to the former generation any more.
func TestAnAuditOfAGenerationThatIsLeftFindsNothing(t *testing.T) {
	t.Parallel()
	switched := []func(generation.State) (generation.State, error){generation.State.Switch, generation.State.Switched}
	for name, steps := range map[string][]func(generation.State) (generation.State, error){
		"switched": switched, "retired": append(switched, generation.State.Retire), "deleted": append(switched, generation.State.Retire),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				m := w.model(1)
				w.apply(m, w.touch("a", 1))
				w.step(begin(1))
				w.step(generation.State.Filled)
				w.touch("a", 1) // a message that is late
				audit := projectionaudit.Config{
					Log: w.log, Settle: time.Minute, Now: time.Now, OnFinding: func(f projectionaudit.Finding) { w.Error(f) },
					OnWait: func(int, time.Duration) {
						for _, step := range steps {
							w.step(step)
						}
						if name == "deleted" {
							_, err := w.db.DeleteTable(w.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("things")})
							require.NoError(w, err)
						}
					},
				}
				_, err := m.Audit(w.Context(), audit)
				require.ErrorIs(w, err, generation.ErrNotRead)

				found := 0
				audit.OnWait, audit.OnFinding = nil, func(projectionaudit.Finding) { found++ }
				_, err = m.Audit(w.Context(), audit)
				require.NoError(w, err)
				assert.Equal(w, 1, found, "the next audit is of the generation that is read now, and that lacks the events")
			})
		})
	}
}

// TestWhatAnOlderBuildParksIsRedrivenInEveryGeneration: an event that it does not know.
func TestWhatAnOlderBuildParksIsRedrivenInEveryGeneration(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		w.step(begin(2))
		older := w.modelOf(
			generation.Shape{Number: 1, Sources: []projection.Source{sourceOf(1, touched{})}},
			generation.Shape{Number: 2, Sources: []projection.Source{sourceOf(2, touched{})}},
		)
		w.apply(older, w.append("a", touched{}, broken{}, touched{}))
		require.NoError(w, older.RedriveKnown(w.Context()))
		assert.Equal(w, eventsourcing.Version(1), w.in("things", "a").Version)
		require.NoError(w, w.model(1).RedriveKnown(w.Context()), "a build that does not know shape 2 leaves both to others")
		assert.Equal(w, eventsourcing.Version(1), w.in("things", "a").Version)

		require.NoError(w, w.modelOf(
			generation.Shape{Number: 1, Sources: []projection.Source{source(1)}},
			generation.Shape{Number: 2, Sources: []projection.Source{source(1)}},
		).RedriveKnown(w.Context()))
		assert.Equal(w, eventsourcing.Version(3), w.in("things", "a").Version)
		assert.Equal(w, eventsourcing.Version(3), w.in("things-g2", "a").Version)
	})
}
