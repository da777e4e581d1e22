package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	// busyCorrelation is the correlation ID of events that no client asked for.
	busyCorrelation = "busy neighbour"
	// busyEvents is how many events of one user are appended at once: few in trouble, many for the check of fairness.
	busyInTrouble, busyInCalm = 200, 700
	// overtaken is how many of those may be applied before an event of another that is appended when the first were read. It
	// passes in a few polls and calls, in which about 250 are sent one after the other.
	overtaken = 400
)

// busyNeighbour is a user who gets many events at once.
type busyNeighbour struct {
	stream eventsourcing.StreamID
	email  user.Email
	head   eventsourcing.Version
}

func newBusyNeighbour(seed uint64, name string) *busyNeighbour {
	return &busyNeighbour{
		stream: eventsourcing.StreamID{Category: user.Category, ID: clientID(seed, name)}, email: user.Email(fmt.Sprintf("%s@example.net", name)),
	}
}

// append appends n events to the neighbour's stream, bypassing the services. There must be no faults meanwhile.
func (w *world) append(b *busyNeighbour, n int) {
	codec, state := user.NewCodec(), user.State{}
	var records []eventsourcing.Record
	var take []eventsourcing.Claim
	for i := range n {
		b.head++
		var e user.Event = user.Updated{FirstName: "Ann", LastName: []user.Name{"Lee", "Bao"}[b.head%2]}
		if b.head == 1 {
			e = user.Registered{UserID: user.ID(b.stream.ID), Email: b.email}
			state = user.Evolve(state, e)
			take = user.Claims(state)
		}
		data, schema, err := codec.Encode(e)
		if err != nil {
			panic(err) // cannot fail for these events
		}
		records = append(records, eventsourcing.Record{
			ID: uuid.Must(uuid.NewV7()).String(), Stream: b.stream, Version: b.head, Name: e.EventName(), Schema: schema, Data: data,
			Metadata:   eventsourcing.Metadata{CorrelationID: busyCorrelation},
			RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
		})
		if len(records) < 50 && i < n-1 {
			continue
		}
		w.commit(eventsourcing.Commit{Stream: b.stream, Expected: records[0].Version - 1, Records: records, Take: take})
		records, take = nil, nil
	}
}

// commit appends to the log and lets the monitor know.
func (w *world) commit(c eventsourcing.Commit) {
	done := make(chan struct{})
	w.scheduler.post(func() {
		v, stream := w.monitor, c.Stream.String()
		made := commit{at: time.Now()}
		for _, r := range c.Records {
			if v.stored[stream] == nil {
				v.stored[stream] = map[eventsourcing.Version]string{}
			}
			v.stored[stream][r.Version] = r.ID
			made.events = append(made.events, storedEvent{stream, r.Version, r.ID})
		}
		v.commits = append(v.commits, made)
		close(done)
	})
	<-done
	if err := w.log.Append(w.ctx, c); err != nil {
		panic(fmt.Sprintf("append to %s: %v", c.Stream, err)) // nothing fails meanwhile
	}
}

// fairness gives one user many events at once, in calm, and checks that an event of another, appended when the first of them have
// been read, is applied by all projections long before all of them are.
func (w *world) fairness() {
	busy, other := newBusyNeighbour(w.plan.Seed, "busier"), newBusyNeighbour(w.plan.Seed, "other")
	// applied returns up to which version of a user all projections, or at least one of them, have applied.
	applied := func(b *busyNeighbour) (all, one eventsourcing.Version) {
		done := make(chan struct{})
		w.scheduler.post(func() {
			var at []eventsourcing.Version
			for _, table := range w.models() {
				at = append(at, w.monitor.fences[table+" "+b.stream.String()])
			}
			all, one = slices.Min(at), slices.Max(at)
			close(done)
		})
		<-done
		return all, one
	}
	w.append(busy, busyInCalm)
	for began := time.Now(); time.Since(began) < settleWithin; time.Sleep(50 * time.Millisecond) {
		if _, one := applied(busy); one > 0 {
			break
		}
	}
	_, before := applied(busy)
	w.append(other, 1)
	for began := time.Now(); time.Since(began) < settleWithin; time.Sleep(50 * time.Millisecond) {
		if all, _ := applied(other); all > 0 {
			break
		}
	}
	if _, after := applied(busy); after > before+overtaken {
		w.scheduler.post(func() {
			w.monitor.breach("§8.4", other.stream.String(), "an event of %s waited for %d events of %s", other.stream, after-before, busy.stream)
		})
	}
}
