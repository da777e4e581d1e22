package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/processes"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
)

// waiting is what a process waits for besides events.
type waiting struct {
	Kind, ID string
	For      string
	// Since is when it began to wait, or, to come, when its timer is due.
	Since time.Time
	// Stuck says that it waits for longer than it should; Due that it is not due yet.
	Stuck, ToCome bool
}

// stuckAfter is how long a process may wait after its time: the default of the processor's alert.
const stuckAfter = 10 * time.Minute

// maxWaiting bounds the list of what is well; what is stuck is shown whole.
const maxWaiting = 100

// allWaiting returns what the processes wait for, what is stuck first, and which kinds cannot be read.
func (p *pages) allWaiting(ctx context.Context) (all []waiting, missing []away) {
	now := p.Now()
	for _, kind := range p.Processes {
		for found, err := range kind.List(ctx) {
			if err != nil && found.ID == "" {
				missing = append(missing, away{kind.Name(), err})
				break
			}
			all = append(all, waitingOf(kind, found, err, now))
		}
	}
	slices.SortFunc(all, func(a, b waiting) int {
		switch {
		case a.Stuck != b.Stuck && a.Stuck:
			return -1
		case a.Stuck != b.Stuck:
			return 1
		default:
			return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
		}
	})
	return all, missing
}

func waitingOf(kind processes.Kind, found process.Waiting, err error, now time.Time) waiting {
	w := waiting{Kind: kind.Name(), ID: found.ID, Since: found.Since, ToCome: found.Since.After(now)}
	switch {
	case err != nil:
		w.For, w.Stuck = "it cannot be read: "+err.Error(), true
	case found.Parked != "":
		w.For, w.Stuck = "a retry: it is parked", true
	case found.Timer != "":
		w.For = "the timer " + found.Timer
	default:
		w.For = "an answer to a command"
	}
	w.Stuck = w.Stuck || now.Sub(w.Since) > stuckAfter
	return w
}

func stuck(all []waiting) (n int) {
	for _, w := range all {
		if w.Stuck {
			n++
		}
	}
	return n
}

func (p *pages) processesInShort(ctx context.Context) summary {
	s := summary{Name: "Processes and timers", At: here + "/processes", About: "what follows from events or at a time"}
	all, missing := p.allWaiting(ctx)
	if len(missing) > 0 {
		return s.cannotBeRead(missing[0].Err)
	}
	return s.counted(stuck(all), "process is stuck", "processes are stuck", "no process is stuck")
}

type processesShown struct {
	reader

	All     []waiting
	Stuck   int
	Left    int // that are not shown
	Missing []away
}

func (p *pages) processes(w http.ResponseWriter, r *http.Request) {
	shown := processesShown{reader: readerOf(r)}
	shown.All, shown.Missing = p.allWaiting(r.Context())
	shown.Stuck = stuck(shown.All)
	if most := shown.Stuck + maxWaiting; len(shown.All) > most {
		shown.All, shown.Left = shown.All[:most], len(shown.All)-most
	}
	p.Show(w, r, http.StatusOK, "processes", "", "Processes and timers", shown)
}

// processShown is one process.
type processShown struct {
	reader

	Kind, ID string
	process.View[any]
	Fields []page.Field
	Events []processEvent
	// Of is the stream of what the process is about.
	Of string
	// Reason is what was typed for a cancellation, and Refused why that is not enough.
	Reason, Refused string
	Note            string
}

// IsParked reports whether it waits for a retry.
func (s processShown) IsParked() bool { return !s.Parked.At.IsZero() }

type processEvent struct {
	Version eventsourcing.Version
	Fact    string
	At      time.Time
	Actor   string
	Data    string
}

// lastEvents is how many events of a process are shown; the page of its stream has all.
const lastEvents = 10

// findProcess finds the process that the request is for, or answers that there is none.
func (p *pages) findProcess(w http.ResponseWriter, r *http.Request) (kind processes.Kind, id string, v process.View[any], ok bool) {
	kind, err := p.Processes.Named(chi.URLParam(r, "kind"))
	if err != nil {
		p.Fail(w, r, http.StatusNotFound, "There is no such process", err.Error())
		return nil, "", v, false
	}
	id = chi.URLParam(r, "id")
	switch v, err = kind.Show(r.Context(), id); {
	case err != nil:
		p.Fail(w, r, http.StatusServiceUnavailable, "It cannot be told right now", err.Error())
	case v.Version == 0:
		p.Fail(w, r, http.StatusNotFound, "There is no such process", "No event was ever for "+kind.Name()+" "+id+".")
	default:
		return kind, id, v, true
	}
	return nil, "", v, false
}

