package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/direct"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// hop is a place of an event's way. Its journey has a step for each but the ends, which the client sees.
type hop struct {
	name, service, operation string
	outcome                  journey.Outcome
	to                       string // "": wherever
}

var hops = []hop{ // read only, in order
	{name: "command answered: in the log"},
	{"published: in Kinesis", "streamer", "publish", journey.Sent, ""},
	{"routed: in the queue", "broker", "route", journey.Sent, "IamUserQueue.fifo"},
	{"received by the projector", "projector-user", "project users", journey.Received, ""},
	{"applied: in the row", "projector-user", "project users", journey.Applied, ""},
	{name: "seen by a reader"},
}

// visible registers users at several rates and times each hop of the events, from when the command was due.
func visible(ctx context.Context, b Bench) (report.Section, error) {
	t := report.Table{Headline: "seen by a reader", Columns: []string{"since the command was due, ms"}}
	for _, rate := range b.Size.Rates {
		t.Columns = append(t.Columns, fmt.Sprintf("%g a second: p50", rate), "p99")
	}
	rows := make([][]measure.Sample, len(hops))
	p50 := report.Plot{Name: "visible", Title: "From due to visible, p50 of each hop", X: "commands a second", Y: "ms", LogX: true}
	p99 := report.Plot{Name: "visible-p99", Title: "From due to visible, p99 of each hop", X: "commands a second", Y: "ms", LogX: true}
	for _, h := range hops {
		p50.Lines, p99.Lines = append(p50.Lines, report.Line{Name: h.name}), append(p99.Lines, report.Line{Name: h.name})
	}
	samples := make([][2][]measure.Sample, len(b.Size.Rates)) // of each hop
	for i := range samples {
		samples[i] = [2][]measure.Sample{make([]measure.Sample, len(hops)), make([]measure.Sample, len(hops))}
	}
	err := b.with(ctx, plan{services: processes.ServiceNames()}, func(s *system) error {
		return b.rounds("visible", func(round int) error {
			for i, rate := range b.Size.Rates {
				passed, err := s.pass(ctx, rate, b.spell(rate))
				if err != nil {
					return fmt.Errorf("%g a second: %w", rate, err)
				}
				for h, l := range passed {
					if round > untilWarm {
						samples[i][0][h] = append(samples[i][0][h], l.Milliseconds(0.5))
						samples[i][1][h] = append(samples[i][1][h], l.Milliseconds(0.99))
					}
				}
			}
			return nil
		})
	})
	for i, rate := range b.Size.Rates {
		for h := range hops {
			rows[h] = append(rows[h], samples[i][0][h], samples[i][1][h])
			p50.Lines[h].Add(rate, samples[i][0][h])
			p99.Lines[h].Add(rate, samples[i][1][h])
		}
	}
	for h, row := range rows {
		t.Add(hops[h].name, row...)
	}
	return report.Section{
		Case: "visible", Title: "From commit to visible",
		Text: fmt.Sprintf("Registrations are due at a fixed rate for %s. Each row counts from the time when the command was due. The first "+
			"and the last hop are the client's: the answer, and the answer to `GET /users/{id}?min_version=1`, which it sends then; those "+
			"between are in the journeys that the processes remember, of every tenth event. On AWS the calls take longer; "+
			"`STREAM_POLL`, 200 ms, is the same.",
			b.Size.Spell),
		Tables: []report.Table{t}, Plots: []report.Plot{p50, p99},
	}, err
}

// pass registers users and returns the times of each hop.
func (s *system) pass(ctx context.Context, rate float64, n int) ([]*load.Latencies, error) {
	const sampled = 10 // one of so many has its journey looked at
	passed := make([]*load.Latencies, len(hops))
	for i := range passed {
		passed[i] = load.NewLatencies()
	}
	var mu sync.Mutex
	due := map[string]time.Time{}
	err := load.Open(ctx, rate, n, func(ctx context.Context, i int, at time.Time) error {
		id := newID()
		if err := s.see(ctx, register(id), func() { passed[0].Add(time.Since(at)) }); err != nil {
			return err
		}
		passed[len(hops)-1].Add(time.Since(at))
		if i%sampled == 0 {
			mu.Lock()
			defer mu.Unlock()
			due[id] = at
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, at := range due {
		if err := s.journey(ctx, id, at, passed); err != nil {
			return nil, err
		}
	}
	return passed, nil
}

// see sends a command about a user and returns when a reader sees what came of it. answered is called when the command is.
func (s *system) see(ctx context.Context, c command, answered func()) error {
	r, err := s.send(ctx, c)
	for ; refused(err, http.StatusServiceUnavailable); r, err = s.send(ctx, c) { // it was not written
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	answered()
	return s.awaitUser(ctx, r.ID, r.Version)
}

// journey adds what the processes remember of a user's event.
func (s *system) journey(ctx context.Context, id string, due time.Time, passed []*load.Latencies) error {
	for i, h := range hops {
		if h.service == "" {
			continue
		}
		for _, p := range s.of(h.service) {
			at, err := remembered(ctx, p.AdminAddress(), id, h)
			if err != nil {
				return err
			}
			if !at.IsZero() {
				passed[i].Add(at.Sub(due))
			}
		}
	}
	return nil
}

// remembered returns when the process at an address took the event through the hop; zero if it did not.
func remembered(ctx context.Context, admin, id string, h hop) (at time.Time, err error) {
	query := url.Values{"stream": {direct.Stream(id).String()}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/journey?"+query.Encode(), http.NoBody)
	if err != nil {
		return at, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return at, err
	}
	var found struct {
		Steps []struct {
			At        time.Time
			Operation string
			Outcome   journey.Outcome
			To        string
		}
	}
	if err := errors.Join(json.NewDecoder(answer.Body).Decode(&found), answer.Body.Close()); err != nil {
		return at, fmt.Errorf("read the journey of %s: %w", id, err)
	}
	for _, step := range found.Steps {
		if step.Operation == h.operation && step.Outcome == h.outcome && (h.to == "" || step.To == h.to) {
			return step.At, nil
		}
	}
	return at, nil
}
