// Package overview is the first page: is all well, and if not, what and where.
package overview

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
)

//go:embed templates/*.html
var templates embed.FS

type pages struct {
	*page.Templates

	watcher *pipeline.Watcher
	done    <-chan struct{}
}

// New returns the area. What is sent live ends with done.
func New(f *page.Frame, watcher *pipeline.Watcher, done <-chan struct{}) (page.Area, error) {
	t, err := f.Templates(templates, template.FuncMap{"spark": spark, "rate": rate, "of": of})
	p := &pages{t, watcher, done}
	return page.Area{Name: "Overview", Path: "/", Scope: page.ScopeRead, Routes: func(r chi.Router) {
		r.Get("/", p.overview)
		r.Get("/live", p.live)
	}}, err
}

func (p *pages) overview(w http.ResponseWriter, r *http.Request) {
	p.watcher.Look(r.Context())
	p.Show(w, r, http.StatusOK, "overview", "", "Overview", p.watcher.View())
}

// live sends the overview again after every look at the services, as server-sent events, until the reader or this process goes.
func (p *pages) live(w http.ResponseWriter, r *http.Request) {
	looked, stop := p.watcher.Watch()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes each on at once
	answer := http.NewResponseController(w)
	send := func(text string) bool {
		_, err := w.Write([]byte(text))
		return err == nil && answer.Flush() == nil
	}
	if !send("retry: 1000\n\n") {
		return
	}
	for {
		select {
		case <-r.Context().Done(): // a server ends every request in time, and the browser begins another
			return
		case <-p.done:
			return
		case <-looked:
		}
		text, err := p.Render("overview", "pipeline", p.watcher.View())
		if err != nil {
			return
		}
		var event bytes.Buffer
		event.WriteString("event: pipeline\n")
		for line := range strings.SplitSeq(string(text), "\n") {
			event.WriteString("data: " + line + "\n")
		}
		if event.WriteString("\n"); !send(event.String()) {
			return
		}
	}
}

// stageOf is a stage of a view.
type stageOf struct {
	RatesKnown bool
	Stage      pipeline.Stage
}

func of(v pipeline.View, s pipeline.Stage) stageOf { return stageOf{v.RatesKnown(), s} }

// rate is a rate for people.
func rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0"
	case perSecond < 10:
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	default:
		return pipeline.Count(perSecond)
	}
}

// The size of a sparkline, in its own units.
const sparkWidth, sparkHeight = 120, 28

// spark draws rates as a line from the oldest to the newest. Colours are the style sheet's.
func spark(rates []float64) template.HTML {
	if len(rates) < 2 {
		return ""
	}
	most := 1.0
	for _, r := range rates {
		most = math.Max(most, r)
	}
	var points strings.Builder
	for i, r := range rates {
		x := float64(i) / float64(len(rates)-1) * sparkWidth
		fmt.Fprintf(&points, "%.1f,%.1f ", x, (1-r/most)*(sparkHeight-2)+1)
	}
	return template.HTML(fmt.Sprintf( //nolint:gosec // numbers alone
		`<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" aria-hidden="true"><polyline points="%s"/></svg>`,
		sparkWidth, sparkHeight, strings.TrimSpace(points.String())))
}
