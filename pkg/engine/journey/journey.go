// Package journey remembers what a process did with its last events: where it read each, where it sent it, and what came of
// it. It is for an operator who asks where an event is. It keeps identifiers and places, never data, in a ring in memory:
// the oldest step makes room for the newest, and nothing survives the process.
package journey

import (
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Outcome is what came of a step.
type Outcome string

// The outcomes.
const (
	Sent      Outcome = "sent"      // To has acknowledged the event
	SetAside  Outcome = "set aside" // it can never be sent
	Received  Outcome = "received"  // from a queue
	Applied   Outcome = "applied"   // the row shows it
	Healed    Outcome = "healed"    // applied, and read from the log, because no message brought it in time
	Duplicate Outcome = "duplicate" // it was applied before
	Parked    Outcome = "parked"    // its aggregate is parked: it is acknowledged and not applied
)

// Step is what was done with one event in one place.
type Step struct {
	// At is when the step ended. Add sets it.
	At time.Time
	// Operation is who did it, such as "publish" or "project users".
	Operation string
	Outcome   Outcome

	Stream  eventsourcing.StreamID
	Version eventsourcing.Version
	EventID string

	// From is the shard or the queue that it was read from; Sequence is its position in the shard, and Receives how often the
	// queue has delivered it. All are empty if the event was read from the log.
	From     string
	Sequence string
	Receives int
	// To is where it was sent, or the table of the row.
	To string
	// Before and After are the version that the row showed, if the step is about one.
	Before, After eventsourcing.Version
}

// Recorder remembers steps. It is safe for concurrent use, and a nil Recorder remembers nothing.
type Recorder struct {
	size int
	now  func() time.Time

	mu    sync.Mutex
	steps []Step // a ring once it is full
	next  int    // where the oldest step of a full ring is
}

// NewRecorder returns a Recorder of that many steps.
func NewRecorder(size int, now func() time.Time) *Recorder { return &Recorder{size: size, now: now} }

// Add remembers a step.
func (r *Recorder) Add(s Step) {
	if r == nil {
		return
	}
	s.At = r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.steps) < r.size {
		r.steps = append(r.steps, s)
		return
	}
	r.steps[r.next] = s
	r.next = (r.next + 1) % r.size
}

// Find returns the steps that match, the oldest first, and when the oldest step that is remembered was, of whichever event.
func (r *Recorder) Find(matches func(*Step) bool) (found []Step, since time.Time) {
	if r == nil {
		return nil, since
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.steps {
		s := &r.steps[(r.next+i)%len(r.steps)]
		if i == 0 {
			since = s.At
		}
		if matches(s) {
			found = append(found, *s)
		}
	}
	return found, since
}
