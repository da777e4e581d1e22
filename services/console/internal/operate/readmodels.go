package operate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/projectors"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
)

// readModel is a projection as its service sees it.
type readModel struct {
	Name, Service string
	Generations   projectors.Generations
	Audit         projectors.Audit
	CatchUp       projectors.CatchUp
	Step          projectors.Step
	Err           error
}

// Wrong says that something should be done.
func (m readModel) Wrong() bool {
	return m.Err != nil || m.Generations.RebuildDue || m.Audit.Differences > m.Audit.Repaired
}

// allReadModels asks the service of each projection.
func (p *pages) allReadModels(ctx context.Context) (all []readModel) {
	client, err := p.Services(ctx)
	for _, of := range p.Names.Projections() {
		m := readModel{Name: of.Name, Service: of.Service, Err: err}
		if err == nil {
			m.Err = m.read(ctx, client)
		}
		all = append(all, m)
	}
	return all
}

func (m *readModel) read(ctx context.Context, client *adminclient.Client) error {
	address, err := client.Projection(ctx, m.Name)
	if err != nil {
		return err
	}
	for path, into := range map[string]any{
		projectors.GenerationsPath(m.Name): &m.Generations, projectors.AuditPath(m.Name): &m.Audit,
		projectors.CatchUpPath(m.Name): &m.CatchUp, projectors.GenerationsPath(m.Name) + "/step": &m.Step,
	} {
		if _, err := client.Get(ctx, address+path, into); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) readModelsInShort(ctx context.Context) summary {
	s := summary{Name: "Read models", At: here + "/readmodels", About: "their generations, rebuilds and audits"}
	wrong := 0
	for _, m := range p.allReadModels(ctx) {
		if m.Err != nil {
			return s.cannotBeRead(m.Err)
		}
		if m.Wrong() {
			wrong++
		}
	}
	return s.counted(wrong, "read model needs a look", "read models need a look", "none differs from the log, and no rebuild is due")
}

func (p *pages) readModels(w http.ResponseWriter, r *http.Request) {
	p.Show(w, r, http.StatusOK, "readmodels", "", "Read models", p.allReadModels(r.Context()))
}

// readModelShown is one of them, with what can be done.
type readModelShown struct {
	reader
	readModel

	Steps []offered
}

// offered is a step that is possible, and what it does.
type offered struct {
	Step generation.Step
	Does string
}

// Label is the text of its button.
func (o offered) Label() string {
	return strings.ToUpper(string(o.Step[:1])) + string(o.Step[1:]) + " it"
}

// offers are the steps that follow from the phase of a projection.
func offers(s generation.State) (all []offered) {
	for _, each := range []offered{
		{generation.Rebuild, "Writes all rows anew, from the log, into another table, while the present one is fed and read as ever, and " +
			"proves that the new rows are those of the log. Writes cost twice from then on, until one of the two is left."},
		{generation.Switch, "Lets all reads move to the generation that is ready, in about 12 s. The present one is fed as ever, so that a " +
			"rollback can move them back."},
		{generation.Rollback, "Lets all reads move back to the previous generation, or ends a switch that was stopped half way, in about 12 s."},
		{generation.Retire, "Leaves the generation that is not read, and deletes its table; that of generation 1 stays. There is no way back " +
			"but another rebuild."},
	} {
		if s.Allows(each.Step) == nil {
			all = append(all, each)
		}
	}
	return all
}

// findReadModel returns the read model that the request is for, or answers that there is none.
func (p *pages) findReadModel(w http.ResponseWriter, r *http.Request) (m readModel, ok bool) {
	all := p.allReadModels(r.Context())
	i := slices.IndexFunc(all, func(m readModel) bool { return m.Name == chi.URLParam(r, "projection") })
	switch {
	case i < 0:
		p.Fail(w, r, http.StatusNotFound, "There is no such read model", "")
	case all[i].Err != nil:
		p.Fail(w, r, http.StatusServiceUnavailable, all[i].Service+" cannot be asked right now", all[i].Err.Error())
	default:
		return all[i], true
	}
	return m, false
}

func (p *pages) readModel(w http.ResponseWriter, r *http.Request) {
	if m, ok := p.findReadModel(w, r); ok {
		p.Show(w, r, http.StatusOK, "readmodel", "", m.Name, readModelShown{readerOf(r), m, offers(m.Generations.State)})
	}
}

// keeper returns a client, and the address in it of the service that keeps a projection.
func (p *pages) keeper(ctx context.Context, projection string) (client *adminclient.Client, address string, err error) {
	if client, err = p.Services(ctx); err == nil {
		address, err = client.Projection(ctx, projection)
	}
	return client, address, err
}

// audit compares a read model with the log, and repairs it if that is asked for.
func (p *pages) audit(w http.ResponseWriter, r *http.Request) {
	m, ok := p.findReadModel(w, r)
	if !ok {
		return
	}
	repair := r.PostFormValue("repair") != ""
	order := operations.Order{
		Action: "audit", Target: m.Name, Parameters: map[string]string{"repair": map[bool]string{true: "yes", false: "no"}[repair]},
	}
	p.act(w, r, order, func(ctx context.Context, _ eventsourcing.Metadata, say func(string)) (string, error) {
		client, address, err := p.keeper(ctx, m.Name)
		if err != nil {
			return "", err
		}
		at := address + projectors.AuditPath(m.Name)
		run, err := projectors.Follow(ctx, client, at+"?repair="+strconv.FormatBool(repair), at, func(a projectors.Audit) { say(audited(a)) })
		switch {
		case err != nil:
			return "", err
		case run.Ended() != nil:
			return "", run.Ended()
		case run.Repair != repair || !run.Requested:
			return "", errors.New("another audit was under way, and has ended: order this one again")
		default:
			return audited(run), nil
		}
	})
}

func audited(a projectors.Audit) string {
	return fmt.Sprintf("%s aggregates and %s rows compared: %s differences, %s repaired", pipeline.Count(float64(a.Streams)),
		pipeline.Count(float64(a.Rows)), pipeline.Count(float64(a.Differences)), pipeline.Count(float64(a.Repaired)))
}

// catchUp applies what a projection has missed of the whole log.
func (p *pages) catchUp(w http.ResponseWriter, r *http.Request) {
	if m, ok := p.findReadModel(w, r); ok {
		p.catchUpOf(w, r, m.Name)
	}
}

// catchUpOf applies what a consumer of events has missed of the whole log: a projection, or the processes.
func (p *pages) catchUpOf(w http.ResponseWriter, r *http.Request, consumer string) {
	p.act(w, r, operations.Order{Action: "catch up", Target: consumer}, func(
		ctx context.Context, _ eventsourcing.Metadata, say func(string),
	) (string, error) {
		client, address, err := p.keeper(ctx, consumer)
		if err != nil {
			return "", err
		}
		at := address + projectors.CatchUpPath(consumer)
		run, err := projectors.Follow(ctx, client, at, at, func(c projectors.CatchUp) {
			say(pipeline.Count(float64(c.Records)) + " events read")
		})
		if err == nil {
			err = run.Ended()
		}
		return fmt.Sprintf("%s events compared, %s aggregates were behind, %s events applied, %s holes", pipeline.Count(float64(run.Records)),
			pipeline.Count(float64(run.Behind)), pipeline.Count(float64(run.Applied)), pipeline.Count(float64(run.Holes))), err
	})
}

// step moves a projection towards another generation.
func (p *pages) step(w http.ResponseWriter, r *http.Request) {
	m, ok := p.findReadModel(w, r)
	if !ok {
		return
	}
	what := generation.Step(chi.URLParam(r, "step"))
	if !slices.ContainsFunc(offers(m.Generations.State), func(o offered) bool { return o.Step == what }) {
		p.Fail(w, r, http.StatusConflict, "Nothing was done", "That is not possible now: "+m.Generations.String()+".")
		return
	}
	p.act(w, r, operations.Order{Action: string(what), Target: m.Name}, func(
		ctx context.Context, _ eventsourcing.Metadata, say func(string),
	) (string, error) {
		client, address, err := p.keeper(ctx, m.Name)
		if err != nil {
			return "", err
		}
		at := address + projectors.GenerationsPath(m.Name)
		run, err := projectors.Follow(ctx, client, at+"/"+string(what), at+"/step", func(s projectors.Step) { say(p.course(s)) })
		switch {
		case err != nil:
			return "", err
		case run.Problem != "":
			return "", errors.New(run.Problem)
		case run.Ended() != nil:
			return "", run.Ended()
		case run.Step != what:
			return "", fmt.Errorf("another step, %s, was under way, and has ended: order this one again", run.Step)
		}
		return "it is " + string(run.Phase) + " now", nil
	})
}

// course says how far a step is, and about how long it takes.
func (p *pages) course(s projectors.Step) string {
	switch s.Doing {
	case generation.Comparing:
		return fmt.Sprintf("%s aggregates and %s rows compared", pipeline.Count(float64(s.Streams)), pipeline.Count(float64(s.Rows)))
	case generation.Reading:
		text := fmt.Sprintf("%s of about %s events read", pipeline.Count(float64(s.Events)), pipeline.Count(float64(s.Expected)))
		if s.StartedAt == nil || s.Fresh == 0 || s.Expected <= s.Events {
			return text
		}
		rate := float64(s.Fresh) / max(p.Now().Sub(*s.StartedAt).Seconds(), 1)
		left := time.Duration(float64(s.Expected-s.Events) / rate * float64(time.Second))
		return fmt.Sprintf("%s, %s a second, about %s left", text, pipeline.Count(rate), pipeline.Duration(left))
	default:
		return "waiting until every process knows"
	}
}
