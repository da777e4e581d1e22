package simulation

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/buildtest"
)

// mutant is a planted bug: it changes what a process sends to AWS or receives from it. The services stay as they are.
type mutant struct {
	Name string
	// Means describes the bug.
	Means string
	// Of is the service that has the bug; empty: all.
	Of string
	// call carries out a call with the bug; next carries it out unchanged.
	call func(w *world, c *call, next func(*call) *answer) *answer
	// url changes a client's request.
	url func(path string) string
	// build changes the build that a process is of.
	build func(buildtest.Build) buildtest.Build
	// source changes what a log is restored from.
	source func(recorded) recorded
	// shows changes a plan into one in which the bug shows soon: what it takes may be rare in a drawn one.
	shows func(*Plan)
	// endless reports whether a process waits for the call's answer for ever.
	endless func(c *call) bool
}

func (m *mutant) waits(c *call) bool {
	return m != nil && m.endless != nil && (m.Of == "" || m.Of == c.life.replica.kind) && m.endless(c)
}

func (m *mutant) do(w *world, c *call, next func(*call) *answer) *answer {
	if m == nil || m.call == nil || c.life.replica.kind != m.Of && m.Of != "" {
		return next(c)
	}
	return m.call(w, c, next)
}

func (m *mutant) buildOf(b buildtest.Build) buildtest.Build {
	if m == nil || m.build == nil {
		return b
	}
	return m.build(b)
}

func (m *mutant) restores(source recorded) recorded {
	if m == nil || m.source == nil {
		return source
	}
	return m.source(source)
}

func (m *mutant) path(p string) string {
	if m == nil || m.url == nil {
		return p
	}
	return m.url(p)
}

// mutant returns a new mutant of the plan, since some keep state.
func (p Plan) mutant() *mutant {
	for _, m := range mutants() {
		if m.Name == p.Mutant {
			return &m
		}
	}
	return nil
}

// Planting returns the plan with a planted bug, and with what it takes for it to show.
func (p Plan) Planting(bug string) Plan {
	p.Mutant, p.Moves = bug, slices.Clone(p.Moves)
	if m := p.mutant(); m != nil && m.shows != nil {
		m.shows(&p)
	}
	return p
}

// moving is a plan in which these happen, too.
func moving(moves ...string) func(*Plan) {
	return func(p *Plan) { p.Moves, p.Every = append(p.Moves, moves...), cmp.Or(p.Every, 2*time.Second) }
}

func rebuilding(p *Plan) { p.Rebuilds, p.Upgrade = true, "" }

func ruled(p *Plan) { p.Ruled, p.Hot, p.Clients, p.Commands = true, false, 10, 60 }

func silent(p *Plan) { p.Silent = 20 }

func killing(p *Plan) {
	p.Kill, p.Every = 6, 2*time.Second
	p.Moves = append(p.Moves, moveKill, moveKillAll)
}

// damaging is a plan in which rows are damaged and audited, and of one generation.
func damaging(p *Plan) {
	p.Audits, p.Rebuilds, p.Upgrade = true, false, ""
	moving(moveDamage, moveDamage)(p)
}

func archivingAll(p *Plan) { p.Archive, p.Kill = true, 20 }

// losingTheLog is a plan in which the log is lost once, and nothing else stops the clients.
func losingTheLog(p *Plan) {
	p.Archive, p.LogLost, p.Outage, p.Upgrade = true, true, 0, ""
	p.Moves = slices.DeleteFunc(p.Moves, func(m string) bool { return m == moveUnacceptable })
}

// Mutants returns the names and the descriptions of the bugs that can be planted.
func Mutants() (names []string, means map[string]string) {
	means = map[string]string{}
	for _, m := range mutants() {
		names = append(names, m.Name)
		means[m.Name] = m.Means
	}
	return names, means
}

func mutants() []mutant {
	return slices.Concat(writingMutants(), readingMutants(), replacingMutants(), relayMutants(), projectingMutants(), silenceMutants(),
		permanentMutants(), upgradeMutants(), rebuildMutants(), auditMutants(),
		archiveMutants(), processMutants())
}

// with returns the call with another body.
func (c *call) with(body map[string]any) *call {
	other := *c
	other.body, other.raw = body, encode(body)
	return &other
}

// copied returns a copy of the body that can be changed at its first level.
func (c *call) copied() map[string]any { return maps.Clone(c.body) }

// with returns the answer with another body.
func (a *answer) with(body map[string]any) *answer {
	return &answer{status: a.status, header: a.header, body: encode(body)}
}

func (a *answer) ok() bool { return a.err == nil && a.status == http.StatusOK }

func success(body map[string]any) *answer {
	return &answer{status: http.StatusOK, header: http.Header{}, body: encode(body)}
}

// transact carries out a transaction without the items that drop selects; the answer covers all of them.
func transact(c *call, next func(*call) *answer, drop func(item map[string]any) bool) (a *answer, dropped []any) {
	body := c.copied()
	var kept []any
	var gone []int
	for i, item := range list(body["TransactItems"]) {
		if drop(fields(item)) {
			dropped = append(dropped, item)
			gone = append(gone, i)
		} else {
			kept = append(kept, item)
		}
	}
	if len(dropped) == 0 {
		return next(c), nil
	}
	body["TransactItems"] = kept
	a = next(c.with(body))
	answered := object(a.body)
	if reasons := list(answered["CancellationReasons"]); a.err == nil && len(reasons) > 0 {
		for _, i := range gone {
			reasons = slices.Insert(reasons, min(i, len(reasons)), any(map[string]any{"Code": "None"}))
		}
		answered["CancellationReasons"] = reasons
		a = a.with(answered)
	}
	return a, dropped
}

// sendUntil sends a call until it succeeds, as long as its process lives.
func sendUntil(w *world, c *call, next func(*call) *answer, in time.Duration, taken func(*answer) bool) {
	w.scheduler.in(in, func() {
		if c.life.dead() {
			return
		}
		if a := next(c); !taken(a) {
			sendUntil(w, c, next, time.Second, taken)
		}
	})
}
