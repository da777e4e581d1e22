package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// course is the circumstances in which commands meet with accidents.
type course struct {
	env map[string]string
	// keyed commands have an Idempotency-Key.
	keyed bool
	// warm: the process knows the state. Else it has just started.
	warm bool
	// overtaken: another process writes between the decision and the write of it.
	overtaken bool
	// long: the stream has more events than lie between snapshots.
	long bool
	// repeated: the command was carried out before.
	repeated bool
	// few kinds will do, for others would make the same calls: one with nothing but an event, with claims, with a guard.
	few bool
}

func courses() map[string]course {
	long := map[string]string{"SNAPSHOT_EVERY": "1", "COMMAND_CACHE": "0"}
	return map[string]course{
		"keyed, cold":           {keyed: true},
		"keyed, warm":           {keyed: true, warm: true},
		"keyed, overtaken":      {keyed: true, warm: true, overtaken: true, few: true},
		"keyed, repeated":       {keyed: true, warm: true, repeated: true, few: true},
		"keyed, from snapshots": {keyed: true, long: true, few: true, env: long},
		"cold":                  {},
		"warm":                  {warm: true},
		"overtaken":             {warm: true, overtaken: true, few: true},
	}
}

// moment is what happens at a call of AWS, and when.
type moment int

const (
	unsent   moment = iota // the process is killed before the call is sent
	unheard                // it is killed when the call is carried out, before the answer arrives
	heard                  // it is killed when the answer is there, before the client has its own
	lost                   // the answer is lost, once; the process goes on
	cutOff                 // this answer and all after it are lost, until the process gives up
	deserted               // the client gives up when the call is carried out
)

func (m moment) String() string {
	return [...]string{
		"killed before it is sent", "killed before its answer", "killed after its answer", "its answer lost", "all answers lost", "the client gone",
	}[m]
}

func (m moment) kills() bool { return m <= heard }

// matters is false where the moment is another one under a different name.
func (m moment) matters(at step, last bool) bool {
	switch m {
	case heard:
		return last // else it is the next one's unsent
	case cutOff, deserted:
		return at.writes() // else nothing is at stake
	default:
		return true
	}
}

// step is a command's n-th call of that kind.
type step struct {
	call string
	nth  int
}

// writes reports whether the step is the one that may carry the command out.
func (s step) writes() bool { return s.call == "TransactWriteItems" || s.call == "PutItem EventLog" }

func (s step) String() string { return fmt.Sprintf("%s #%d", s.call, s.nth) }

// point is one accident of one command.
type point struct {
	kind
	subject

	at step
	moment
}

func (p point) String() string { return fmt.Sprintf("%s, %s: %s", p.name, p.at, p.moment) }

// TestACommandIsCarriedOutOnceWhateverCrashes lets every kind of command make its calls of AWS, and then lets it meet
// with every accident at each of them. What is there then is one event, and the answer it had, or would have had.
func TestACommandIsCarriedOutOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	var points, kills atomic.Int64
	t.Cleanup(func() { t.Logf("%d points, %d of them crashes", points.Load(), kills.Load()) })
	for name, c := range courses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, c)
			all := s.points()
			var together []point
			for _, p := range all {
				switch {
				case !p.kills():
					s.play(p)
				case s.behind(p.at): // one after another is how they are written
					s.crash(p)
				default:
					together = append(together, p)
				}
				if p.kills() {
					kills.Add(1)
				}
			}
			s.crash(together...)
			points.Add(int64(len(all)))
			s.compare()
			s.settled()
		})
	}
}

// stage is a course on its system.
type stage struct {
	api
	course

	tap      *wiretap
	stranger *stranger
	first    map[string]string // of each kind, the answer it has without an accident
	ledger   []*entry

	listeners []*listener
}

// entry is what was said of one command.
type entry struct {
	point
	sent []exchange
}

// exchange is a request that asks for the command.
type exchange struct {
	correlation string
	answer      *systemtest.Answer // nil: lost
}

func newStage(t *testing.T, c course) *stage {
	t.Helper()
	a, tap := newTapped(t, c.env)
	return &stage{api: a, course: c, tap: tap, stranger: newStranger(a), first: map[string]string{}}
}

// points are all there are: every moment of each call of AWS that a kind of command is seen to make.
func (s *stage) points() (all []point) {
	var models []point
	for _, k := range kinds() {
		if few := []string{"update", "change e-mail", "add role"}; !s.few || slices.Contains(few, k.name) {
			models = append(models, point{kind: k, subject: newSubject()})
		}
	}
	s.given(models)
	for _, p := range models {
		e := s.entry(p)
		l := s.listenTo(p)
		answer := s.ask(s.t.Context(), e, p.ask(p.subject))
		require.NotNil(s.t, answer, p.name)
		require.Equal(s.t, http.StatusAccepted, answer.Status, "%s: %s", p.name, answer.Body)
		s.first[p.name] = shape(*answer)
		if s.long { // what is written behind is, when it stops
			require.NoError(s.t, s.CommandAPI.Stop())
			require.NoError(s.t, s.CommandAPI.Start(s.t.Context()))
		}
		s.forget()
		require.NotEmpty(s.t, l.steps, p.name)
		for i, at := range l.steps {
			for m := range deserted + 1 {
				if m.matters(at, i == len(l.steps)-1) {
					all = append(all, point{kind: p.kind, subject: newSubject(), at: at, moment: m})
				}
			}
		}
	}
	s.given(all)
	return all
}

// given prepares what must be there long before. What is to be in the process's memory comes right before its point.
func (s *stage) given(all []point) {
	if s.warm {
		return
	}
	for _, p := range all {
		s.prepare(p)
	}
	require.NoError(s.t, s.CommandAPI.Stop())
	require.NoError(s.t, s.CommandAPI.Start(s.t.Context()))
}

func (s *stage) prepare(p point) {
	for _, ask := range p.given {
		r := ask(p.subject)
		s.accept(r.Method, r.Path, r.Body)
	}
	if s.long {
		s.stranger.stir(p.of, p.id())
	}
}

// id is that of the aggregate which the command changes.
func (p point) id() string {
	if p.of == role.Category {
		return p.role
	}
	return p.user
}

// entry opens the book on a command, which is sent a first time if that is the course.
func (s *stage) entry(p point) *entry {
	e := &entry{point: p}
	s.ledger = append(s.ledger, e)
	if s.warm {
		s.prepare(p)
	}
	if s.repeated {
		require.NotNil(s.t, s.ask(s.t.Context(), e, p.ask(p.subject)), p)
	}
	return e
}

// ask sends the command. It returns nil if the answer does not arrive.
func (s *stage) ask(ctx context.Context, e *entry, r systemtest.Request) *systemtest.Answer {
	r.Correlation = newID()
	if s.keyed {
		r.Header = http.Header{"Idempotency-Key": {"key-of-" + e.word}}
	}
	var arrived *systemtest.Answer
	if answer, err := s.Do(ctx, r); err == nil {
		arrived = &answer
	} else {
		assert.ErrorIs(s.t, err, systemtest.ErrDown, e.point)
	}
	e.sent = append(e.sent, exchange{r.Correlation, arrived})
	return arrived
}
