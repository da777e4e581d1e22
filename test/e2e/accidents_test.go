package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// crash kills the process with all of these commands in it, each at its point, and takes the clients' part afterwards.
func (s *stage) crash(points ...point) {
	entries, answers := make([]*entry, len(points)), make([]*systemtest.Answer, len(points))
	listeners, killed := make([]*listener, len(points)), make(chan struct{})
	for i, p := range points {
		entries[i] = s.entry(p)
	}
	for i, p := range points {
		listeners[i] = s.listenTo(p)
		listeners[i].strike = stopAt(p.moment, listeners[i].struck, killed)
	}
	var commands sync.WaitGroup
	kill := sync.OnceFunc(func() {
		s.CommandAPI.Kill()
		close(killed)
	})
	defer kill() // those that came to their points wait for it
	for i, e := range entries {
		commands.Go(func() { answers[i] = s.ask(s.t.Context(), e, e.ask(e.subject)) })
	}
	for _, l := range listeners {
		l.await(s.t)
	}
	kill()
	commands.Wait()
	require.NoError(s.t, s.CommandAPI.Start(s.t.Context()))
	for i, e := range entries {
		s.judge(e.point, answers[i])
		s.afterwards(e)
	}
	s.forget()
}

// stopAt stops a command at that moment of a call until the process is killed.
func stopAt(m moment, there chan<- struct{}, killed <-chan struct{}) ear {
	return func(_ call, send sending) (*http.Response, error) {
		if m == heard {
			defer func() { close(there); <-killed }()
			return send()
		}
		if m == unheard {
			drop(send())
		}
		close(there)
		<-killed
		return send() // the dead reach nobody
	}
}

func drop(res *http.Response, err error) {
	if err == nil {
		_ = res.Body.Close() // nobody reads it
	}
}

// play lets an accident happen to the command of a process that lives on.
func (s *stage) play(p point) {
	e := s.entry(p)
	ctx, hangUp := context.WithCancel(s.t.Context())
	defer hangUp()
	l := s.listenTo(p)
	l.strike = func(_ call, send sending) (*http.Response, error) {
		defer close(l.struck)
		if p.moment == deserted {
			drop(send())
			hangUp()
			return nil, context.Canceled
		}
		s.loseAnswers(true)
		if p.moment == lost {
			defer s.loseAnswers(false)
		}
		return send()
	}
	answer := s.ask(ctx, e, p.ask(p.subject))
	l.await(s.t)
	s.loseAnswers(false)
	s.judge(p, answer)
	s.afterwards(e)
	s.forget()
}

// loseAnswers takes AWS's answers away, some by a status 500, others by a broken connection.
func (s *stage) loseAnswers(from bool) {
	f := localaws.Faults{Seed: uint64(len(s.ledger))}
	if from {
		f.Faults = []localaws.Fault{{Kind: localaws.FaultLoseAnswer, Operation: "DynamoDB.*", Probability: 1}}
	}
	assert.NoError(s.t, s.AWS.SetFaults(f))
}

// behind reports whether a step is none of the client's business: its answer comes before that or after it.
func (s *stage) behind(at step) bool { return at.call == "PutItem "+s.Names.Snapshots }

func (s *stage) afterwards(e *entry) {
	if s.keyed {
		s.askAgain(e)
	} else {
		s.wishAgain(e)
	}
}

// judge holds what came of the accident against what may: no wrong answer, whatever happened.
func (s *stage) judge(p point, answer *systemtest.Answer) {
	switch {
	case answer != nil && answer.Status == http.StatusAccepted:
		assert.Equal(s.t, s.first[p.name], shape(*answer), p)
		assert.True(s.t, p.moment == lost || s.behind(p.at), p)
	case p.kills():
		assert.Nil(s.t, answer, p)
	default:
		assert.Equal(s.t, http.StatusServiceUnavailable, answer.Status, "%s: %s", p, answer.Body)
		assert.NotEqual(s.t, lost, p.moment, "%s: one lost answer must not show", p)
		assert.NotEmpty(s.t, answer.Header.Get("Retry-After"), p)
	}
}

