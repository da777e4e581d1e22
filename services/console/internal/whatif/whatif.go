// Package whatif is the pages on which a command is tried: what it would decide, record and take, at any version, without a write.
package whatif

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"iter"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

//go:embed templates/*.html
var templates embed.FS

// Log is what the pages read of the log.
type Log interface {
	Read(ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
}

type pages struct {
	*page.Templates

	log Log
	api rest.API
}

// New returns the area.
func New(f *page.Frame, log Log, api rest.API) (page.Area, error) {
	t, err := f.Templates(templates, template.FuncMap{"fact": path.Base})
	p := &pages{t, log, api}
	return page.Area{Name: "What if", Path: "/whatif", Routes: func(r chi.Router) {
		r.Get("/whatif", p.choose)
		r.Get("/whatif/{command}", p.fill)
		r.Post("/whatif/{command}", p.try)
	}}, err
}

// choice is a command to choose.
type choice struct {
	// On is the stream that commands are for, At its version; both may be empty.
	On, At      string
	Collections []collection
	Note        string
}

type collection struct {
	Name     string
	Commands []command
}

// Ask is what the address of a command says of the stream.
func (c choice) Ask() string {
	query := url.Values{}
	if c.On != "" {
		query.Set("on", c.On)
	}
	if c.At != "" {
		query.Set("at", c.At)
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

func (p *pages) choose(w http.ResponseWriter, r *http.Request) {
	c := choice{On: r.URL.Query().Get("on"), At: r.URL.Query().Get("at")}
	status := http.StatusOK
	all, err := commands(r.Context(), p.api)
	if err != nil {
		status, c.Note = http.StatusServiceUnavailable, "The API does not say which commands there are: "+err.Error()
	}
	on, _ := eventsourcing.ParseStreamID(c.On)
	for _, one := range all {
		if c.On != "" && (!one.Own || one.Collection != rest.Collection(on.Category)) {
			continue
		}
		if n := len(c.Collections); n == 0 || c.Collections[n-1].Name != one.Collection {
			c.Collections = append(c.Collections, collection{Name: one.Collection})
		}
		last := &c.Collections[len(c.Collections)-1]
		last.Commands = append(last.Commands, one)
	}
	p.Show(w, r, status, "choose", "", "What if", c)
}

// trial is a command with its values, and what it would do.
type trial struct {
	command

	On, At string
	// AtRefused is what is wrong with the version.
	AtRefused string
	// Refused says why the command would be refused, where no field is at fault.
	Refused []string
	Tried   bool
	// Would is nil if the command would be refused.
	Would *would
	// State is what the command would make of the state. Note says why it is not shown.
	State []page.Field
	Note  string
}

// WouldBeRefused reports that the command was tried in vain.
func (t trial) WouldBeRefused() bool { return t.Tried && t.Would == nil }

// would is what the API says of a command that would be accepted.
type would struct {
	ID       string                `json:"id"`
	Decision string                `json:"decision"`
	Expected eventsourcing.Version `json:"expected"`
	Version  eventsourcing.Version `json:"version"`
	Events   []struct {
		Version    eventsourcing.Version `json:"version"`
		Name       string                `json:"name"`
		Schema     int                   `json:"schema"`
		Data       json.RawMessage       `json:"data"`
		Enrichment []struct {
			Aggregate string          `json:"aggregate"`
			ID        string          `json:"id"`
			Data      json.RawMessage `json:"data"`
		} `json:"enrichment"`
	} `json:"events"`
	Taken    []claim `json:"taken"`
	Released []claim `json:"released"`
	Guards   []struct {
		Stream  string                `json:"stream"`
		Version eventsourcing.Version `json:"version"`
	} `json:"guards"`
	Scopes []struct {
		Scope    string `json:"scope"`
		Checked  bool   `json:"checked"`
		Counters []struct {
			Name string `json:"name"`
			Now  int64  `json:"now"`
			Then int64  `json:"then"`
		} `json:"counters"`
	} `json:"scopes"`
}

type claim struct {
	Constraint string `json:"constraint"`
	Value      string `json:"value"`
}

// Nothing reports that all is already as the command wants it.
func (w would) Nothing() bool { return len(w.Events) == 0 }

// asked returns the command that the address names. It has answered if ok is false.
func (p *pages) asked(w http.ResponseWriter, r *http.Request) (t trial, ok bool) {
	all, err := commands(r.Context(), p.api)
	if err != nil {
		p.Fail(w, r, http.StatusServiceUnavailable, "The API does not say which commands there are", err.Error())
		return t, false
	}
	i := slices.IndexFunc(all, func(c command) bool { return c.ID == chi.URLParam(r, "command") })
	if i < 0 {
		p.Fail(w, r, http.StatusNotFound, "There is no such command", "")
		return t, false
	}
	t.command = all[i]
	return t, true
}

func (p *pages) fill(w http.ResponseWriter, r *http.Request) {
	t, ok := p.asked(w, r)
	if !ok {
		return
	}
	t.On, t.At = r.URL.Query().Get("on"), r.URL.Query().Get("at")
	on, _ := eventsourcing.ParseStreamID(t.On)
	for i, f := range t.Fields {
		if f.InPath && f.Name == "id" {
			t.Fields[i].Value = on.ID
		}
	}
	p.Show(w, r, http.StatusOK, "command", "", "What if", t)
}

// maxForm bounds a form, in bytes.
const maxForm = 64 << 10

func (p *pages) try(w http.ResponseWriter, r *http.Request) {
	t, ok := p.asked(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.Fail(w, r, http.StatusBadRequest, "The form cannot be read", err.Error())
		return
	}
	for i, f := range t.Fields {
		t.Fields[i].Value = strings.TrimSpace(r.PostForm.Get(f.Name))
	}
	t.On, t.At, t.Tried = r.PostForm.Get("on"), strings.TrimSpace(r.PostForm.Get("at")), true
	answer, err := p.api.Send(r.Context(), t.request(t.At))
	if err != nil {
		p.Fail(w, r, http.StatusServiceUnavailable, "The API does not answer", err.Error())
		return
	}
	if answer.OK() {
		err = json.Unmarshal(answer.Body, &t.Would)
	}
	if err != nil {
		p.Fail(w, r, http.StatusBadGateway, "The API's answer cannot be read", err.Error())
		return
	}
	title := "Refused: what if"
	if t.Would == nil {
		t.refused(answer)
	} else {
		title = "Accepted: what if"
		p.fold(r.Context(), &t)
	}
	p.Show(w, r, http.StatusOK, "command", "", title, t)
}

// refused places what is wrong where it belongs.
func (t *trial) refused(answer rest.Answer) {
	for _, e := range answer.Problem().Errors {
		if e.Location == "query.at" {
			t.AtRefused = e.Message
		}
	}
	t.Refused = slices.DeleteFunc(t.refuse(answer), func(text string) bool { return t.AtRefused != "" && strings.HasPrefix(text, "at: ") })
}

// fold shows the state before the command and after it.
func (p *pages) fold(ctx context.Context, t *trial) {
	i := slices.IndexFunc(aggregates.All(), func(a aggregates.Aggregate) bool { return rest.Collection(a.Category) == t.Collection })
	switch {
	case i < 0 || t.Would.Nothing():
		return
	case !auth.May(ctx, history.DataScope):
		t.Note = "The state is for those with the scope " + history.DataScope + "."
		return
	}
	a := aggregates.All()[i]
	before, after, err := p.states(ctx, a, *t.Would)
	if err != nil {
		t.Note = "The state cannot be shown right now: " + err.Error()
		return
	}
	t.State = page.Fields(ctx, before, after)
}

func (p *pages) states(ctx context.Context, a aggregates.Aggregate, w would) (before, after []byte, err error) {
	stream := eventsourcing.StreamID{Category: a.Category, ID: w.ID}
	var records []eventsourcing.Record
	if w.Expected > 0 {
		for rec, err := range p.log.Read(ctx, stream, 0) {
			if err != nil {
				return nil, nil, err
			}
			if records = append(records, rec); rec.Version == w.Expected {
				break
			}
		}
		if before, err = a.State(records); err != nil {
			return nil, nil, err
		}
	}
	if len(records) != int(w.Expected) { //nolint:gosec // that many were read
		return nil, nil, errors.New("the log has fewer events than the command was decided on")
	}
	for _, e := range w.Events {
		records = append(records, eventsourcing.Record{Stream: stream, Version: e.Version, Name: e.Name, Schema: e.Schema, Data: e.Data})
	}
	after, err = a.State(records)
	return before, after, err
}

// Decided is the address of the command's stream at the version that was decided on.
func (t trial) Decided() string {
	for _, a := range aggregates.All() {
		if rest.Collection(a.Category) == t.Collection && t.Would != nil && t.Would.Expected > 0 {
			return page.StreamAt(fmt.Sprint(a.Category, "/", t.Would.ID), t.Would.Expected)
		}
	}
	return ""
}
