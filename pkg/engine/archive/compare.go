package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/leftfold/leftfold/pkg/engine/archive/internal/spill"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Kind is a kind of Finding.
type Kind string

// The kinds of findings.
const (
	// Missing events are in the log and not in the archive.
	Missing Kind = "missing"
	// Lost events are in the archive, and not in the log that it is compared with.
	Lost Kind = "lost"
	// Foreign events are in the log that is to be restored, and not in the source.
	Foreign Kind = "foreign"
	// Changed events are not the same in both.
	Changed Kind = "changed"
	// Contradictory events are in the archive several times, and not always the same.
	Contradictory Kind = "contradictory"
	// Hole: neither of them has an event of a stream that has later ones.
	Hole Kind = "hole"
	// Unreadable is what in the archive or the log is no event of this build.
	Unreadable Kind = "unreadable"
)

// Finding is what is wrong with some successive events of a stream, or with what cannot be read. Its text is free of personal data.
type Finding struct {
	Kind Kind
	// Stream and the versions say which events.
	Stream      string
	First, Last eventsourcing.Version
	// Detail is about what cannot be read, in place of them.
	Detail string
}

func (f Finding) String() string {
	switch {
	case f.Kind == Unreadable:
		return fmt.Sprintf("%s: %s", f.Kind, f.Detail)
	case f.First == f.Last:
		return fmt.Sprintf("%s: %s version %d", f.Kind, f.Stream, f.First)
	default:
		return fmt.Sprintf("%s: %s versions %d to %d", f.Kind, f.Stream, f.First, f.Last)
	}
}

// findings counts findings and reports them, those of one kind and successive versions as one.
type findings struct {
	report func(Finding) // nil: nobody wants them
	last   Finding       // not reported; zero: none
	count  int
	of     map[Kind]int // by kind
}

func (f *findings) add(next Finding) {
	if f.last.Kind == next.Kind && next.Kind != Unreadable && f.last.Stream == next.Stream && f.last.Last+1 == next.First {
		f.last.Last = next.Last
		return
	}
	f.flush()
	f.last = next
	f.count++
	if f.of == nil {
		f.of = map[Kind]int{}
	}
	f.of[next.Kind]++
}

// flush reports what was not yet.
func (f *findings) flush() {
	if f.last.Kind != "" && f.report != nil {
		f.report(f.last)
	}
	f.last = Finding{}
}

// comparison sorts the events of a source, the archive or another table, and of the log, by stream and version.
type comparison struct {
	sorter *spill.Sorter
	// value is what is kept of an event, by its envelope: equal if and only if the events are.
	value func(eventsourcing.Record, []byte) []byte
	found *findings

	read, logged int
	progress     func(read, logged int)
}

// memory is what a comparison holds of the events, in bytes.
const memory = 128 << 20

// The sides of a comparison, in the order in which equal events are sorted.
const (
	ofSource = 's'
	ofLog    = 't'
)

// addAll adds the events of one side. What cannot be read is a finding.
func (c *comparison) addAll(side byte, events iter.Seq2[eventsourcing.Record, error]) error {
	count := &c.read
	if side == ofLog {
		count = &c.logged
	}
	for r, err := range events {
		var body []byte
		if err == nil {
			if body, err = canonical(r); err != nil {
				err = &UnreadableError{fmt.Sprintf("%s version %d", r.Stream, r.Version), err}
			}
		}
		_, unreadable := errors.AsType[*UnreadableError](err)
		switch {
		case unreadable || errors.Is(err, eventsourcing.ErrLogHole):
			c.found.add(Finding{Kind: Unreadable, Detail: err.Error()})
			continue
		case err != nil:
			return err
		}
		key := binary.BigEndian.AppendUint64([]byte(r.Stream.String()+"\x00"), uint64(r.Version))
		if err := c.sorter.Add(spill.Entry{Key: key, Value: append([]byte{side}, c.value(r, body)...)}); err != nil {
			return fmt.Errorf("sort the events: %w", err)
		}
		if *count++; *count%1000 == 0 && c.progress != nil {
			c.progress(c.read, c.logged)
		}
	}
	return nil
}

// canonical returns the envelope by which two copies of an event are compared: as it is after it was read once.
func canonical(r eventsourcing.Record) ([]byte, error) {
	body, err := envelope.Encode(r)
	if err != nil {
		return nil, err
	}
	if r, err = envelope.Decode(body); err != nil {
		return nil, err
	}
	return envelope.Encode(r)
}

// pair is what both sides have of one event.
type pair struct {
	stream       string
	version      eventsourcing.Version
	follows      eventsourcing.Version // the stream's version before it; 0: there is none
	source, log  []byte                // what is kept of it; nil: it is not there
	repeated     int                   // how often the source has it besides
	contradicted bool                  // not all of these are the same
}

func (p pair) finding(kind Kind) Finding {
	return Finding{Kind: kind, Stream: p.stream, First: p.version, Last: p.version}
}

// hole is what is missing before the event.
func (p pair) hole() Finding {
	return Finding{Kind: Hole, Stream: p.stream, First: p.follows + 1, Last: p.version - 1}
}

func (p *pair) add(value []byte) {
	switch side, value := value[0], value[1:]; {
	case side == ofLog:
		p.log = value
	case p.source == nil:
		p.source = value
	default:
		p.repeated++
		p.contradicted = p.contradicted || !bytes.Equal(p.source, value)
	}
}

// pairs yields every event once, those of a stream one after the other and in order. It may be called again.
func (c *comparison) pairs(ctx context.Context) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		var current pair
		var key []byte
		for e, err := range c.sorter.All() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(pair{}, err)
				return
			}
			if !bytes.Equal(e.Key, key) {
				if key != nil && !yield(current, nil) {
					return
				}
				text := len(e.Key) - 9
				next := pair{stream: string(e.Key[:text]), version: eventsourcing.Version(binary.BigEndian.Uint64(e.Key[text+1:]))}
				if next.stream == current.stream {
					next.follows = current.version
				}
				current, key = next, e.Key
			}
			current.add(e.Value)
		}
		if key != nil {
			yield(current, nil)
		}
	}
}