// askAgain is a client with a key: it gets the first answer, also when the world has moved on, and nothing else.
func (s *stage) askAgain(e *entry) {
	first := s.ask(s.t.Context(), e, e.ask(e.subject))
	require.NotNil(s.t, first, e.point)
	assert.Equal(s.t, s.first[e.name], shape(*first), e.point)
	made, err := systemtest.Decode[systemtest.Receipt](*first)
	require.NoError(s.t, err)
	s.stranger.stir(e.of, made.ID)
	again := s.ask(s.t.Context(), e, e.ask(e.subject))
	require.NotNil(s.t, again, e.point)
	assert.Equal(s.t, told(*first), told(*again), e.point)
	other := s.ask(s.t.Context(), e, e.other(e.subject))
	require.NotNil(s.t, other, e.point)
	assert.Equal(s.t, http.StatusUnprocessableEntity, other.Status, "%s: %s", e.point, other.Body)
	s.problem(*other, "idempotency_key_reused")
}

// wishAgain is a client without a key: it may be told that all is so already, and never does a thing twice.
func (s *stage) wishAgain(e *entry) {
	for range 2 {
		answer := s.ask(s.t.Context(), e, e.ask(e.subject))
		require.NotNil(s.t, answer, e.point)
		if answer.Status == http.StatusAccepted {
			assert.Equal(s.t, s.first[e.name], shape(*answer), e.point)
			continue
		}
		assert.Equal(s.t, http.StatusConflict, answer.Status, e.point)
		s.problem(*answer, e.again)
	}
}

// told is all of an answer that a repetition tells as well.
func told(a systemtest.Answer) string {
	h := a.Header.Clone()
	h.Del("X-Correlation-Id")
	h.Del("Idempotent-Replayed")
	return fmt.Sprintf("%d %v %s", a.Status, h, a.Body)
}

// shape is what answers to commands of one kind have in common: all but the id.
func shape(a systemtest.Answer) string {
	made, _ := systemtest.Decode[systemtest.Receipt](a) // a problem has none
	if made.ID == "" {
		return told(a)
	}
	return strings.ReplaceAll(told(a), made.ID, "{id}")
}

// compare holds all that was said against the log: one event of each command, whose own answer alone is not a repetition.
func (s *stage) compare() {
	records, err := s.Records(s.t.Context())
	require.NoError(s.t, err)
	for _, e := range s.ledger {
		var events []eventsourcing.Record
		for _, x := range e.sent {
			events = append(events, records[x.correlation]...)
		}
		if e.idle {
			assert.Empty(s.t, events, e.point)
			continue
		}
		if !assert.Len(s.t, events, 1, e.point) {
			continue
		}
		for _, x := range e.sent {
			s.hold(e, x, events[0])
		}
	}
}

func (s *stage) hold(e *entry, x exchange, event eventsourcing.Record) {
	if x.answer == nil || x.answer.Status != http.StatusAccepted {
		return
	}
	receipt, err := systemtest.Decode[systemtest.Receipt](*x.answer)
	require.NoError(s.t, err)
	if s.keyed {
		replayed := x.answer.Header.Get("Idempotent-Replayed")
		assert.Equal(s.t, x.correlation != event.Metadata.CorrelationID, replayed == "true", "%s: replayed %q", e.point, replayed)
	} else if e.again != "" {
		assert.Equal(s.t, event.Metadata.CorrelationID, x.correlation, "%s: only one can have done it", e.point)
	}
	assert.Equal(s.t, eventsourcing.StreamID{Category: e.of, ID: receipt.ID}, event.Stream, e.point)
	assert.EqualValues(s.t, event.Version, receipt.Version, e.point)
}
