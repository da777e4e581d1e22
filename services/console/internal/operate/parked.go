package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/projectors"
)

// away is a service, or a part of what it has, that cannot be read.
type away struct {
	Name string
	Err  error
}

// allParked returns what the consumers have parked, the oldest first, and which of them do not say.
func (p *pages) allParked(ctx context.Context) (all []projectors.Parked, missing []away) {
	client, err := p.Services(ctx)
	if err != nil {
		return nil, []away{{"every service", err}}
	}
	for _, c := range p.Names.Consumers() {
		err := projectors.EachParked(ctx, client, c.Name, func(_ string, one projectors.Parked) error {
			all = append(all, one)
			return nil
		})
		if err != nil {
			missing = append(missing, away{c.Service, err})
		}
	}
	slices.SortFunc(all, func(a, b projectors.Parked) int { return a.ParkedAt.Compare(b.ParkedAt) })
	return all, missing
}

func (p *pages) parkedInShort(ctx context.Context) summary {
	s := summary{Name: "Parked", At: here + "/parked", About: "aggregates with an event that cannot be applied"}
	all, missing := p.allParked(ctx)
	if len(missing) > 0 {
		return s.cannotBeRead(missing[0].Err)
	}
	return s.counted(aggregatesOf(all), "aggregate is parked", "aggregates are parked", "nothing is parked")
}

// aggregatesOf counts them: one may be parked in several projections.
func aggregatesOf(all []projectors.Parked) int {
	streams := map[string]bool{}
	for _, one := range all {
		streams[one.Stream] = true
	}
	return len(streams)
}

// parkedShown is the list.
type parkedShown struct {
	reader

	All     []projectors.Parked
	Missing []away
}

func (p *pages) parked(w http.ResponseWriter, r *http.Request) {
	all, missing := p.allParked(r.Context())
	p.Show(w, r, http.StatusOK, "parked", "", "Parked", parkedShown{readerOf(r), all, missing})
}

// parkedEntry is one parked aggregate.
type parkedEntry struct {
	reader
	projectors.Parked

	// Data is what the event says that cannot be applied; Note is why that is not known.
	Data, Note string
}

// Before is the version that the read model shows.
func (e parkedEntry) Before() eventsourcing.Version { return e.Version - 1 }

// errFound ends a search.
var errFound = errors.New("found")

// findParked finds the aggregate that the request is for, or answers that it is not parked.
func (p *pages) findParked(w http.ResponseWriter, r *http.Request) (found projectors.Parked, ok bool) {
	consumer, stream := chi.URLParam(r, "consumer"), chi.URLParam(r, "*")
	if _, err := projectors.Consumers(p.Names, cmp.Or(consumer, "-")); err != nil {
		p.Fail(w, r, http.StatusNotFound, "There is no such projection", err.Error())
		return found, false
	}
	client, err := p.Services(r.Context())
	if err == nil {
		err = projectors.EachParked(r.Context(), client, consumer, func(_ string, one projectors.Parked) error {
			if one.Stream != stream {
				return nil
			}
			found = one
			return errFound
		})
	}
	switch {
	case errors.Is(err, errFound):
		return found, true
	case err != nil:
		p.Fail(w, r, http.StatusServiceUnavailable, "It cannot be told right now", err.Error())
	default:
		p.Fail(w, r, http.StatusNotFound, "It is not parked", stream+" is not parked in "+consumer+", or not any more.")
	}
	return found, false
}

func (p *pages) parkedOne(w http.ResponseWriter, r *http.Request) {
	found, ok := p.findParked(w, r)
	if !ok {
		return
	}
	entry := parkedEntry{reader: readerOf(r), Parked: found}
	if entry.MaySeeData {
		entry.Data, entry.Note = p.data(r.Context(), found)
	}
	p.Show(w, r, http.StatusOK, "parkedone", "", "Parked", entry)
}

// data is what the event says that cannot be applied.
func (p *pages) data(ctx context.Context, of projectors.Parked) (data, note string) {
	stream, err := eventsourcing.ParseStreamID(of.Stream)
	if err != nil {
		return "", err.Error()
	}
	for r, err := range p.Log.Read(ctx, stream, of.Version-1) {
		if err != nil {
			return "", "The log does not show it: " + err.Error()
		}
		return string(r.Data), ""
	}
	return "", "The log has no such event."
}

// redrive applies what the aggregate has missed.
func (p *pages) redrive(w http.ResponseWriter, r *http.Request) {
	found, ok := p.findParked(w, r)
	if !ok {
		return
	}
	p.act(w, r, operations.Order{Action: "redrive", Target: found.Projection + " " + found.Stream}, func(
		ctx context.Context, _ eventsourcing.Metadata, say func(string),
	) (string, error) {
		return p.toTheEnd(ctx, found, say)
	})
}

// redriveAll applies what everything that is parked has missed.
func (p *pages) redriveAll(w http.ResponseWriter, r *http.Request) {
	p.act(w, r, operations.Order{Action: "redrive", Target: "all"}, func(
		ctx context.Context, _ eventsourcing.Metadata, say func(string),
	) (string, error) {
		all, missing := p.allParked(ctx)
		var problems []error
		for _, m := range missing {
			problems = append(problems, fmt.Errorf("%s cannot be asked: %w", m.Name, m.Err))
		}
		for n, one := range all {
			say(fmt.Sprintf("%d of %d", n, len(all)))
			if _, err := p.toTheEnd(ctx, one, say); err != nil {
				problems = append(problems, fmt.Errorf("%s in %s: %w", one.Stream, one.Projection, err))
			}
		}
		return fmt.Sprintf("%d redriven", len(all)), failures(problems)
	})
}

// maxProblems bounds what an event says of them.
const maxProblems = 10

// failures joins the first of the problems. Nil: there are none.
func failures(problems []error) error {
	if left := len(problems) - maxProblems; left > 0 {
		problems = append(problems[:maxProblems], fmt.Errorf("and %d more", left))
	}
	return errors.Join(problems...)
}

// toTheEnd redrives until all is applied, or an event cannot be.
func (p *pages) toTheEnd(ctx context.Context, of projectors.Parked, say func(string)) (string, error) {
	client, err := p.Services(ctx)
	if err != nil {
		return "", err
	}
	address, err := client.Projection(ctx, of.Projection)
	if err != nil {
		return "", err
	}
	begun := projectors.Applied{Projection: of.Projection, Stream: of.Stream}
	done, err := projectors.ToTheEnd(ctx, client, address+of.Redrive, begun, func(a projectors.Applied) { say(a.String() + " so far") })
	switch {
	case err != nil:
		return "", err
	case done.Problem != "":
		return "", errors.New(done.Problem)
	default:
		return done.String(), nil
	}
}
