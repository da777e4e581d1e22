package simulation

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// scheduler makes AWS calls the steps of a run. Every call of every process waits until the scheduler delivers it: when nothing
// in the bubble can run, the calls that arrived meanwhile are sorted, the seed gives each a time, and virtual time advances to
// the next of these times. So it does not matter which goroutine came first.
type scheduler struct {
	random *rand.Rand // used by the scheduler's goroutine only
	fate   func(*call) fate
	do     func(*call) *answer // carries the call out
	trace  *trace

	wake chan struct{}
	quit chan struct{}
	done chan struct{}

	mu      sync.Mutex
	arrived []*call
	posted  []func()

	events events
	serial int
	steps  int
}

// call is one request to AWS by a process.
type call struct {
	life *life
	op   string // "DynamoDB.PutItem"
	head http.Header
	url  string
	raw  []byte
	body map[string]any
	key  string // identifies it among the process's calls, the same in every run of a seed

	arrivedAt time.Time
	until     time.Time // of a long poll
	attempt   int       // of a long poll
	answers   chan *answer
	gone      <-chan struct{} // closed when the caller no longer waits for the answer
}

// answer is the answer of AWS, or of the network.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// fate is what happens to a call in addition to the faults of localaws.
type fate struct {
	kill   bool // the process dies
	pause  time.Duration
	silent bool // no answer comes
	after  bool // the call took effect before that
}

type event struct {
	at     time.Time
	serial int
	run    func()
}

type events []*event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].serial < e[j].serial
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(*event)) } //nolint:errcheck,forcetypeassert // only events are pushed
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

func newScheduler(random *rand.Rand, t *trace) *scheduler {
	return &scheduler{
		random: random, trace: t,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// run delivers calls until stop.
func (s *scheduler) run() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		synctest.Wait()
		s.admit()
		pause := 24 * time.Hour
		if len(s.events) > 0 {
			pause = time.Until(s.events[0].at)
		}
		if pause <= 0 {
			next := heap.Pop(&s.events).(*event) //nolint:errcheck,forcetypeassert // only events are pushed
			next.run()
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.quit:
			return
		}
	}
}

func (s *scheduler) stop() {
	close(s.quit)
	<-s.done
}

// at schedules something. Called by the scheduler's goroutine only.
func (s *scheduler) at(t time.Time, run func()) {
	s.serial++
	heap.Push(&s.events, &event{at: t, serial: s.serial, run: run})
}

func (s *scheduler) in(d time.Duration, run func()) { s.at(time.Now().Add(d), run) }

// post runs f on the scheduler's goroutine soon.
func (s *scheduler) post(f func()) {
	s.mu.Lock()
	s.posted = append(s.posted, f)
	s.mu.Unlock()
	s.wakeUp()
}

func (s *scheduler) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// latency is the time from a process to AWS: usually short, sometimes long, and never the same twice.
func (s *scheduler) latency() time.Duration {
	d := time.Millisecond + time.Duration(s.random.Int64N(int64(8*time.Millisecond)))
	if s.random.IntN(20) == 0 {
		d += time.Duration(s.random.Int64N(int64(300 * time.Millisecond)))
	}
	return d
}

// admit gives every new call its time, in an order that does not depend on which goroutine ran first.
func (s *scheduler) admit() {
	s.mu.Lock()
	arrived, posted := s.arrived, s.posted
	s.arrived, s.posted = nil, nil
	s.mu.Unlock()
	for _, f := range posted {
		f()
	}
	for _, c := range arrived {
		c.key = s.trace.describe(c)
	}
	slices.SortStableFunc(arrived, func(a, b *call) int {
		if d := strings.Compare(a.life.instance, b.life.instance); d != 0 {
			return d
		}
		return strings.Compare(a.key, b.key)
	})
	for _, c := range arrived {
		s.in(s.latency(), func() { s.deliver(c) })
	}
}

