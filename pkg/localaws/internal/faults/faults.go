// Package faults decides from a seed which calls of which operations go wrong, and how.
//
// A decision depends only on the seed, the rule, the operation and the number of the operation's call, so the interleaving
// of different operations changes nothing. The server consults the Plan before each call. A fault strikes a call when it takes
// effect; faults that only a service can carry out reach it in the call's context.
package faults

import (
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"sync/atomic"
	"time"
)

// Plan holds the active rules and counts their strikes.
type Plan struct {
	now        func() time.Time
	rules      []Rule
	operations map[string]*operation
}

// operation counts the calls of one operation and lists the rules for it, in the order of the plan.
type operation struct {
	calls   atomic.Uint64
	targets []*target
}

// target is one rule applied to one operation.
type target struct {
	rule    Rule
	number  int // index of the rule in the plan
	refuses bool
	seed    uint64
	strikes atomic.Int64
}

// New returns the plan of rules for operations named "Service.Operation". The error reports every mistake.
func New(rules []Rule, seed uint64, operations []string, now func() time.Time) (*Plan, error) {
	if err := check(rules, operations); err != nil {
		return nil, err
	}
	p := &Plan{now: now, rules: rules, operations: map[string]*operation{}}
	sameName := map[string]int{}
	for i, r := range rules {
		// A rule's random numbers do not depend on other rules, so removing a rule leaves the strikes of the others as they are.
		name := string(r.Kind) + " " + r.Operation
		sameName[name]++
		for _, op := range r.targets(operations) {
			if p.operations[op] == nil {
				p.operations[op] = &operation{}
			}
			p.operations[op].targets = append(p.operations[op].targets, &target{
				rule: r, number: i, refuses: r.refuses(op), seed: seedOf(seed, name, strconv.Itoa(sameName[name]), op),
			})
		}
	}
	return p, nil
}

func seedOf(seed uint64, names ...string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, seed)) // a hash never fails
	for _, n := range names {
		_, _ = h.Write(append([]byte(n), 0))
	}
	return h.Sum64()
}

// Strikes returns how often each rule has struck each operation.
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

// Call counts a call of an operation and returns the faults that may strike it, or nil.
func (p *Plan) Call(name, accessKey string) *Call {
	op := p.operations[name]
	if op == nil {
		return nil
	}
	n, now := op.calls.Add(1), p.now()
	c := &Call{operation: name}
	for _, t := range op.targets {
		s := &Strike{target: t, random: random(mix(t.seed + n*golden))}
		if t.rule.active(accessKey, now) && !t.spent() && s.random.next() < t.rule.Probability {
			c.strikes = append(c.strikes, s)
		}
	}
	if len(c.strikes) == 0 {
		return nil
	}
	return c
}

func (t *target) spent() bool { return t.rule.Limit > 0 && t.strikes.Load() >= t.rule.Limit }
