// Package whereabouts finds out where an event is: in the log, on its way, and in the read models. What is stored it reads from AWS;
// what happened on the way is what the services remember of their last events (package journey of the engine).
package whereabouts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// Stop is what is known of the event at one place on its way.
type Stop struct {
	// Place is log, claim, stream, kinesis, queue, row or set-aside; Name is the resource.
	Place string `json:"place"`
	Name  string `json:"name"`
	// State is what is known, NotSeen if nothing is.
	State string     `json:"state"`
	At    *time.Time `json:"at,omitempty"`
	// By is the process that remembers it.
	By       string                `json:"by,omitempty"`
	Shard    string                `json:"shard,omitempty"`
	Sequence string                `json:"sequence,omitempty"`
	Group    string                `json:"group,omitempty"`
	Receives int                   `json:"receives,omitempty"`
	Before   eventsourcing.Version `json:"before,omitempty"`
	After    eventsourcing.Version `json:"after,omitempty"`
	Detail   string                `json:"detail,omitempty"`
}

// NotSeen is the state of a place of which no process that was asked remembers anything.
const NotSeen = "not seen"

// Finder knows where to look.
type Finder struct {
	Names    topology.Names
	Log      *dynamostore.Store
	Claims   *dynamostore.Claims
	DB       projection.DynamoDBAPI
	Leases   *shards.DynamoDBLeases
	SetAside *setaside.List
	// Remembered is what the processes that were asked remember of the event.
	Remembered []service.Journey
}

// Find calls on with each stop of an event, in the order of its way. It reports whether every read model shows the event. It is
// dynamostore.ErrNoItem if the log does not have it.
func (f Finder) Find(
	ctx context.Context, stream eventsourcing.StreamID, version eventsourcing.Version, on func(Stop),
) (arrived bool, err error) {
	record, err := f.Log.Item(ctx, stream.String(), fmt.Sprint(version))
	if err != nil {
		return false, err
	}
	at := record.RecordedAt
	on(Stop{
		Place: "log", Name: f.Names.EventLog, State: "stored", At: &at,
		Detail: fmt.Sprintf("%s, id %s, correlation %s", record.Name, record.ID, cmp.Or(record.Metadata.CorrelationID, "none")),
	})
	if err := f.claims(ctx, record, on); err != nil {
		return false, err
	}
	if err := f.hops(ctx, on); err != nil {
		return false, err
	}
	if err := f.aside(ctx, record, on); err != nil {
		return false, err
	}
	arrived = true
	for _, p := range f.Names.Consumers() {
		if !slices.Contains(p.Categories, stream.Category) {
			continue
		}
		f.queue(p, stream, on)
		shows, err := f.row(ctx, p, record, on)
		if err != nil {
			return false, err
		}
		arrived = arrived && shows
	}
	return arrived, nil
}

// claims says which unique values the event took and released, and who has them now: never which values, which are personal.
func (f Finder) claims(ctx context.Context, record eventsourcing.Record, on func(Stop)) error {
	i := slices.IndexFunc(aggregates.All(), func(a aggregates.Aggregate) bool { return a.Category == record.Stream.Category })
	if i < 0 {
		return nil
	}
	var records []eventsourcing.Record
	for r, err := range f.Log.Read(ctx, record.Stream, 0) {
		if errors.Is(err, eventsourcing.ErrLogHole) {
			on(Stop{Place: "claim", Name: f.Names.SetValidations, State: "unknown", Detail: err.Error()})
			return nil
		}
		if err != nil {
			return err
		}
		if records = append(records, r); r.Version == record.Version {
			break
		}
	}
	held := aggregates.All()[i].Claims
	before, err := held(records[:len(records)-1])
	var after []eventsourcing.Claim
	if err == nil {
		after, err = held(records)
	}
	if err != nil { // it may quote the event
		on(Stop{Place: "claim", Name: f.Names.SetValidations, State: "unknown", Detail: "this build cannot fold the stream"})
		return nil
	}
	for _, change := range []struct {
		state       string
		of, without []eventsourcing.Claim
	}{{"taken", after, before}, {"released", before, after}} {
		for _, c := range change.of {
			if slices.Contains(change.without, c) {
				continue
			}
			row, err := f.Claims.At(ctx, c.Key())
			if err != nil {
				return err
			}
			owner := "no one has it now"
			if row != nil {
				owner = "now it is " + row.Owner + "'s"
			}
			on(Stop{Place: "claim", Name: f.Names.SetValidations, State: change.state, Detail: c.Constraint() + ", " + owner})
		}
	}
	return nil
}

// remembered yields what processes remember of the steps of an operation with one of the outcomes.
func (f Finder) remembered(operation string, outcomes ...journey.Outcome) (steps []step) {
	for _, j := range f.Remembered {
		for _, s := range j.Steps {
			if s.Operation == operation && slices.Contains(outcomes, s.Outcome) {
				steps = append(steps, step{s, j.Instance})
			}
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.At.Compare(b.At) })
	return steps
}

type step struct {
	service.JourneyStep

	by string
}