// deliver carries out a call, or what its fate is.
func (s *scheduler) deliver(c *call) {
	if time.Until(c.life.pausedUntil) > 0 {
		s.hold(c.life, func() { s.deliver(c) })
		return
	}
	select {
	case <-c.gone: // the caller has given up, but the request may be on its way
		if s.random.IntN(2) == 0 {
			s.finish(c, nil, "given up")
			return
		}
		s.do(c)
		s.finish(c, nil, "too late")
		return
	default:
	}
	f := fate{}
	if !c.life.dead() {
		f = s.fate(c)
	}
	if f.kill && !f.after {
		s.trace.note("kill %s before %s", c.life.instance, c.key)
		c.life.kill("")
		return
	}
	if f.pause > 0 && !f.after {
		s.trace.note("pause %s for %v before %s", c.life.instance, f.pause, c.key)
		c.life.pausedUntil = time.Now().Add(f.pause)
		s.deliver(c)
		return
	}
	if f.silent && !f.after {
		s.finish(c, nil, "silent")
		return
	}
	a := s.do(c)
	if a == nil { // a long poll continues
		return
	}
	switch {
	case f.silent:
		s.finish(c, nil, "silent after its effect")
	case f.kill:
		s.trace.note("kill %s after %s", c.life.instance, c.key)
		c.life.kill("")
	case f.pause > 0:
		s.trace.note("pause %s for %v after %s", c.life.instance, f.pause, c.key)
		c.life.pausedUntil = time.Now().Add(f.pause)
		s.hold(c.life, func() { s.finish(c, a, "") })
	default:
		s.finish(c, a, "")
	}
}

// hold delays f until its process resumes.
func (s *scheduler) hold(l *life, f func()) {
	l.held = append(l.held, f)
	s.at(l.pausedUntil, func() { s.resume(l) })
}

func (s *scheduler) resume(l *life) {
	if time.Until(l.pausedUntil) > 0 {
		return // paused again
	}
	for _, f := range l.held {
		s.in(s.latency(), f)
	}
	l.held = nil
}

// finish records a call and answers it.
func (s *scheduler) finish(c *call, a *answer, what string) {
	s.steps++
	s.trace.step(c, a, what)
	if a != nil {
		c.answers <- a
	}
}

// connection is a process's connection to AWS.
type connection struct {
	scheduler *scheduler
	life      *life
}

// killedError stops the SDK from retrying.
type killedError struct{ error }

func (killedError) CanceledError() bool { return true }

var errKilled = killedError{errors.New("killed")}

// RoundTrip implements http.RoundTripper.
func (l *connection) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.life.dead() {
		return nil, errKilled
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	c, err := newCall(r)
	if err != nil {
		return nil, err
	}
	gone, leave := context.WithCancel(context.Background())
	defer leave()
	c.life, c.gone = l.life, gone.Done()
	s := l.scheduler
	s.mu.Lock()
	s.arrived = append(s.arrived, c)
	s.mu.Unlock()
	s.wakeUp()
	for done := r.Context().Done(); ; {
		select {
		case a := <-c.answers:
			if l.life.dead() {
				return nil, errKilled
			}
			return a.response(r)
		case <-l.life.died:
			return nil, errKilled
		case <-done:
			if !l.life.replica.world.mutant.waits(c) {
				return nil, r.Context().Err()
			}
			l.life.hangs.Store(true)
			done = nil
		}
	}
}

func (a *answer) response(r *http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}

// newCall returns the call that a request is.
func newCall(r *http.Request) (*call, error) {
	c := &call{op: operation(r), head: r.Header.Clone(), url: r.URL.String(), arrivedAt: time.Now(), answers: make(chan *answer, 1)}
	if r.Body != nil {
		var err error
		if c.raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	c.body = object(c.raw)
	return c, nil
}

// operation returns "API.Operation".
func operation(r *http.Request) string {
	service, op, named := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	service, _, _ = strings.Cut(service, "_")
	switch {
	case named:
		return service + "." + op
	case r.Method == http.MethodPut:
		return "S3.PutObject"
	case r.URL.Query().Has("list-type"):
		return "S3.ListObjectsV2"
	default:
		return "S3.GetObject"
	}
}
