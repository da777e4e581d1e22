// Package trouble breaks a running system on its embedded AWS: on request, for a minute at most, and so that the services notice and
// nobody else does. It counts what becomes of the events meanwhile.
package trouble

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/services/console/faults"
)

// Lasts is how long a fault lasts.
const Lasts = time.Minute

// Config is a system that can be broken.
type Config struct {
	AWS   *localaws.Server
	Names topology.Names
	// Callers are the access keys of the services, whose calls are struck.
	Callers []string
	// Kill has what kills a service, for streamer and broker.
	Kill map[string]func()
	// Story plays a story on the system and reports.
	Story func(context.Context, io.Writer) error
	Now   func() time.Time
}

// System implements faults.System. Run has to run for its stories.
type System struct {
	Config

	ways []way
	db   *dynamodb.Client
	log  *dynamostore.Store
	play chan struct{}

	mu sync.Mutex
	// until has when each fault ends that was begun, by its way.
	until map[string]time.Time
	// before are the strikes of each that AWS has forgotten, since faults were set again.
	before map[string]int64
	// set are the ways of the faults that are set, in their order.
	set   []string
	story told
}

// told is what a story has reported.
type told struct {
	text            bytes.Buffer
	playing, broken bool
}

// New returns a system in which all is well.
func New(c Config) *System {
	db := dynamodb.NewFromConfig(c.AWS.Config())
	return &System{
		Config: c, ways: ways(), db: db, play: make(chan struct{}, 1), until: map[string]time.Time{}, before: map[string]int64{},
		log: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: c.Names.EventLog}}),
	}
}

// Ways implements faults.System.
func (s *System) Ways() (all []faults.Way) {
	s.mu.Lock()
	defer s.mu.Unlock()
	struck := s.struck()
	for _, w := range s.ways {
		if until := s.until[w.Name]; s.Now().Before(until) {
			w.Until, w.Strikes = until, struck[w.Name]
		}
		all = append(all, w.Way)
	}
	return all
}

// Break implements faults.System.
func (s *System) Break(ctx context.Context, name string) error {
	i := slices.IndexFunc(s.ways, func(w way) bool { return w.Name == name })
	if i < 0 {
		return fmt.Errorf("there is no way %q", name)
	}
	if once := s.ways[i].once; once != nil {
		return once(ctx, s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = s.struck()
	s.until[name], s.before[name] = s.Now().Add(Lasts), 0
	return s.apply()
}

// End implements faults.System.
func (s *System) End() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.until)
	return s.apply()
}

// apply sets the faults that are under way. AWS itself ends each in time.
func (s *System) apply() error {
	var all []localaws.Fault
	s.set = nil
	for _, w := range s.ways {
		if !s.Now().Before(s.until[w.Name]) {
			continue
		}
		for _, f := range w.faults {
			f.Until = s.until[w.Name]
			for _, caller := range s.Callers {
				if one := f; f.AccessKey == "" || f.AccessKey == caller {
					one.AccessKey = caller
					all, s.set = append(all, one), append(s.set, w.Name)
				}
			}
		}
	}
	return s.AWS.SetFaults(localaws.Faults{Seed: uint64(s.Now().UnixNano()), Faults: all})
}

// struck are the strikes of each way.
func (s *System) struck() map[string]int64 {
	all := maps.Clone(s.before)
	report := s.AWS.FaultReport()
	if len(report.Faults) != len(s.set) {
		return all // others have set faults, by AWS's own address
	}
	for i, f := range report.Faults {
		for _, strikes := range f.Strikes {
			all[s.set[i]] += strikes
		}
	}
	return all
}

// mostEvents is how many events of a log are counted, each time somebody looks.
const mostEvents = 20_000

// State implements faults.System.
func (s *System) State(ctx context.Context) (state faults.State) {
	s.mu.Lock()
	state.Story, state.Playing, state.Broken = s.story.text.String(), s.story.playing, s.story.broken
	s.mu.Unlock()
	fold := oracle.Fold{Heads: map[eventsourcing.StreamID]eventsourcing.Version{}}
	for record, err := range s.log.All(ctx, 1) {
		if err != nil {
			state.Note = "The log cannot be read: " + err.Error()
			return state
		}
		fold.Heads[record.Stream] = max(fold.Heads[record.Stream], record.Version)
		if fold.Events++; fold.Events > mostEvents {
			state.Note = fmt.Sprintf("The log has more than %d events: leftfold projections audit compares them with the rows.", mostEvents)
			return state
		}
	}
	models, err := oracle.Models(ctx, s.db, s.Names)
	if err != nil {
		state.Note = "The rows cannot be read: " + err.Error()
		return state
	}
	for i, p := range s.Names.Projections() {
		shown, all, err := fold.Shown(ctx, models[i])
		if err != nil {
			state.Note = "The rows cannot be read: " + err.Error()
			return state
		}
		state.Models = append(state.Models, faults.Model{Name: p.Name, Shown: shown, All: all})
	}
	return state
}

// Play implements faults.System.
func (s *System) Play() {
	select {
	case s.play <- struct{}{}:
	default: // one is to be played already
	}
}

// Run plays stories until ctx ends.
func (s *System) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.play:
			s.perform(ctx)
		}
		select { // what was asked for meanwhile was for this one
		case <-s.play:
		default:
		}
	}
}

// perform plays a story in trouble.
func (s *System) perform(ctx context.Context) {
	s.mu.Lock()
	s.story = told{playing: true}
	s.mu.Unlock()
	for _, name := range []string{"answers", "reorder", "kill-streamer"} {
		if err := s.Break(ctx, name); err != nil {
			_, _ = fmt.Fprintf(s, "%s: %v\n", name, err) // it cannot fail
		}
	}
	err := s.Story(ctx, s)
	if err != nil {
		_, _ = fmt.Fprintln(s, err) // as above
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story.playing, s.story.broken = false, err != nil
}

// Write takes what a story reports.
func (s *System) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.story.text.Write(text)
}
