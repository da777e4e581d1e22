package page_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/whereabouts"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/journey"
	"github.com/leftfold/leftfold/services/console/internal/overview"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
	"github.com/leftfold/leftfold/services/console/internal/rest"
	"github.com/leftfold/leftfold/services/console/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

var (
	dan    = eventsourcing.StreamID{Category: user.Category, ID: id}
	monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// fake is a system whose parts can be away.
type fake struct {
	away error
}

func (f fake) All(context.Context, string) []adminclient.Answer {
	return []adminclient.Answer{{Address: "http://one", Err: f.away}}
}

func (f fake) Read(
	_ context.Context, s eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		if f.away != nil {
			yield(eventsourcing.Record{}, f.away)
			return
		}
		if s != dan {
			return
		}
		for i, e := range []user.Event{
			user.Registered{UserID: id, Email: "dan@example.com"}, user.Updated{FirstName: "Dan", LastName: "<script>"},
		} {
			data, _ := json.Marshal(e) // an event cannot fail
			r := eventsourcing.Record{
				Stream: dan, Version: eventsourcing.Version(i + 1), Name: e.EventName(), Schema: []int{1, 2}[i], Data: data, RecordedAt: monday,
				Metadata: eventsourcing.Metadata{Actor: "<b>ann</b>"},
			}
			if r.Version > after && !yield(r, nil) {
				return
			}
		}
	}
}

func (f fake) find(_ context.Context, _ eventsourcing.StreamID, _ eventsourcing.Version, on func(whereabouts.Stop)) (bool, error) {
	later := monday.Add(120 * time.Millisecond)
	on(whereabouts.Stop{Place: "log", Name: "EventLog", State: "stored", At: &monday})
	on(whereabouts.Stop{Place: "queue", Name: "users.fifo", State: whereabouts.NotSeen})
	on(whereabouts.Stop{Place: "row", Name: "users", State: "does not show it", At: &later, Waits: "version 1 before it cannot be applied"})
	return false, f.away
}

func (f fake) Last(_ context.Context, s eventsourcing.StreamID) (eventsourcing.Version, error) {
	if s != dan {
		return 0, f.away
	}
	return 2, f.away
}

func (f fake) Send(_ context.Context, r rest.Request) (rest.Answer, error) {
	answer := func(body string) (rest.Answer, error) {
		return rest.Answer{Status: http.StatusOK, Body: []byte(body)}, f.away
	}
	switch {
	case strings.HasPrefix(r.Path, "/events?correlation=walk"):
		return answer(`[{"name":"org/iam/user/registered","aggregate":"org/iam/user","aggregateId":"` + id + `","version":1}]`)
	case strings.HasPrefix(r.Path, "/events"):
		return answer(`[]`)
	default:
		return answer(`{"lastName":"` + r.Path[len(r.Path)-1:] + `"}`)
	}
}

func (f fake) locate(context.Context, string) (s eventsourcing.StreamID, v eventsourcing.Version, found bool, err error) {
	return s, v, false, f.away
}

// admit lets everyone do everything, unless a test says who reads.
func admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if auth.Of(ctx).Subject == auth.Anonymous {
			ctx = auth.With(ctx, auth.Everything())
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// register adds the pages of a system to a router.
func register(t *testing.T, r chi.Router, f fake) {
	t.Helper()
	frame, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Admit: admit})
	require.NoError(t, err)
	first, err := overview.New(frame, pipeline.NewWatcher(f, time.Now, nil), nil)
	require.NoError(t, err)
	second, err := journey.New(frame, journey.Config{Log: f, Find: f.find, Locate: f.locate, API: f})
	require.NoError(t, err)
	third, err := streams.New(frame, f, f)
	require.NoError(t, err)
	closed := page.Area{Name: "Closed", Path: "/closed", Scope: "closed:read", Routes: func(r chi.Router) {
		r.Get("/closed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		r.Post("/closed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	}}
	require.NoError(t, frame.Register(r, first, second, third, closed))
}

// ask returns the answer to a GET of the pages of a system.
func ask(t *testing.T, f fake, path string) (status int, header http.Header, body string) {
	t.Helper()
	router := chi.NewRouter()
	register(t, router, f)
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Header(), w.Body.String()
}

func pages() []string {
	return []string{
		"/console/", "/console/journey", "/console/journey?of=" + id, "/console/journey?of=walk-1", "/console/streams",
		"/console/streams/org/iam/user/" + id, "/console/streams/org/iam/user/" + id + "?at=1", "/console/nothing",
	}
}

// What users have typed is text and nothing else, and no page has a script or a style in it, which its policy would forbid.
func TestNoPageRunsWhatItShows(t *testing.T) {
	t.Parallel()
	for _, page := range pages() {
		_, header, body := ask(t, fake{}, page)
		assert.Contains(t, header.Get("Content-Security-Policy"), "script-src 'self';", page)
		assert.NotContains(t, body, "style=", page)
		assert.NotRegexp(t, `<script(>| [^s])`, body, page)
		assert.NotContains(t, body, "<b>ann", page)
		assert.Less(t, len(body), 100_000, page)
	}
	_, _, body := ask(t, fake{}, "/console/streams/org/iam/user/"+id)
	assert.Contains(t, body, "&lt;script&gt;")
}

