package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// scenario is the circumstances in which commands meet failures.
type scenario struct {
	env map[string]string
	// keyed commands have an Idempotency-Key.
	keyed bool
	// warm: the process has the state in its cache. Otherwise it has just started.
	warm bool
	// overtaken: another process writes between the decision and the write of it.
	overtaken bool
	// long: the stream is long enough to have a snapshot.
	long bool
	// repeated: the command was carried out before.
	repeated bool
	// few kinds suffice, as others make the same calls: with an event only, with claims, with a guard.
	few bool
}

func scenarios() map[string]scenario {
	long := map[string]string{"SNAPSHOT_EVERY": "1", "COMMAND_CACHE": "0"}
	return map[string]scenario{
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

// failure is what happens at a call of AWS, and when.
type failure int

const (
	killedBeforeCall   failure = iota // the process is killed before the call is sent
	killedBeforeAnswer                // it is killed when the call is carried out, before the answer arrives
	killedAfterAnswer                 // it is killed after the answer, before it answers the client
	answerLost                        // the answer is lost, once; the process continues
	allAnswersLost                    // this answer and all later ones are lost, until the process gives up
	clientGone                        // the client gives up when the call is carried out
)

func (m failure) String() string {
	return [...]string{
		"killed before it is sent", "killed before its answer", "killed after its answer",
		"its answer lost", "all answers lost", "the client gone",
	}[m]
}

func (m failure) kills() bool { return m <= killedAfterAnswer }

// matters is false where the failure equals another one.
func (m failure) matters(at step, last bool) bool {
	switch m {
	case killedAfterAnswer:
		return last // otherwise it equals the next call's killedBeforeCall
	case allAnswersLost, clientGone:
		return at.writes() // otherwise nothing is at stake
	default:
		return true
	}
}

// step is the n-th call of that kind by a command.
type step struct {
	call string
	nth  int
}

// writes reports whether the step is the one that may carry the command out.
func (s step) writes() bool { return s.call == "TransactWriteItems" || s.call == "PutItem EventLog" }

func (s step) String() string { return fmt.Sprintf("%s #%d", s.call, s.nth) }

// point is one failure of one command.
type point struct {
	kind
	subject

	at step
	failure
}

func (p point) String() string { return fmt.Sprintf("%s, %s: %s", p.name, p.at, p.failure) }

// TestACommandIsCarriedOutOnceWhateverCrashes records the AWS calls of every kind of command, and then injects every failure
// at each of them. Afterwards there is one event, and a repetition gets the answer that the command got or would have got.
func TestACommandIsCarriedOutOnceWhateverCrashes(t *testing.T) {
	t.Parallel()
	var points, kills atomic.Int64
	t.Cleanup(func() { t.Logf("%d points, %d of them crashes", points.Load(), kills.Load()) })
	for name, c := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, c)
				all := s.points()
				var together []point
				for _, p := range all {
					switch {
					case !p.kills():
						s.play(p)
					case s.behind(p.at): // snapshots are written one after another
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
		})
	}
}

// stage is a system in a scenario.
type stage struct {
	api
	scenario

	proxy  *proxy
	other  *otherWriter
	first  map[string]string // the answer of each kind without a failure
	ledger []*entry

	watchers []*watcher
}

// entry is all requests and answers of one command.
type entry struct {
	point
	sent []exchange
}

// exchange is one request of the command.
type exchange struct {
	correlation string
	answer      *systemtest.Answer // nil: lost
}

func newStage(t *testing.T, c scenario) *stage {
	t.Helper()
	a, proxy := newProxied(t, c.env)
	return &stage{api: a, scenario: c, proxy: proxy, other: newOtherWriter(a), first: map[string]string{}}
}

// points returns every failure at each call of AWS that a kind of command makes.
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
		l := s.watch(p)
		answer := s.attempt(s.t.Context(), e, p.request(p.subject))
		require.NotNil(s.t, answer, p.name)
		require.Equal(s.t, http.StatusAccepted, answer.Status, "%s: %s", p.name, answer.Body)
		s.first[p.name] = shape(*answer)
		if s.long { // snapshots are written at the stop at the latest
			require.NoError(s.t, s.CommandAPI.Stop())
			require.NoError(s.t, s.CommandAPI.Start(s.t.Context()))
		}
		s.forget()
		require.NotEmpty(s.t, l.steps, p.name)
		for i, at := range l.steps {
			for m := range clientGone + 1 {
				if m.matters(at, i == len(l.steps)-1) {
					all = append(all, point{kind: p.kind, subject: newSubject(), at: at, failure: m})
				}
			}
		}
	}
	s.given(all)
	return all
}

// given prepares what must exist before. What must be in the cache is prepared right before its point.
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
	for _, build := range p.given {
		r := build(p.subject)
		s.accept(r.Method, r.Path, r.Body)
	}
	if s.long {
		s.other.advance(p.of, p.id())
	}
}

// id returns the id of the aggregate that the command changes.
func (p point) id() string {
	if p.of == role.Category {
		return p.role
	}
	return p.user
}

// entry adds a command to the ledger, and sends it a first time if the scenario repeats it.
func (s *stage) entry(p point) *entry {
	e := &entry{point: p}
	s.ledger = append(s.ledger, e)
	if s.warm {
		s.prepare(p)
	}
	if s.repeated {
		require.NotNil(s.t, s.attempt(s.t.Context(), e, p.request(p.subject)), p)
	}
	return e
}

// attempt sends the command. It returns nil if the answer does not arrive.
func (s *stage) attempt(ctx context.Context, e *entry, r systemtest.Request) *systemtest.Answer {
	r.Correlation = newID()
	if s.keyed {
		r.Header = http.Header{"Idempotency-Key": {"key-of-" + e.word}}
	}
	var arrived *systemtest.Answer
	if answer, err := s.Do(ctx, r); err == nil {
		arrived = &answer
	} else {
		assert.ErrorIs(s.t, err, processes.ErrDown, e.point)
	}
	e.sent = append(e.sent, exchange{r.Correlation, arrived})
	return arrived
}
