// Package faults decides, by a seed, which calls of which operations go wrong, and how.
//
// A decision hangs on the seed, the rule, the operation and the number of the operation's call alone: how calls of
// different operations interleave changes nothing. The server asks a Plan before each call and sends the answer along in
// the context, where the services find what only they can do.
package faults

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"sync/atomic"
	"time"
)

// Plan holds the rules in force and counts their strikes.
type Plan struct {
	now        func() time.Time
	rules      []Rule
	operations map[string]*operation
}

// operation counts the calls of one operation, and knows the rules that concern it, in the order of the plan.
type operation struct {
	calls   atomic.Uint64
	targets []*target
}

// target is one rule as far as it concerns one operation.
type target struct {
	rule    Rule
	number  int // of the rule in the plan
	refuses bool
	seed    uint64
	strikes atomic.Int64
}

// New plans the rules for the operations there are, named as "Service.Operation". Its error tells every mistake.
func New(rules []Rule, seed uint64, operations []string, now func() time.Time) (*Plan, error) {
	if err := check(rules, operations); err != nil {
		return nil, err
	}
	p := &Plan{now: now, rules: rules, operations: map[string]*operation{}}
	alike := map[string]int{}
	for i, r := range rules {
		// A rule's chances do not depend on the other rules, so that taking one away leaves the strikes of the rest.
		name := string(r.Kind) + " " + r.Operation
		alike[name]++
		for _, op := range r.struck(operations) {
			if p.operations[op] == nil {
				p.operations[op] = &operation{}
			}
			p.operations[op].targets = append(p.operations[op].targets, &target{
				rule: r, number: i, refuses: r.refuses(op), seed: seedOf(seed, name, strconv.Itoa(alike[name]), op),
			})
		}
	}
	return p, nil
}

func seedOf(seed uint64, names ...string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, seed)) // a hash takes everything
	for _, n := range names {
		_, _ = h.Write(append([]byte(n), 0))
	}
	return h.Sum64()
}

// Strikes is how often each rule has struck each operation.
func (p *Plan) Strikes() []map[string]int64 {
	out := make([]map[string]int64, len(p.rules))
	for i := range out {
		out[i] = map[string]int64{}
	}
	for name, op := range p.operations {
		for _, t := range op.targets {
			if n := t.strikes.Load(); n > 0 {
				out[t.number][name] = n
			}
		}
	}
	return out
}

// Call counts a call of an operation and returns what may strike it, or nil.
func (p *Plan) Call(name string) *Call {
	op := p.operations[name]
	if op == nil {
		return nil
	}
	n, now := op.calls.Add(1), p.now()
	c := &Call{operation: name}
	for _, t := range op.targets {
		s := &Strike{target: t, dice: dice(mix(t.seed + n*golden))}
		if t.rule.holds(now) && !t.spent() && s.dice.roll() < t.rule.Probability {
			c.strikes = append(c.strikes, s)
		}
	}
	if len(c.strikes) == 0 {
		return nil
	}
	return c
}

func (t *target) spent() bool { return t.rule.Limit > 0 && t.strikes.Load() >= t.rule.Limit }

// Call is what may strike one call.
type Call struct {
	operation string
	strikes   []*Strike
}

// MaxRepeated is how many former records a read repeats at most.
const MaxRepeated = 10

// Strike is one fault that befalls one call. A nil Strike is none.
type Strike struct {
	target *target
	dice   dice
}

// Take says whether the fault takes place, and counts it: not if there is none, or if its rule has struck the operation
// often enough. Whoever calls it has made sure that the fault makes a difference.
func (s *Strike) Take() bool {
	if s == nil {
		return false
	}
	if n := s.target.strikes.Add(1); s.target.rule.Limit > 0 && n > s.target.rule.Limit {
		s.target.strikes.Add(-1)
		return false
	}
	return true
}

// Chance is a number from 0 up to but not 1; each call of it another.
func (s *Strike) Chance() float64 { return s.dice.roll() }

// Pick is one of 0 to n-1; each call of it another.
func (s *Strike) Pick(n int) int { return int(s.dice.roll() * float64(n)) }

type key struct{}

// With sends what may strike a call along to its operation.
func With(ctx context.Context, c *Call) context.Context { return context.WithValue(ctx, key{}, c) }

// On is the fault of a kind that befalls the call, or nil.
func On(ctx context.Context, kind Kind) *Strike {
	c, _ := ctx.Value(key{}).(*Call)
	return c.first(kind)
}

func (c *Call) first(kind Kind) *Strike {
	if c == nil {
		return nil
	}
	for _, s := range c.strikes {
		if s.target.rule.Kind == kind && !s.target.refuses {
			return s
		}
	}
	return nil
}

// golden and mix are SplitMix64's: https://prng.di.unimi.it/splitmix64.c
const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

type dice uint64

func (d *dice) roll() float64 {
	*d += golden
	return float64(mix(uint64(*d))>>11) / (1 << 53)
}