func (p *pages) process(w http.ResponseWriter, r *http.Request) {
	if kind, id, v, ok := p.findProcess(w, r); ok {
		p.showProcess(w, r, http.StatusOK, kind, processShown{ID: id, View: v})
	}
}

func (p *pages) showProcess(w http.ResponseWriter, r *http.Request, status int, kind processes.Kind, shown processShown) {
	shown.reader, shown.Kind = readerOf(r), kind.Name()
	shown.Of = map[string]string{"grants": user.Category, "retirement": role.Category}[shown.Kind] + "/" + shown.ID
	state, _ := json.Marshal(shown.State) // a state is kept as JSON in snapshots
	shown.Fields = page.Fields(r.Context(), state, state)
	last := max(shown.Version, lastEvents) - lastEvents
	for rec, err := range p.Log.Read(r.Context(), eventsourcing.StreamID{Category: kind.Category(), ID: shown.ID}, last) {
		if err != nil {
			shown.Note = "Its last events cannot be read right now: " + err.Error()
			break
		}
		e := processEvent{Version: rec.Version, Fact: path.Base(rec.Name), At: rec.RecordedAt, Actor: rec.Metadata.Actor}
		if shown.MaySeeData {
			e.Data = string(rec.Data)
		}
		shown.Events = append(shown.Events, e)
	}
	slices.Reverse(shown.Events) // the newest first
	p.Show(w, r, status, "process", "", shown.Kind+" "+shown.ID, shown)
}

func (p *pages) retry(w http.ResponseWriter, r *http.Request) {
	kind, id, _, ok := p.findProcess(w, r)
	if !ok {
		return
	}
	p.act(w, r, operations.Order{Action: "retry", Target: kind.Name() + " " + id}, func(
		ctx context.Context, md eventsourcing.Metadata, _ func(string),
	) (string, error) {
		return "its timers and open commands are put anew, and it is not parked", kind.Retry(ctx, id, md)
	})
}

// atOnce is how many processes are retried at the same time.
const atOnce = 8

// retryAll retries every process that waits, as the log says: the list may lack one whose timer was lost.
func (p *pages) retryAll(w http.ResponseWriter, r *http.Request) {
	p.act(w, r, operations.Order{Action: "retry", Target: "all processes"}, func(
		ctx context.Context, md eventsourcing.Metadata, say func(string),
	) (string, error) {
		var mu sync.Mutex
		var problems []error
		retried := 0
		for _, kind := range p.Processes {
			err := kind.EachWaiting(ctx, atOnce, func(ctx context.Context, id string, err error) error {
				if err == nil {
					err = kind.Retry(ctx, id, md)
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					problems = append(problems, fmt.Errorf("%s %s: %w", kind.Name(), id, err))
					return ctx.Err()
				}
				retried++
				say(pipeline.Count(float64(retried)) + " so far")
				return nil
			})
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", kind.Name(), err))
			}
		}
		return pipeline.Count(float64(retried)) + " retried", failures(problems)
	})
}

// catchUpProcesses lets the processes hear what they have missed of the whole log.
func (p *pages) catchUpProcesses(w http.ResponseWriter, r *http.Request) {
	p.catchUpOf(w, r, p.Names.Processes().Name)
}

// maxReason bounds what a person types.
const maxReason = 500

// cancel ends a process, if the reader says why.
func (p *pages) cancel(w http.ResponseWriter, r *http.Request) {
	kind, id, v, ok := p.findProcess(w, r)
	if !ok {
		return
	}
	reason, err := reasonIn(r)
	if err != nil {
		p.showProcess(w, r, http.StatusUnprocessableEntity, kind, processShown{ID: id, View: v, Reason: reason, Refused: err.Error()})
		return
	}
	order := operations.Order{Action: "cancel", Target: kind.Name() + " " + id, Parameters: map[string]string{"reason": reason}}
	p.act(w, r, order, func(ctx context.Context, md eventsourcing.Metadata, _ func(string)) (string, error) {
		return "it hears nothing more", kind.Cancel(ctx, id, reason, md)
	})
}

func reasonIn(r *http.Request) (string, error) {
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	switch {
	case reason == "":
		return "", errors.New("say why: it is kept in the process's stream")
	case len(reason) > maxReason:
		return reason, errors.New("say it in fewer words")
	default:
		return reason, nil
	}
}
