package streams

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

// streams finds events by who caused them, by their correlation or by the day, of one category or of all.
type streams struct {
	Actor, Correlation, Day, Category string
	// Categories are those that the trail has.
	Categories []category
	Events     []rest.Trailed
	// Cursor is where earlier events begin; "": there are none.
	Cursor string
	Note   string
}

// category is one to choose.
type category struct {
	Name, Label string
	Chosen      bool
}

// Asked says what the events have in common.
func (s streams) Asked() string {
	switch {
	case s.Actor != "":
		return "Caused by " + s.Actor
	case s.Correlation != "":
		return "Of correlation ID " + s.Correlation
	case s.Day != "":
		return "On " + s.Day
	default:
		return "Today"
	}
}

// query is what is asked for, as in the address of the page.
func (s streams) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"actor": s.Actor, "correlation": s.Correlation, "day": s.Day, "category": s.Category, "cursor": s.Cursor,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// Earlier is the address of the page with earlier events.
func (s streams) Earlier() string { return "/console/streams?" + s.query().Encode() }

func (p *pages) streams(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	s := streams{Cursor: asked.Get("cursor")}
	for name, value := range map[string]*string{
		"actor": &s.Actor, "correlation": &s.Correlation, "day": &s.Day, "category": &s.Category,
	} {
		*value = strings.TrimSpace(asked.Get(name))
	}
	s.Categories = categories(s.Category)
	status := http.StatusOK
	if err := p.find(r.Context(), &s); err != nil {
		status, s.Note = http.StatusServiceUnavailable, "The audit trail cannot be read right now: "+err.Error()
	}
	p.Show(w, r, status, "streams", "found", "Streams", s)
}

// categories are those of the audit trail. Processes are not in it: what they bring about is.
func categories(chosen string) (all []category) {
	for _, p := range (topology.Names{}).Projections() {
		if p.Collection == "events" {
			for _, name := range p.Categories {
				all = append(all, category{name, strings.TrimPrefix(path.Dir(name)+"/", "org/iam/") + path.Base(name), name == chosen})
			}
		}
	}
	return all
}

// A page shows up to shownLines, of one category if that is asked for, which the trail has no list of: then up to maxPages are looked
// through.
const (
	shownLines = "100"
	maxPages   = 5
)

// find fills in a page of events.
func (p *pages) find(ctx context.Context, s *streams) error {
	for range maxPages {
		ask := s.query()
		ask.Del("category")
		ask.Set("limit", shownLines)
		found, err := rest.Trail(ctx, p.api, ask)
		if err != nil {
			return err
		}
		s.Cursor, s.Note = found.Cursor, found.Refused
		s.Events = slices.DeleteFunc(found.Events, func(e rest.Trailed) bool { return s.Category != "" && e.Aggregate != s.Category })
		if len(s.Events) > 0 || s.Cursor == "" {
			return nil
		}
	}
	s.Note = fmt.Sprintf("None of %d pages of events is of that category: look at earlier ones.", maxPages)
	return nil
}
