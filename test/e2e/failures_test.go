package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// crash kills the process while all of these commands are in flight, each at its point; then their clients retry.
func (s *stage) crash(points ...point) {
	entries, answers := make([]*entry, len(points)), make([]*systemtest.Answer, len(points))
	watchers, killed := make([]*watcher, len(points)), make(chan struct{})
	for i, p := range points {
		entries[i] = s.entry(p)
	}
	for i, p := range points {
		watchers[i] = s.watch(p)
		watchers[i].strike = stopAt(p.failure, watchers[i].struck, killed)
	}
	var commands sync.WaitGroup
	kill := sync.OnceFunc(func() {
		s.CommandAPI.Kill()
		close(killed)
	})
	defer kill() // commands that have reached their points wait for it
	for i, e := range entries {
		commands.Go(func() { answers[i] = s.attempt(s.t.Context(), e, e.request(e.subject)) })
	}
	for _, l := range watchers {
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

// stopAt holds a command at a call, before or after it, until the process is killed.
func stopAt(m failure, there chan<- struct{}, killed <-chan struct{}) handler {
	return func(_ call, send sending) (*http.Response, error) {
		if m == killedAfterAnswer {
			defer func() { close(there); <-killed }()
			return send()
		}
		if m == killedBeforeAnswer {
			drop(send())
		}
		close(there)
		<-killed
		return send() // has no effect: the connection is cut
	}
}

func drop(res *http.Response, err error) {
	if err == nil {
		_ = res.Body.Close() // not read
	}
}

// play injects a failure that the process survives.
func (s *stage) play(p point) {
	e := s.entry(p)
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	l := s.watch(p)
	l.strike = func(_ call, send sending) (*http.Response, error) {
		defer close(l.struck)
		if p.failure == clientGone {
			drop(send())
			cancel()
			return nil, context.Canceled
		}
		if p.failure == answerLost { // this one alone: a snapshot is written while the command goes on
			drop(send())
			return lost(len(s.ledger))
		}
		s.loseAnswers(true)
		return send()
	}
	answer := s.attempt(ctx, e, p.request(p.subject))
	l.await(s.t)
	s.loseAnswers(false)
	s.judge(p, answer)
	s.afterwards(e)
	s.forget()
}

// lost is what comes instead of an answer: a status 500 or a broken connection.
func lost(n int) (*http.Response, error) {
	if n%2 == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody}, nil
}

// loseAnswers makes AWS's answers get lost, some by a status 500, others by a broken connection.
func (s *stage) loseAnswers(from bool) {
	f := localaws.Faults{Seed: uint64(len(s.ledger))}
	if from {
		f.Faults = []localaws.Fault{{Kind: localaws.FaultLoseAnswer, Operation: "DynamoDB.*", Probability: 1}}
	}
	assert.NoError(s.t, s.AWS.SetFaults(f))
}

// behind reports whether a step is done behind the answer: the client may get its answer before it or after it.
func (s *stage) behind(at step) bool { return at.call == "PutItem "+s.Names.Snapshots }

func (s *stage) afterwards(e *entry) {
	if s.keyed {
		s.retryWithKey(e)
	} else {
		s.retryWithoutKey(e)
	}
}

// judge asserts that the answer is right, whatever the failure was.
func (s *stage) judge(p point, answer *systemtest.Answer) {
	switch {
	case answer != nil && answer.Status == http.StatusAccepted:
		assert.Equal(s.t, s.first[p.name], shape(*answer), p)
		assert.True(s.t, p.failure == answerLost || s.behind(p.at), p)
	case p.kills():
		assert.Nil(s.t, answer, p)
	default:
		assert.Equal(s.t, http.StatusServiceUnavailable, answer.Status, "%s: %s", p, answer.Body)
		assert.NotEqual(s.t, answerLost, p.failure, "%s: the client must not notice one lost answer", p)
		assert.NotEmpty(s.t, answer.Header.Get("Retry-After"), p)
	}
}

// retryWithKey asserts that a client with a key gets the first answer, also after others have written, and nothing else.
func (s *stage) retryWithKey(e *entry) {
	first := s.attempt(s.t.Context(), e, e.request(e.subject))
	require.NotNil(s.t, first, e.point)
	assert.Equal(s.t, s.first[e.name], shape(*first), e.point)
	made, err := systemtest.Decode[systemtest.Receipt](*first)
	require.NoError(s.t, err)
	s.other.advance(e.of, made.ID)
	again := s.attempt(s.t.Context(), e, e.request(e.subject))
	require.NotNil(s.t, again, e.point)
	assert.Equal(s.t, answered(*first), answered(*again), e.point)
	other := s.attempt(s.t.Context(), e, e.other(e.subject))
	require.NotNil(s.t, other, e.point)
	assert.Equal(s.t, http.StatusUnprocessableEntity, other.Status, "%s: %s", e.point, other.Body)
	s.problem(*other, "idempotency_key_reused")
}

// retryWithoutKey asserts that a client without a key may be refused, and never carries a command out twice.
func (s *stage) retryWithoutKey(e *entry) {
	for range 2 {
		answer := s.attempt(s.t.Context(), e, e.request(e.subject))
		require.NotNil(s.t, answer, e.point)
		if answer.Status == http.StatusAccepted {
			assert.Equal(s.t, s.first[e.name], shape(*answer), e.point)
			continue
		}
		assert.Equal(s.t, http.StatusConflict, answer.Status, e.point)
		s.problem(*answer, e.again)
	}
}

// answered returns all of an answer that a repetition has as well.
func answered(a systemtest.Answer) string {
	h := a.Header.Clone()
	h.Del("X-Correlation-Id")
	h.Del("Idempotent-Replayed")
	return fmt.Sprintf("%d %v %s", a.Status, h, a.Body)
}

// shape returns what answers to commands of one kind have in common: all but the id.
func shape(a systemtest.Answer) string {
	made, _ := systemtest.Decode[systemtest.Receipt](a) // a problem has none
	if made.ID == "" {
		return answered(a)
	}
	return strings.ReplaceAll(answered(a), made.ID, "{id}")
}

// compare asserts that the log has one event of each command, and that only the answer to it is no replay.
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
		assert.Equal(s.t, event.Metadata.CorrelationID, x.correlation, "%s: only one request can have written it", e.point)
	}
	assert.Equal(s.t, eventsourcing.StreamID{Category: e.of, ID: receipt.ID}, event.Stream, e.point)
	assert.EqualValues(s.t, event.Version, receipt.Version, e.point)
}
