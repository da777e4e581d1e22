// Package whereabouts finds out where an event is: in the log, on its way, and in the read models. What is stored it reads from AWS;
// what happened on the way is what the services remember of their last events (package journey of the engine).
package whereabouts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
	// Place is log, claim, scope, stream, kinesis, queue, row or set-aside; Name is the resource.
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
	// Waits says why the event does not come further than here. Empty: it does, or nothing is known.
	Waits string `json:"waits,omitempty"`
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
	on(Stop{Place: "log", Name: f.Names.EventLog, State: "stored", At: &at, Detail: inLog(record)})
	if err := f.folds(ctx, record, on); err != nil {
		return false, err
	}
	var ends []Stop // known before what lies before them: only what has not arrived waits
	if arrived, err = f.ends(ctx, record, func(s Stop) { ends = append(ends, s) }); err != nil {
		return false, err
	}
	if err := f.hops(ctx, record, !arrived, on); err != nil {
		return false, err
	}
	if err := f.aside(ctx, record, on); err != nil {
		return false, err
	}
	for _, s := range ends {
		on(s)
	}
	return arrived, nil
}

// inLog is what the log says of the event, but for its data.
func inLog(r eventsourcing.Record) string {
	facts := []string{
		r.Name, "id " + r.ID, "correlation " + cmp.Or(r.Metadata.CorrelationID, "none"),
		"causation " + cmp.Or(r.Metadata.CausationID, "none"),
	}
	for _, e := range r.Enrichment {
		facts = append(facts, "with what was known of "+e.Aggregate+"/"+e.ID)
	}
	return strings.Join(facts, ", ")
}

// ends says what came of the event in each queue and in the rows that it feeds.
func (f Finder) ends(ctx context.Context, record eventsourcing.Record, on func(Stop)) (arrived bool, err error) {
	stream := record.Stream
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

// folds says what the event changed beside its own stream, which only the fold of the events before it knows: claims and scopes.
func (f Finder) folds(ctx context.Context, record eventsourcing.Record, on func(Stop)) error {
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
	a := aggregates.All()[i]
	if _, err := a.State(records); err != nil { // it may quote the event
		on(Stop{Place: "claim", Name: f.Names.SetValidations, State: "unknown", Detail: "this build cannot fold the stream"})
		return nil
	}
	if err := f.claims(ctx, a, records, on); err != nil {
		return err
	}
	return f.scopes(a, records, on)
}

// claims says which unique values the last event took and released, and who has them now: never which values, which are personal.
func (f Finder) claims(ctx context.Context, a aggregates.Aggregate, records []eventsourcing.Record, on func(Stop)) error {
	before, err := a.Claims(records[:len(records)-1])
	if err != nil {
		return err
	}
	after, err := a.Claims(records)
	if err != nil {
		return err
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

// scopes says what the last event added to counters of scopes.
func (f Finder) scopes(a aggregates.Aggregate, records []eventsourcing.Record, on func(Stop)) error {
	stream := records[0].Stream
	before, err := a.Shares(stream, records[:len(records)-1])
	if err != nil {
		return err
	}
	after, err := a.Shares(stream, records)
	if err != nil {
		return err
	}
	moved := eventsourcing.Sums{}
	moved.Add(after, 1)
	moved.Add(before, -1)
	for _, scope := range slices.SortedFunc(maps.Keys(moved), func(x, y eventsourcing.Scope) int { return cmp.Compare(x.Key(), y.Key()) }) {
		var counters []string
		for _, name := range slices.Sorted(maps.Keys(moved[scope])) {
			counters = append(counters, fmt.Sprintf("%s %+d", name, moved[scope][name]))
		}
		on(Stop{
			Place: "scope", Name: cmp.Or(f.Names.Scopes, "scopes"), State: "moved", Detail: scope.Key() + ": " + strings.Join(counters, ", "),
		})
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

// hops says how the event came through the log's stream and through Kinesis, and if it has not arrived, which shards it may wait in.
func (f Finder) hops(ctx context.Context, record eventsourcing.Record, waiting bool, on func(Stop)) error {
	unseen := func(place, name string, leases []shards.Lease) Stop {
		s := Stop{Place: place, Name: name, State: NotSeen}
		if waiting {
			s.Waits = unread(leases, record.RecordedAt)
		}
		return s
	}
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
		on(unseen("stream", f.Names.EventLog, ofStreamer))
	}
	seen := map[string]bool{} // places in Kinesis, of which each queue has a step
	for _, s := range f.remembered("route", journey.Sent, journey.SetAside) {
		if place := s.From + s.Sequence; !seen[place] {
			seen[place] = true
			on(readFrom("kinesis", f.Names.Stream, ofBroker, s))
		}
	}
	if len(seen) == 0 {
		on(unseen("kinesis", f.Names.Stream, ofBroker))
	}
	return nil
}

// unread says which shards are not read up to a time, and why as far as their leases tell.
func unread(leases []shards.Lease, to time.Time) string {
	var all []string
	for _, l := range leases {
		switch {
		case l.State != shards.StateOpen:
		case l.Owner == "":
			all = append(all, "nobody holds the lease of shard "+l.Shard)
		case !l.ReadAt.IsZero() && l.ReadAt.Before(to):
			all = append(all, fmt.Sprintf("shard %s is read up to %s by %s", l.Shard, l.ReadAt.Format(time.RFC3339), l.Owner))
		}
	}
	if len(all) > maxShards {
		all = append(all[:maxShards], fmt.Sprintf("and %d more", len(all)-maxShards))
	}
	return strings.Join(all, "; ")
}

// maxShards bounds how many shards are named.
const maxShards = 3

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
	if !shows {
		stop.Waits = why(version, row.Version, parked.Version)
	}
	if isParked {
		stop.Detail += fmt.Sprintf("; parked since %s at version %d: leftfold parked show has the reason",
			parked.ParkedAt.Format(time.RFC3339), parked.Version)
	}
	on(stop)
	return shows, nil
}

// why says why a row at a version does not show a later one; parked is the version that cannot be applied, 0 if none is known.
func why(version, row, parked eventsourcing.Version) string {
	switch {
	case parked > 0 && parked < version:
		return fmt.Sprintf("version %d before it cannot be applied, so the aggregate is parked", parked)
	case parked > 0:
		return "it cannot be applied, so the aggregate is parked"
	case row+1 < version:
		return fmt.Sprintf("version %d has to come first", row+1)
	default:
		return "it is the next, and has not arrived"
	}
}
