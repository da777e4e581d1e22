package eventsourcing_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// scripted is a Store that keeps the commits it is asked for and lets a test step in between read and append.
type scripted struct {
	eventsourcing.Store
	before  func(n int) error // runs before the nth append; its error takes the append's place
	commits []eventsourcing.Commit
}

func (s *scripted) Append(ctx context.Context, c eventsourcing.Commit) error {
	s.commits = append(s.commits, c)
	if s.before != nil {
		if err := s.before(len(s.commits)); err != nil {
			return err
		}
	}
	return s.Store.Append(ctx, c)
}

// canned is a Store of one stream that is not as it should be.
type canned struct {
	eventsourcing.Store
	records []eventsourcing.Record
	err     error
}

func (c canned) Read(
	context.Context, eventsourcing.StreamID, eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for _, r := range c.records {
			if !yield(r, nil) {
				return
			}
		}
		if c.err != nil {
			yield(eventsourcing.Record{}, c.err)
		}
	}
}

// counter is a small aggregate with a name that is unique ignoring case.
type counter struct {
	name string
	n    int
}

type event interface {
	eventsourcing.Event
	isCounterEvent()
}

type (
	named struct {
		Name string `json:"name"`
	}
	counted      struct{}
	unregistered struct{} // with the codec
)

func (named) EventName() string        { return "test/counter/named" }
func (counted) EventName() string      { return "test/counter/counted" }
func (unregistered) EventName() string { return "test/counter/unregistered" }
func (named) isCounterEvent()          {}
func (counted) isCounterEvent()        {}
func (unregistered) isCounterEvent()   {}

type decide func(counter) ([]event, error)

func (d decide) Decide(c counter) ([]event, error) { return d(c) }

func emit(events ...event) decide { return func(counter) ([]event, error) { return events, nil } }

func just(events ...event) eventsourcing.Prepare[counter, event] {
	return eventsourcing.Just(emit(events...))
}

// newCounters returns a repository that gives events the IDs e1, e2, …; not safe for concurrent use.
func newCounters(store eventsourcing.Store) *eventsourcing.Repository[counter, event] {
	codec := eventsourcing.NewCodec[event]()
	eventsourcing.Register[named](codec)
	eventsourcing.Register[counted](codec)
	ids := 0
	return &eventsourcing.Repository[counter, event]{
		Aggregate: eventsourcing.Aggregate[counter, event]{
			Category: "test/counter",
			Evolve: func(c counter, e event) counter {
				switch e := e.(type) {
				case named:
					c.name = e.Name
				case counted:
					c.n++
				}
				return c
			},
			Claims: func(c counter) []eventsourcing.Claim {
				if c.name == "" {
					return nil
				}
				return []eventsourcing.Claim{{Category: "test/counter", Name: "name", Value: strings.ToLower(c.name)}}
			},
			Enrich: func(after counter, _ event) []eventsourcing.Enrichment {
				return []eventsourcing.Enrichment{{
					Aggregate: "test/counter", ID: "of-" + after.name, Data: fmt.Appendf(nil, `{"n":%d}`, after.n),
				}}
			},
			Codec:  codec,
			States: counterStates(1, codec),
		},
		Store: store,
		NewID: func() string { ids++; return fmt.Sprintf("e%d", ids) },
		Now:   time.Now,
	}
}

// keptCounter is a counter in a snapshot.
type keptCounter struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

func counterStates(revision int, codec *eventsourcing.Codec[event]) *eventsourcing.StateCodec[counter] {
	return eventsourcing.NewStateCodec(revision, codec,
		func(c counter) keptCounter { return keptCounter{Name: c.name, N: c.n} },
		func(k keptCounter) counter { return counter{name: k.Name, n: k.N} })
}