// A part that is away is named; the rest of the page is there.
func TestAPageSaysWhatItCannotShow(t *testing.T) {
	t.Parallel()
	gone := fake{errors.New("connection refused")}
	for page, want := range map[string]struct {
		status int
		text   string
	}{
		"/console/":                           {http.StatusOK, "does not answer"},
		"/console/journey?of=" + id:           {http.StatusServiceUnavailable, "It cannot be told right now: connection refused"},
		"/console/streams":                    {http.StatusServiceUnavailable, "The audit trail cannot be read right now"},
		"/console/streams/org/iam/user/" + id: {http.StatusServiceUnavailable, "The log cannot be read right now"},
		"/console/streams/none":               {http.StatusNotFound, "That is no stream"},
	} {
		status, _, body := ask(t, gone, page)
		assert.Equal(t, want.status, status, page)
		assert.Contains(t, body, want.text, page)
		assert.Contains(t, body, "Parts of the console", page)
	}
}

func TestAJourneyShowsWhereTheEventWaits(t *testing.T) {
	t.Parallel()
	_, _, body := ask(t, fake{}, "/console/journey?of="+id)
	assert.Contains(t, body, "Version 2 of")
	assert.Contains(t, body, "every read model shows it.")
	assert.Regexp(t, `(?s)<tr class="wrong">.*<b class="late">version 1 before it cannot be applied`, body)
	assert.Contains(t, body, "120 ms")
	for asked, want := range map[string]string{
		"walk-1": "Events of this correlation ID",
		"nobody": "Nothing is known by that id",
		"Lovelace": `<a
href="/console/users?by=lastName&amp;q=Lovelace">last names</a>`,
		id + "%23x":          "After # belongs a version",
		"%2Fb":               "That is no stream",
		"org/iam/user/other": "The log has no event of",
	} {
		_, _, body := ask(t, fake{}, "/console/journey?of="+asked)
		assert.Contains(t, body, want, asked)
	}
}

// A page of a user says what its row does not show, and where that is.
func TestAPageSaysThatTheLogHasMore(t *testing.T) {
	t.Parallel()
	at := "/console/journey/newer?of=org/iam/user/" + id + "&than="
	_, _, body := ask(t, fake{}, at+"1")
	assert.Contains(t, body, "The log has version 2, and the read model shows version 1")
	assert.Contains(t, body, "/console/journey?of=org%2fiam%2fuser%2f"+id+"%232")
	for _, than := range []string{"2", "3"} {
		_, _, body = ask(t, fake{}, at+than)
		assert.NotContains(t, body, "The log has version")
	}
	for _, asked := range []string{at + "x", "/console/journey/newer?of=nothing&than=1"} {
		status, _, _ := ask(t, fake{}, asked)
		assert.Equal(t, http.StatusNotFound, status, asked)
	}
	_, _, body = ask(t, fake{away: errors.New("away")}, at+"1")
	assert.NotContains(t, body, "The log has version")
}

func TestAStreamShowsWhatAnEventChanged(t *testing.T) {
	t.Parallel()
	_, _, body := ask(t, fake{}, "/console/streams/org/iam/user/"+id)
	assert.Contains(t, body, "Version <output>2</output> of 2")
	assert.Regexp(t, `(?s)<tr class="changed"><th scope="row">firstName</th><td><ins>Dan</ins></td><td><del></del>`, body)
	assert.Regexp(t, `(?s)What readers see.*<ins>2</ins></td><td><del>1</del>`, body)
	_, _, body = ask(t, fake{}, "/console/streams/org/iam/user/"+id+"?at=1")
	assert.Contains(t, body, "holds org/iam/user#email")
	_, _, body = ask(t, fake{}, "/console/streams/org/iam/user/other")
	assert.Contains(t, body, "The log has no such stream")
}

// A script asks for a part of a page, and gets no other.
func TestAPartOfAPageComesAlone(t *testing.T) {
	t.Parallel()
	router := chi.NewRouter()
	register(t, router, fake{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/streams/org/iam/user/"+id+"?at=1", http.NoBody)
	r.Header.Set("Hx-Request", "true")
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	assert.NotContains(t, w.Body.String(), "<html")
	assert.Contains(t, w.Body.String(), "Version <output>1</output> of 2")
}

func TestAssetsMayBeKeptForEver(t *testing.T) {
	t.Parallel()
	_, _, body := ask(t, fake{}, "/console/")
	for _, name := range []string{"console.css", "htmx.min.js", "sse.min.js", "console.js"} {
		i := strings.Index(body, name)
		require.Positive(t, i, name)
		address := body[strings.LastIndex(body[:i], `"`)+1 : i+len(name)]
		status, header, _ := ask(t, fake{}, address)
		assert.Equal(t, http.StatusOK, status, address)
		assert.Contains(t, header.Get("Cache-Control"), "immutable")
	}
}

// An area with a scope is open to those who have it, and no one else sees its entry.
func TestAnAreaNeedsItsScope(t *testing.T) {
	t.Parallel()
	for reader, want := range map[string]int{"closed:read": http.StatusTeapot, "users:read": http.StatusForbidden} {
		router := chi.NewRouter()
		register(t, router, fake{})
		ctx := auth.With(t.Context(), auth.Principal{Subject: "ann", Scopes: []string{page.ScopeRead, reader}})
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/console/closed", http.NoBody))
		assert.Equal(t, want, w.Code, reader)
		w = httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/console", http.NoBody))
		assert.Equal(t, want == http.StatusTeapot, strings.Contains(w.Body.String(), "Closed</a>"), reader)
	}
}

// What another site sends in a reader's name is refused.
func TestAnotherSiteCannotAct(t *testing.T) {
	t.Parallel()
	router := chi.NewRouter()
	register(t, router, fake{})
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-origin": http.StatusTeapot} {
		r := httptest.NewRequestWithContext(auth.With(t.Context(), auth.Everything()), http.MethodPost, "/console/closed", http.NoBody)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		assert.Equal(t, want, w.Code, site)
	}
}
