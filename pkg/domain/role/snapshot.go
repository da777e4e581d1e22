package role

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// revision is to be raised whenever Evolve makes another state of the same events; a test tells.
const revision = 1

// snapshot is all of a State.
type snapshot struct {
	Exists   bool `json:"exists"`
	Disabled bool `json:"disabled"`
	Name     Name `json:"name"`
}

func newStates(events *eventsourcing.Codec[Event]) *eventsourcing.StateCodec[State] {
	return eventsourcing.NewStateCodec(revision, events, keep, restore)
}

func keep(s State) snapshot { return snapshot{Exists: s.exists, Disabled: s.disabled, Name: s.name} }

func restore(s snapshot) State { return State{exists: s.Exists, disabled: s.Disabled, name: s.Name} }
