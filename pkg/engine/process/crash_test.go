package process_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// A program dies at each of its calls, before and after the call's effect. The next one completes what it has left, as if nothing had
// happened.
func TestACrashAtAnyCallForgetsNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprint("after the effect ", after), func(t *testing.T) {
			t.Parallel()
			for n, survived := 1, false; !survived; n++ {
				synctest.Test(t, func(t *testing.T) { survived = survives(t, n, after) })
				if t.Failed() {
					t.Fatalf("the program died at its call %d", n)
				}
			}
		})
	}
}

// survives runs a program that dies at its n-th call, and then one that does not. It reports whether the first one lived to the end.
func survives(t *testing.T, n int, after bool) bool {
	w := newWorld(t)
	defer w.server.Close()
	start := time.Now().UTC()
	w.happens("kept", Lent{Until: start.Add(5 * time.Second)}, Viewed{}, Prolonged{Until: start.Add(8 * time.Second)})
	w.happens("back", Lent{Until: start.Add(4 * time.Second)}, Returned{})
	deliveries := []delivery{{"kept", []int{1, 2}}, {"kept", []int{1, 3}}, {"back", []int{2}}, {"back", []int{1}}}
	first := w.mortal(n, after)
	first.run(10*time.Second, deliveries...)
	second := w.immortal(0)
	second.deliver(t.Context(), deliveries...) // what was not acknowledged comes again; here all of it does
	second.run(25 * time.Second)               // it waits for the first one's lease
	assert.Equal(t, []string{
		"expected", "timerSet", "expected", "timerSet", "timerFired", "commandsAsked", "commandAnswered", "reminded",
	}, w.judge("kept"))
	assert.Equal(t, []string{"expected", "timerSet", "done", "timerCancelled"}, w.judge("back"))
	assert.Zero(t, w.waiting())
	effects := slices.Compact(slices.Sorted(slices.Values(w.received)))
	assert.Equal(t, []string{"library/reminder/kept/6#1"}, effects)
	return !first.end.dead()
}

// Two programs whose clocks differ hear the same events in any order and more than once, while AWS refuses calls, repeats them and
// loses their answers, and the receiver of the commands fails.
func TestTwoProgramsUnderFaultsHaveTheEffectOfOne(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { twoPrograms(t, rand.New(rand.NewPCG(seed, 16)), seed) })
		})
	}
}

func twoPrograms(t *testing.T, r *rand.Rand, seed uint64) {
	w := newWorld(t)
	defer w.server.Close()
	w.skew = 3 * time.Second
	start := time.Now().UTC()
	var messages []delivery
	for i := range 12 {
		id := fmt.Sprint("l", i)
		later := func() time.Time { return start.Add(time.Duration(r.IntN(60_000)) * time.Millisecond) }
		events := []LoanEvent{Lent{Until: later()}}
		for range r.IntN(4) {
			events = append(events, []LoanEvent{Viewed{}, Prolonged{Until: later()}, Returned{}}[r.IntN(3)])
		}
		w.happens(id, events...)
		for v := range events {
			messages = append(messages, delivery{id, []int{v + 1}})
		}
	}
	kinds := []localaws.FaultKind{
		localaws.FaultThrottle, localaws.FaultFail, localaws.FaultLoseAnswer, localaws.FaultTransactionConflict,
	}
	faults := localaws.Faults{Seed: seed + 1, Faults: []localaws.Fault{
		{Kind: localaws.FaultLatency, AccessKey: processor, Operation: "*", Probability: 1, Max: localaws.Duration(40 * time.Millisecond)},
	}}
	for _, kind := range kinds {
		faults.Faults = append(faults.Faults, localaws.Fault{
			Kind: kind, AccessKey: processor, Operation: "DynamoDB.*", Probability: 0.08, Until: start.Add(90 * time.Second),
		})
	}
	require.NoError(t, w.server.SetFaults(faults))
	w.refuse = func(string) error { // called with w.mu held
		if time.Since(start) < 90*time.Second && r.IntN(3) == 0 {
			return errDead
		}
		return nil
	}
	shuffled := func() []delivery {
		out := append(slices.Clone(messages), messages...)
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return out
	}
	one, other := shuffled(), shuffled()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.immortal(-w.skew).run(5*time.Minute, one...)
	}()
	w.immortal(w.skew).run(4*time.Minute, other...)
	<-done
	for i := range 12 {
		w.judge(fmt.Sprint("l", i))
	}
	assert.Zero(t, w.waiting())
}

// The table of fences is lost after each event in turn, and all messages come again, to a program that knows nothing and to one that
// remembers. The log says what was heard.
func TestAfterALossOfTheFencesNothingIsHeardAgain(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(p *program, upTo int){
		"by messages": func(p *program, upTo int) {
			for v := range upTo {
				p.deliver(p.w.t.Context(), delivery{"kept", []int{v + 1}})
			}
			p.deliver(p.w.t.Context(), delivery{"back", []int{1, 2}})
		},
		"by a catch-up": func(p *program, _ int) {
			_, err := p.hears.CatchUp(p.w.t.Context(), p.w.log.All(p.w.t.Context(), 1))
			require.NoError(p.w.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				defer w.server.Close()
				start := time.Now().UTC()
				w.happens("back", Lent{Until: start.Add(4 * time.Second)}, Returned{})
				same := w.immortal(0)
				for i, e := range []LoanEvent{
					Viewed{}, Lent{Until: start.Add(5 * time.Second)}, Viewed{}, Prolonged{Until: start.Add(8 * time.Second)}, Viewed{},
				} {
					w.happens("kept", e)
					again(same, i+1)
					w.loseFences()
					again(same, i+1)
					w.loseFences()
					again(w.immortal(0), i+1)
				}
				same.run(25 * time.Second)
				assert.Equal(t, []string{
					"expected", "timerSet", "expected", "timerSet", "timerFired", "commandsAsked", "commandAnswered", "reminded",
				}, w.judge("kept"))
				assert.Equal(t, []string{"expected", "timerSet", "done", "timerCancelled"}, w.judge("back"))
				assert.Zero(t, w.waiting())
			})
		})
	}
}
