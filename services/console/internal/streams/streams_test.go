package streams_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
	"github.com/leftfold/leftfold/services/console/internal/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// system has streams of 500 events, and a trail of pages with one event each.
type system struct {
	hole  int      // the first event that the log lacks; 0: none
	pages []string // the category of the event in each page of the trail

	mu    sync.Mutex
	read  int
	asked []string
}

const length = 500

var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func (*system) Last(context.Context, eventsourcing.StreamID) (eventsourcing.Version, error) {
	return length, nil
}

func (s *system) Read(
	_ context.Context, stream eventsourcing.StreamID, _ eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for v := 1; v <= length; v++ {
			if v == s.hole {
				yield(eventsourcing.Record{}, eventsourcing.ErrLogHole)
				return
			}
			s.read++
			r := eventsourcing.Record{
				Stream: stream, Version: eventsourcing.Version(v), Name: stream.Category + "/updated", Schema: 2,
				Data: fmt.Appendf(nil, `{"firstName":"Dan","lastName":"v%d"}`, v), RecordedAt: monday.Add(time.Duration(v) * time.Hour),
			}
			r.Metadata.CausationID = fmt.Sprint("cause-", v)
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *system) Send(_ context.Context, r rest.Request) (rest.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Path)
	answer := rest.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte(`{}`)}
	at, err := url.Parse(r.Path)
	if err != nil || at.Path != "/events" {
		return answer, err
	}
	n := 0
	_, _ = fmt.Sscan(at.Query().Get("cursor"), &n)
	if n+1 < len(s.pages) {
		answer.Header.Set("Link", fmt.Sprintf(`</events?cursor=%d&limit=100>; rel="next"`, n+1))
	}
	answer.Body = fmt.Appendf(nil, `[{"name":"%[1]s/done","aggregate":"%[1]s","aggregateId":"id-%d","version":1}]`, s.pages[n], n)
	return answer, nil
}

// get returns a page.
func (s *system) get(t *testing.T, path string) string {
	t.Helper()
	frame, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Admit: func(next http.Handler) http.Handler { return next }})
	require.NoError(t, err)
	area, err := streams.New(frame, s, s)
	require.NoError(t, err)
	router := chi.NewRouter()
	require.NoError(t, frame.Register(router, area))
	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequestWithContext(auth.With(t.Context(), auth.Everything()), http.MethodGet, path, http.NoBody))
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	return w.Body.String()
}

const dan = "/console/streams/org/iam/user/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

// Of a long stream a page reads what it shows and what that is made of, and asks the API for two rows at most.
func TestAStreamIsReadAsFarAsItIsShown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ at, read, first, last int }{
		{1, 200, 1, 200}, {100, 200, 1, 200}, {150, 250, 51, 250}, {500, 500, 301, 500}, {0, 500, 301, 500}, {999, 500, 301, 500},
	} {
		s := &system{}
		body := s.get(t, fmt.Sprint(dan, "?at=", tt.at))
		assert.Equal(t, tt.read, s.read, "at %d", tt.at)
		assert.Equal(t, tt.last-tt.first+1, strings.Count(body, "<td>updated</td>"), "at %d", tt.at)
		for _, v := range []int{tt.first, tt.last} {
			assert.Contains(t, body, fmt.Sprintf(`at=%d">%d</a></td>`, v, v), "at %d", tt.at)
		}
		assert.Contains(t, body, "of 500: updated, <time")
		assert.LessOrEqual(t, len(s.asked), 2)
	}
}

func TestAStreamEndsBeforeWhatTheLogLacks(t *testing.T) {
	t.Parallel()
	body := (&system{hole: 4}).get(t, dan+"?at=77")
	assert.Contains(t, body, "The log lacks an event")
	assert.Contains(t, body, "<output>3</output> of 3")
}

// A stream is shown as it was at a time: at the last version up to then.
func TestAStreamIsShownAsItWasAtATime(t *testing.T) {
	t.Parallel()
	for when, want := range map[string]string{
		"2026-11-23T11:30": "<output>2</output> of 500", "2026-11-23T11:00:00": "<output>2</output> of 500",
		"2030-01-01T00:00:00": "<output>500</output> of 500", "2026-11-23T09:59:59": "<output>1</output> of 500",
	} {
		assert.Contains(t, new(system).get(t, dan+"?when="+when), want, when)
	}
	assert.Contains(t, new(system).get(t, dan+"?when=2026-11-23T09:59:59"), "At that time it did not exist")
	body := new(system).get(t, dan+"?when=yesterday")
	assert.Contains(t, body, "Want a day and a time")
	assert.Contains(t, body, "<output>500</output> of 500")
}

// The events of a process lead to what it reacted to; those of others were caused by commands, which no page has.
func TestAnEventOfAProcessLeadsToItsCause(t *testing.T) {
	t.Parallel()
	assert.Contains(t, new(system).get(t, "/console/streams/org/iam/process/grants/1?at=2"), `/console/journey?of=cause-2"`)
	assert.NotContains(t, new(system).get(t, dan+"?at=2"), "of=cause-2")
}

func TestEventsAreBrowsedByTheirCategory(t *testing.T) {
	t.Parallel()
	s := &system{pages: []string{"org/iam/user", "org/iam/role", "org/iam/user"}}
	body := s.get(t, "/console/streams")
	assert.Regexp(t, `(?s)">everything</option><option\s+value="org/ops/action">org/ops/action</option>.*"org/iam/role">role<`, body)
	assert.Contains(t, body, "id-0")
	assert.Contains(t, body, `href="/console/streams?cursor=1"`)

	body = s.get(t, "/console/streams?category=org/iam/role&actor=ann")
	assert.Contains(t, body, `value="org/iam/role" selected`)
	assert.Contains(t, body, "id-1")
	assert.NotContains(t, body, "id-0")
	assert.Contains(t, body, `href="/console/streams?actor=ann&amp;category=org%2Fiam%2Frole&amp;cursor=2"`)
	assert.Equal(t, "/events?actor=ann&cursor=1&limit=100", s.asked[len(s.asked)-1])

	body = s.get(t, "/console/streams?category=org/iam/role&cursor=2")
	assert.Contains(t, body, "Nothing today")

	s.pages = make([]string, 9)
	body = s.get(t, "/console/streams?category=org/iam/role")
	assert.Contains(t, body, "None of 5 pages")
	assert.Contains(t, body, "cursor=5")
}
