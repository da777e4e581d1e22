// Package operate is where operators look after the system: what is parked, the read models, what processes wait for, and who reads which
// shard. What they do here is an order of package operations: in the log before it is done and afterwards.
package operate

import (
	"context"
	"embed"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/processes"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
)

//go:embed templates/*.html
var templates embed.FS

// Path is where the area begins, below page.Prefix.
const Path = "/operate"

const here = page.Prefix + Path

// Config says what is operated.
type Config struct {
	Names topology.Names
	// Services returns a new client of the admin addresses, as they are now.
	Services  func(context.Context) (*adminclient.Client, error)
	Desk      *operations.Desk
	Processes processes.Kinds
	// Log has the events that stand still.
	Log interface {
		Read(ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
	}
	Leases interface {
		List(ctx context.Context, consumer string) ([]shards.Lease, error)
	}
	Now func() time.Time
}

type pages struct {
	*page.Templates
	Config

	owners owners
}

// New returns the area.
func New(f *page.Frame, c Config) (page.Area, error) {
	t, err := f.Templates(templates, nil)
	p := &pages{Templates: t, Config: c}
	return page.Area{Name: "Operate", Path: Path, Scope: page.ScopeRead, Routes: func(r chi.Router) {
		r.Get(Path, p.all)
		r.Get(Path+"/actions/{id}", p.action)
		r.Get(Path+"/parked", p.parked)
		r.Get(Path+"/parked/{consumer}/*", p.parkedOne)
		r.Get(Path+"/readmodels", p.readModels)
		r.Get(Path+"/readmodels/{projection}", p.readModel)
		r.Get(Path+"/processes", p.processes)
		r.Get(Path+"/processes/{kind}/{id}", p.process)
		r.Get(Path+"/leases", p.leases)
		acts := r.With(p.Needs(page.ScopeOperate, "Nothing was done"))
		acts.Post(Path+"/parked", p.redriveAll)
		acts.Post(Path+"/parked/{consumer}/*", p.redrive)
		acts.Post(Path+"/readmodels/{projection}/audit", p.audit)
		acts.Post(Path+"/readmodels/{projection}/catch-up", p.catchUp)
		acts.Post(Path+"/readmodels/{projection}/{step}", p.step)
		acts.Post(Path+"/processes/retry", p.retryAll)
		acts.Post(Path+"/processes/catch-up", p.catchUpProcesses)
		acts.Post(Path+"/processes/{kind}/{id}/retry", p.retry)
		acts.Post(Path+"/processes/{kind}/{id}/cancel", p.cancel)
	}}, err
}

// Time for an action to be done before its page is shown: most are quick.
const patience = 2 * time.Second

// act begins an action in the name of the reader and leads to its page, which says what comes of it.
func (p *pages) act(w http.ResponseWriter, r *http.Request, o operations.Order, work operations.Work) {
	id, err := p.Desk.Begin(r.Context(), auth.Of(r.Context()).Subject, o, work)
	if err != nil {
		p.Fail(w, r, http.StatusServiceUnavailable, "Nothing was done", err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	p.Desk.Await(ctx, id)
	http.Redirect(w, r, here+"/actions/"+id, http.StatusSeeOther)
}

// reader is what a page shows or not, by who reads it.
type reader struct{ MayAct, MaySeeData bool }

func readerOf(r *http.Request) reader {
	return reader{auth.May(r.Context(), page.ScopeOperate), auth.May(r.Context(), history.DataScope)}
}

// summary is an entry of the first page.
type summary struct {
	Name, At, About string
	// Text is how it is; Wrong says that it should not be.
	Text  string
	Wrong bool
}

// all is the first page: how each thing is, and what was done here lately.
func (p *pages) all(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	var shown struct {
		Parts  []summary
		Recent []operations.Action
	}
	parts := []func(context.Context) summary{p.parkedInShort, p.readModelsInShort, p.processesInShort, p.leasesInShort}
	shown.Parts = make([]summary, len(parts))
	var asking sync.WaitGroup
	for i, part := range parts {
		asking.Go(func() { shown.Parts[i] = part(ctx) })
	}
	for _, id := range p.Desk.Recent() {
		if a, found, err := p.Desk.Look(r.Context(), id); err == nil && found { // the audit trail has all
			shown.Recent = append(shown.Recent, a)
		}
	}
	asking.Wait()
	p.Show(w, r, http.StatusOK, "operate", "", "Operate", shown)
}

// cannotBeRead is what a part of the first page says that is away.
func (s summary) cannotBeRead(err error) summary {
	s.Text, s.Wrong = "It cannot be read right now: "+err.Error(), true
	return s
}

// counted says how many there are, none being well.
func (s summary) counted(n int, one, many, none string) summary {
	switch s.Wrong = n > 0; n {
	case 0:
		s.Text = none
	case 1:
		s.Text = "1 " + one
	default:
		s.Text = fmt.Sprintf("%d %s", n, many)
	}
	return s
}

// action shows what has become of an action.
func (p *pages) action(w http.ResponseWriter, r *http.Request) {
	a, found, err := p.Desk.Look(r.Context(), chi.URLParam(r, "id"))
	switch {
	case err != nil:
		p.Fail(w, r, http.StatusServiceUnavailable, "The log cannot be read right now", err.Error())
	case !found:
		p.Fail(w, r, http.StatusNotFound, "There is no such action", "The log has none of that ID.")
	default:
		p.Show(w, r, http.StatusOK, "action", "action", a.Action, a)
	}
}
