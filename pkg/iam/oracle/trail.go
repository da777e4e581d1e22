package oracle

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Line is an event as the audit trail shows it.
type Line struct {
	ID            string                `json:"id"`
	Name          string                `json:"name"`
	Aggregate     string                `json:"aggregate"`
	AggregateID   string                `json:"aggregateId"`
	Version       eventsourcing.Version `json:"version"`
	RecordedAt    time.Time             `json:"recordedAt"`
	Actor         string                `json:"actor"`
	CorrelationID string                `json:"correlationId"`
	CausationID   string                `json:"causationId"`
}

func lineOf(r eventsourcing.Record) Line {
	return Line{
		ID: r.ID, Name: r.Name, Aggregate: r.Stream.Category, AggregateID: r.Stream.ID, Version: r.Version, RecordedAt: r.RecordedAt.UTC(),
		Actor: r.Metadata.Actor, CorrelationID: r.Metadata.CorrelationID, CausationID: r.Metadata.CausationID,
	}
}

func (l Line) stream() eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: l.Aggregate, ID: l.AggregateID}
}

func (l Line) String() string { return fmt.Sprintf("version %d of %s", l.Version, l.stream()) }

// follows reports whether the line belongs behind another one: the latest comes first, of one stream and time the highest version.
func (l Line) follows(before Line) bool {
	if l.RecordedAt.Equal(before.RecordedAt) {
		return l.stream() != before.stream() || l.Version < before.Version
	}
	return l.RecordedAt.Before(before.RecordedAt)
}

// maxCorrelations bounds the correlation IDs by which Trail asks: nearly every request has one of its own.
const maxCorrelations = 20

// Trail reads the audit trail through the API at base, by every day and actor of the log and by some correlation IDs, and returns one line
// for each breach: every event is in each of its lists, once, in its place. What the trail has of other aggregates than the fold's is
// not judged.
func (f *Fold) Trail(ctx context.Context, client *http.Client, base string) (breaches []string, err error) {
	lists, correlations := map[string][]Line{}, map[string][]Line{}
	add := func(to map[string][]Line, name, value string, l Line) {
		if query := (url.Values{name: {value}}).Encode(); value != "" {
			to[query] = append(to[query], l)
		}
	}
	for _, r := range f.Records {
		l := lineOf(r)
		add(lists, "day", l.RecordedAt.Format(time.DateOnly), l)
		add(lists, "actor", l.Actor, l)
		add(correlations, "correlation", l.CorrelationID, l)
	}
	for i, query := range slices.Sorted(maps.Keys(correlations)) {
		if i%(len(correlations)/maxCorrelations+1) == 0 {
			lists[query] = correlations[query]
		}
	}
	for _, query := range slices.Sorted(maps.Keys(lists)) {
		shown, err := pages[Line](ctx, client, base, "/events?limit=100&"+query)
		if err != nil {
			return breaches, err
		}
		for _, breach := range f.judge(lists[query], shown) {
			breaches = append(breaches, "trail by "+query+": "+breach)
		}
	}
	return breaches, nil
}

// judge compares a list of the trail with what it must have, in any order.
func (f *Fold) judge(want, shown []Line) (breaches []string) {
	missing := map[string]Line{}
	for _, l := range want {
		missing[l.String()] = l
	}
	seen := map[string]bool{}
	for i, l := range shown {
		if i > 0 && !l.follows(shown[i-1]) {
			breaches = append(breaches, fmt.Sprintf("%s is behind %s", l, shown[i-1]))
		}
		if _, known := f.Heads[l.stream()]; !known {
			continue
		}
		is, ok := missing[l.String()]
		switch {
		case seen[l.String()]:
			breaches = append(breaches, fmt.Sprintf("%s is shown twice", l))
		case !ok:
			breaches = append(breaches, fmt.Sprintf("%s is shown but not in the log", l))
		case is != l:
			breaches = append(breaches, fmt.Sprintf("the log has %+v, the trail shows %+v", is, l))
		}
		seen[l.String()] = true
		delete(missing, l.String())
	}
	for _, text := range slices.Sorted(maps.Keys(missing)) {
		breaches = append(breaches, text+" is not shown")
	}
	return breaches
}
