package operations

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Work does what an action asks for and says what came of it. Meanwhile it may say how far it is. md is for the events that it causes.
type Work func(ctx context.Context, md eventsourcing.Metadata, say func(progress string)) (result string, err error)

// Config configures a Desk.
type Config struct {
	Log eventsourcing.Store
	Now func() time.Time
	// Backoff is the pause before the end of an action is appended again.
	Backoff retry.Backoff
	Logger  *slog.Logger
}

// Desk takes the orders of operators, carries them out one beside the other, and keeps both in the log. It is safe for concurrent use.
type Desk struct {
	cfg     Config
	actions *eventsourcing.Repository[State, Event]
	codec   *eventsourcing.Codec[Event]
	begun   chan job
	stopped chan struct{}

	mu     sync.Mutex
	under  map[string]*progress // that this Desk carries out
	recent []string             // IDs, the latest first
}

// job is an action that is in the log.
type job struct {
	id   string
	md   eventsourcing.Metadata
	work Work
}

// progress is how far an action is.
type progress struct {
	text string
	done chan struct{} // closed when its end is in the log, or was given up
}

// NewDesk returns a Desk, which carries out nothing until Run.
func NewDesk(c Config) (*Desk, error) {
	aggregate := Aggregate()
	actions, err := eventsourcing.NewRepository(eventsourcing.Config[State, Event]{Aggregate: aggregate, Store: c.Log, Now: c.Now})
	return &Desk{
		cfg: c, actions: actions, codec: aggregate.Codec, begun: make(chan job), stopped: make(chan struct{}), under: map[string]*progress{},
	}, err
}

// errStopped: nobody carries out what is begun now.
var errStopped = errors.New("this process is being stopped; send it again")

// Begin appends the order and lets Run carry it out. What cannot be appended is not done.
func (d *Desk) Begin(ctx context.Context, actor string, o Order, w Work) (id string, err error) {
	v7, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make the ID of an action: %w", err)
	}
	id = v7.String()
	md := eventsourcing.Metadata{Actor: actor, CorrelationID: id}
	if _, err := d.actions.Do(ctx, id, request(o), eventsourcing.WithMetadata(md)); err != nil {
		return "", fmt.Errorf("append the order to the log, without which nothing is done: %w", err)
	}
	d.add(id)
	select {
	case d.begun <- job{id, md, w}:
		return id, nil
	case <-d.stopped:
		err = errStopped
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.end(ctx, job{id: id, md: md}, Failed{Reason: "it was not begun: " + err.Error()})
	return "", err
}

// Run carries out what is begun until ctx ends. Then it waits for what is under way, whose context has ended, too, and for its end to be
// in the log.
func (d *Desk) Run(ctx context.Context) error {
	var under sync.WaitGroup
	for {
		select {
		case <-ctx.Done():
			close(d.stopped)
			under.Wait()
			return nil
		case j := <-d.begun:
			under.Go(func() { d.carryOut(ctx, j) })
		}
	}
}

func (d *Desk) carryOut(ctx context.Context, j job) {
	result, err := j.work(ctx, j.md, func(text string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.under[j.id].text = text
	})
	switch {
	case err == nil:
		d.end(ctx, j, Completed{Result: result})
	case ctx.Err() != nil:
		d.end(ctx, j, Failed{Reason: "the process that carried it out was stopped"})
	default:
		d.end(ctx, j, Failed{Reason: err.Error()})
	}
}

// Time for the end of an action to be appended, also after a stop.
const longestEnd = 10 * time.Second

// end appends how an action ended. If that fails for long, the action stays without an end in the log.
func (d *Desk) end(ctx context.Context, j job, with Event) {
	defer d.remove(j.id)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestEnd)
	defer cancel()
	for failures := 1; ; failures++ {
		_, err := d.actions.Do(ctx, j.id, end{with}, eventsourcing.WithMetadata(j.md))
		if err == nil {
			return
		}
		if d.cfg.Backoff.Wait(ctx, failures) != nil {
			d.cfg.Logger.ErrorContext(ctx, "end of an operator's action not recorded", slog.String("stream", stream(j.id).String()),
				slog.Any("error", err))
			return
		}
	}
}

// maxRecent is how many actions a Desk knows by itself.
const maxRecent = 20

func (d *Desk) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under[id] = &progress{done: make(chan struct{})}
	d.recent = slices.Insert(d.recent, 0, id)
	d.recent = d.recent[:min(len(d.recent), maxRecent)]
}

func (d *Desk) remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.under[id].done)
	delete(d.under, id)
}

// Await waits until this Desk has done the action, or ctx ends.
func (d *Desk) Await(ctx context.Context, id string) {
	d.mu.Lock()
	p := d.under[id]
	d.mu.Unlock()
	if p == nil {
		return
	}
	select {
	case <-p.done:
	case <-ctx.Done():
	}
}

// Action is an action as the log and this Desk know it.
type Action struct {
	ID string
	State

	Actor string
	// RequestedAt and EndedAt are when it was asked for and when it ended.
	RequestedAt, EndedAt time.Time
	// Here says that this Desk carries it out. One that has not ended and is not here has another Desk, or its process was killed.
	Here     bool
	Progress string
}

// Look returns an action; found is false if the log has none of that ID.
func (d *Desk) Look(ctx context.Context, id string) (a Action, found bool, err error) {
	a.ID = id
	d.mu.Lock()
	if p := d.under[id]; p != nil { // before the log is read, so that its end is not missed
		a.Here, a.Progress = true, p.text
	}
	d.mu.Unlock()
	for r, err := range d.cfg.Log.Read(ctx, stream(id), 0) {
		if err != nil {
			return a, false, fmt.Errorf("read the action %s: %w", id, err)
		}
		e, err := d.codec.Decode(r.Name, r.Schema, r.Data)
		if err != nil {
			return a, false, fmt.Errorf("read the action %s: %w", id, err)
		}
		switch a.State = Evolve(a.State, e); {
		case a.Ended:
			a.EndedAt, a.Here = r.RecordedAt, false
		default:
			a.Actor, a.RequestedAt, found = r.Metadata.Actor, r.RecordedAt, true
		}
	}
	return a, found, nil
}

// Recent returns the IDs of the actions that were begun here lately, the latest first.
func (d *Desk) Recent() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.recent)
}

func stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: Category, ID: id}
}
