package faults_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/faults"
	"github.com/leftfold/leftfold/services/console/internal/page"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a system with one way to break it.
type fake struct {
	way     faults.Way
	refuses error
	now     faults.State
	calls   []string
}

func (f *fake) Ways() []faults.Way { return []faults.Way{f.way} }

func (f *fake) Break(_ context.Context, way string) error {
	f.calls = append(f.calls, "break "+way)
	return f.refuses
}

func (f *fake) End() error {
	f.calls = append(f.calls, "end")
	return nil
}

func (f *fake) Play() { f.calls = append(f.calls, "play") }

func (f *fake) State(context.Context) faults.State { return f.now }

func ask(t *testing.T, f *fake, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	frame, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Admit: func(next http.Handler) http.Handler { return next }})
	require.NoError(t, err)
	area, err := faults.Area(f)(frame)
	require.NoError(t, err)
	router := chi.NewRouter()
	require.NoError(t, frame.Register(router, area))
	r := httptest.NewRequestWithContext(auth.With(t.Context(), auth.Everything()), method, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w
}

func newFake() *fake {
	return &fake{
		way: faults.Way{Name: "slow", Title: "Slow calls", Does: "Each call takes longer.", Watch: "lag grows"},
		now: faults.State{Models: []faults.Model{{Name: "users", Shown: 12, All: 12}, {Name: "roles", Shown: 9, All: 12}}},
	}
}

func TestEachWayIsShownWithWhatItDoes(t *testing.T) {
	t.Parallel()
	body := ask(t, newFake(), http.MethodGet, "/console/faults").Body.String()
	for _, want := range []string{"Slow calls", "Each call takes longer.", "Watch: lag grows", `action="/console/faults/begin/slow"`} {
		assert.Contains(t, body, want)
	}
	assert.NotContains(t, body, "style=")
}

func TestAFaultIsBegunAndEnded(t *testing.T) {
	t.Parallel()
	f := newFake()
	assert.Equal(t, "/console/faults?done=slow", ask(t, f, http.MethodPost, "/console/faults/begin/slow").Header().Get("Location"))
	assert.Equal(t, http.StatusSeeOther, ask(t, f, http.MethodPost, "/console/faults/end").Code)
	assert.Equal(t, http.StatusSeeOther, ask(t, f, http.MethodPost, "/console/faults/story").Code)
	assert.Equal(t, http.StatusNotFound, ask(t, f, http.MethodPost, "/console/faults/begin/other").Code)
	assert.Equal(t, []string{"break slow", "end", "play"}, f.calls)
	assert.Contains(t, ask(t, f, http.MethodGet, "/console/faults?done=slow").Body.String(), "Begun: Slow calls.")

	f.refuses = errors.New("there are 8 shards already")
	w := ask(t, f, http.MethodPost, "/console/faults/begin/slow")
	assert.Equal(t, http.StatusConflict, w.Code)
	assert.Contains(t, w.Body.String(), `role="alert">there are 8 shards already`)
}

func TestTheStripSaysWhatHealsAndWhatIsLost(t *testing.T) {
	t.Parallel()
	f := newFake()
	strip := func() string {
		w := ask(t, f, http.MethodGet, "/console/faults/state", "Hx-Request", "true")
		assert.NotContains(t, w.Body.String(), "<html")
		return w.Body.String()
	}
	assert.Contains(t, strip(), "3 events on their way")
	assert.Contains(t, strip(), "roles shows 9 of 12 events")
	f.now.Models[1].Shown = 12
	assert.Contains(t, strip(), "Nothing is lost")
	assert.Contains(t, strip(), "Every read model shows every event of the log.")
	f.way.Until, f.way.Strikes = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), 7
	assert.Regexp(t, `Slow calls</b>: 7 calls struck, until <time datetime="2026-11-23T09:00`, strip())
	f.now.Story, f.now.Broken = "the promises do not hold", true
	assert.Contains(t, strip(), "The story ended badly")
	f.now.Note = "too many"
	assert.Contains(t, strip(), "Not counted")
	assert.Equal(t, "/console/faults", ask(t, f, http.MethodGet, "/console/faults/state").Header().Get("Location"), "it is no page")
}
