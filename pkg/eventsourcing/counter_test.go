package eventsourcing_test

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// scripted is a Store that records the commits it receives and lets a test step in between read and append.
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
	Name string `json:"name"`
	N    int    `json:"n"`
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

// counterRepository is a repository of counters whose parts a test may change between two calls.
type counterRepository struct {
	eventsourcing.Config[counter, event]
}

func (r *counterRepository) repository() *eventsourcing.Repository[counter, event] {
	repository, err := eventsourcing.NewRepository(r.Config)
	if err != nil {
		panic(err)
	}
	return repository
}

func (r *counterRepository) Load(ctx context.Context, id string) (counter, eventsourcing.Version, error) {
	return r.repository().Load(ctx, id)
}

func (r *counterRepository) Do(ctx context.Context, id string, d decide, with ...eventsourcing.Option) (eventsourcing.Version, error) {
	return r.repository().Do(ctx, id, d, with...)
}

func (r *counterRepository) DoWith(
	ctx context.Context, id string, prepare eventsourcing.Prepare[counter, event], with ...eventsourcing.Option,
) (eventsourcing.Version, error) {
	return r.repository().DoWith(ctx, id, prepare, with...)
}

// newCounters returns a repository that gives events the IDs e1, e2, …; not safe for concurrent use.
func newCounters(store eventsourcing.Store) *counterRepository {
	codec := eventsourcing.NewCodec[event](named{}, counted{})
	ids := 0
	return &counterRepository{eventsourcing.Config[counter, event]{
		Aggregate: eventsourcing.Aggregate[counter, event]{
			Category: "test/counter",
			Evolve: func(c counter, e event) counter {
				switch e := e.(type) {
				case named:
					c.Name = e.Name
				case counted:
					c.N++
				}
				return c
			},
			Claims: func(c counter) []eventsourcing.Claim {
				if c.Name == "" {
					return nil
				}
				return []eventsourcing.Claim{{Category: "test/counter", Name: "name", Value: strings.ToLower(c.Name)}}
			},
			Codec:  codec,
			States: snapshot.NewCodec[counter](1, codec),
		},
		Store: store,
		NewID: func() string { ids++; return fmt.Sprintf("e%d", ids) },
	}}
}
