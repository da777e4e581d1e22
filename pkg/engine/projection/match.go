package projection

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// MaxMatches is how many streams Matches needs one call of DynamoDB for, if they have an own row only: it reads two rows of each.
const MaxMatches = maxBatchGet / 2

// Match is a stream whose rows are what the log's events up to Fence are folded to, and which is not parked.
type Match struct {
	Fence eventsourcing.Version
	Rows  []Key // all that the stream has
}

// Matches compares the rows of streams with the log as Compare does, by few reads of many rows, and returns those that match. Of the
// others it says nothing, such as whether they have only moved: that is for Compare. Each of logged is a stream's records, at least one,
// from its first event on without a gap, as the log had them at some time.
func (p *Projector) Matches(ctx context.Context, logged [][]eventsourcing.Record) (map[eventsourcing.StreamID]Match, error) {
	m := matching{Projector: p}
	for _, records := range logged {
		a, err := p.newApplier(records[0].Stream)
		if err != nil {
			return nil, fmt.Errorf("compare %s in %s: %w", records[0].Stream, p.config.Name, err)
		}
		m.streams = append(m.streams, &matched{applier: a, records: records})
	}
	for _, step := range []func(context.Context) error{m.own, m.others, m.unmoved} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("compare %d streams in %s: %w", len(logged), p.config.Name, err)
		}
	}
	matches := make(map[eventsourcing.StreamID]Match, len(m.streams))
	for _, s := range m.streams {
		match := Match{Fence: fenceOf(s.before), Rows: sorted(s.others)}
		if s.before != nil {
			match.Rows = append(match.Rows, s.key)
		}
		matches[s.stream] = match
	}
	return matches, nil
}

// matching compares streams at once. Each step leaves those that match so far.
type matching struct {
	*Projector

	streams []*matched
}

type matched struct {
	*applier

	records []eventsourcing.Record
	before  Item         // the own row
	others  map[Key]Item // that the stream should have at that row's version
}

// own compares the own rows with the log.
func (m *matching) own(ctx context.Context) error {
	var keys []Key
	for _, s := range m.streams {
		keys = append(keys, s.key, s.parkedKey())
	}
	stored, err := m.stored(ctx, keys)
	m.streams = slices.DeleteFunc(m.streams, func(s *matched) bool {
		s.before = stored[s.key]
		return stored[s.parkedKey()] != nil || !s.refolded()
	})
	return err
}

// refolded folds the records, and reports whether they can be, and give the own row.
func (s *matched) refolded() bool {
	log := func(yield func(eventsourcing.Record, error) bool) {
		for _, r := range s.records {
			if !yield(r, nil) {
				return
			}
		}
	}
	entries := map[Key]Item{}
	f, err := s.refoldTo(log, fenceOf(s.before), func(part map[Key]Item) error {
		maps.Copy(entries, part)
		return nil
	})
	own := maps.Clone(s.before)
	delete(own, attrRebuild) // which no event has written
	if err != nil || !equalItems(own, f.own) {
		return false
	}
	s.others = entries
	maps.Copy(s.others, f.related)
	return true
}

// others compares all other rows with the log.
func (m *matching) others(ctx context.Context) error {
	all := map[Key]Item{}
	for _, s := range m.streams {
		maps.Copy(all, s.others)
	}
	stored, err := m.stored(ctx, sorted(all))
	m.streams = slices.DeleteFunc(m.streams, func(s *matched) bool {
		for key, item := range s.others {
			if !equalItems(stored[key], item) {
				return true
			}
		}
		return false
	})
	return err
}

// unmoved reads the own rows again, of the streams that have others, too: these were read at one version.
func (m *matching) unmoved(ctx context.Context) error {
	var keys []Key
	for _, s := range m.streams {
		if len(s.others) > 0 {
			keys = append(keys, s.key)
		}
	}
	stored, err := m.stored(ctx, keys)
	m.streams = slices.DeleteFunc(m.streams, func(s *matched) bool { return len(s.others) > 0 && moved(s.before, stored[s.key]) })
	return err
}