// hops says how the event came through the log's stream and through Kinesis.
func (f Finder) hops(ctx context.Context, on func(Stop)) error {
	ofStreamer, err := f.Leases.List(ctx, "streamer")
	if err != nil {
		return err
	}
	ofBroker, err := f.Leases.List(ctx, "broker")
	if err != nil {
		return err
	}
	published := f.remembered("publish", journey.Sent, journey.SetAside)
	for _, s := range published {
		on(readFrom("stream", f.Names.EventLog, ofStreamer, s))
		on(Stop{Place: "kinesis", Name: cmp.Or(s.To, f.Names.Stream), State: string(s.Outcome), At: &s.At, By: s.by})
	}
	if len(published) == 0 {
		on(Stop{Place: "stream", Name: f.Names.EventLog, State: NotSeen})
	}
	seen := map[string]bool{} // places in Kinesis, of which each queue has a step
	for _, s := range f.remembered("route", journey.Sent, journey.SetAside) {
		if place := s.From + s.Sequence; !seen[place] {
			seen[place] = true
			on(readFrom("kinesis", f.Names.Stream, ofBroker, s))
		}
	}
	if len(seen) == 0 {
		on(Stop{Place: "kinesis", Name: f.Names.Stream, State: NotSeen})
	}
	return nil
}

// readFrom says from where in a shard a step read the event, and how far the shard is read by now.
func readFrom(place, name string, leases []shards.Lease, s step) Stop {
	stop := Stop{Place: place, Name: name, State: "read", At: &s.At, By: s.by, Shard: s.From, Sequence: s.Sequence}
	if s.From == "" {
		stop.State, stop.Detail = "read in the log", "because the stream had trimmed it, or was made anew"
	}
	for _, l := range leases {
		if s.From != "" && l.Shard == s.From {
			stop.Detail = fmt.Sprintf("the shard's lease is %s, owner %s, checkpoint %s",
				l.State, cmp.Or(l.Owner, "none"), against(s.Sequence, string(l.Checkpoint)))
		}
	}
	return stop
}

// against says where a checkpoint is, as seen from a position. Both are decimal numbers of any length.
func against(sequence, checkpoint string) string {
	if checkpoint == "" {
		return "none yet"
	}
	a, b := strings.TrimLeft(sequence, "0"), strings.TrimLeft(checkpoint, "0")
	if cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) <= 0 {
		return "not before it: done"
	}
	return "before it: read again after a crash"
}

// aside says whether the event is in the list of what could never be moved on.
func (f Finder) aside(ctx context.Context, record eventsourcing.Record, on func(Stop)) error {
	for e, err := range f.SetAside.All(ctx) {
		if err != nil {
			return err
		}
		if e.Stream == record.Stream.String() && e.Version == fmt.Sprint(record.Version) {
			on(Stop{
				Place: "set-aside", Name: f.Names.SetAside, State: "set aside by " + e.Operation, At: &e.At, Shard: e.Shard, Sequence: e.Sequence,
				Detail: "leftfold set-aside list has the reason, under " + e.ID,
			})
		}
	}
	return nil
}

// queue says how the event came through a consumer's queue.
func (f Finder) queue(p topology.Consumer, stream eventsourcing.StreamID, on func(Stop)) {
	seen := false
	show := func(s step, state string) {
		seen = true
		on(Stop{
			Place: "queue", Name: p.Queue, State: state, At: &s.At, By: s.by, Group: stream.String(), Receives: s.Receives,
		})
	}
	for _, s := range f.remembered("route", journey.Sent, journey.SetAside) {
		if s.To == p.Queue {
			show(s, string(s.Outcome))
		}
	}
	for _, s := range f.remembered("project "+p.Name, journey.Received) {
		show(s, string(s.Outcome))
	}
	if !seen {
		on(Stop{Place: "queue", Name: p.Queue, State: NotSeen, Group: stream.String()})
	}
}

// row says what came of the event in a consumer, and what its row shows now.
func (f Finder) row(ctx context.Context, p topology.Consumer, record eventsourcing.Record, on func(Stop)) (shows bool, err error) {
	for _, s := range f.remembered("project "+p.Name, journey.Applied, journey.Healed, journey.Duplicate, journey.Parked) {
		on(Stop{Place: "row", Name: s.To, State: string(s.Outcome), At: &s.At, By: s.by, Before: s.Before, After: s.After})
	}
	own := projection.Key{ID: record.Stream.ID, Row: path.Base(record.Stream.Category)}
	if p.Name == f.Names.Processes().Name {
		own.Row = process.HeardRow(record.Stream.Category)
	}
	state, err := generation.Control{DB: f.DB, Table: f.Names.Generations, Projection: p.Name}.Read(ctx)
	if err != nil {
		return false, err
	}
	for _, g := range state.Fed() {
		itShows, err := f.table(ctx, g.Name(p.Table), own, record.Version, on)
		if err != nil {
			return false, err
		}
		shows = shows || itShows && g == state.Current
	}
	return shows, nil
}

// table says what the row of a table shows now.
func (f Finder) table(
	ctx context.Context, name string, own projection.Key, version eventsourcing.Version, on func(Stop),
) (shows bool, err error) {
	reader := projection.Reader{DB: f.DB, Table: name}
	var row struct{ projection.Fence }
	found, err := reader.Get(ctx, own.ID, own.Row, &row)
	if err != nil {
		return false, err
	}
	parked, isParked, err := reader.ParkedRow(ctx, own)
	if err != nil {
		return false, err
	}
	stop := Stop{
		Place: "row", Name: name, State: "shows it", After: row.Version, Detail: fmt.Sprintf("the row is at version %d", row.Version),
	}
	switch shows = row.Version >= version; {
	case shows:
	case !found:
		stop.State, stop.Detail = "does not show it", "there is no row yet"
	default:
		stop.State = "does not show it"
	}
	if isParked {
		stop.Detail += fmt.Sprintf("; parked since %s at version %d: leftfold parked show has the reason",
			parked.ParkedAt.Format(time.RFC3339), parked.Version)
	}
	on(stop)
	return shows, nil
}
