package operate_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/processes"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/operate"
	"github.com/leftfold/leftfold/services/console/internal/page"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	id   = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	dan  = "org/iam/user/" + id
	home = "/console/operate"
)

var monday = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// log is one that can be away.
type log struct {
	memstore.Store

	away error
}

func (l *log) Append(ctx context.Context, c eventsourcing.Commit) error {
	if l.away != nil {
		return l.away
	}
	return l.Store.Append(ctx, c)
}

// kind has processes of one kind.
type kind struct {
	mu      sync.Mutex
	waiting []process.Waiting
	done    []string
	away    error
}

func (*kind) Name() string     { return "grants" }
func (*kind) Category() string { return "org/iam/process/grants" }

func (k *kind) List(context.Context) iter.Seq2[process.Waiting, error] {
	return func(yield func(process.Waiting, error) bool) {
		if k.away != nil {
			yield(process.Waiting{}, k.away)
			return
		}
		for _, w := range k.waiting {
			if !yield(w, nil) {
				return
			}
		}
	}
}

func (k *kind) EachWaiting(ctx context.Context, _ int, visit func(context.Context, string, error) error) error {
	for _, w := range k.waiting {
		if err := visit(ctx, w.ID, nil); err != nil {
			return err
		}
	}
	return cmp.Or(k.away, visit(ctx, "broken", errors.New("it cannot be read")))
}

func (k *kind) Show(_ context.Context, of string) (v process.View[any], err error) {
	if of == id {
		v.Version, v.State = 3, map[string]string{"ends": "<b>soon</b>"}
		v.Parked = process.Parked{At: monday, Reason: "it cannot react to dan@example.com"}
	}
	return v, k.away
}

func (k *kind) did(format string, values ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done = append(k.done, fmt.Sprintf(format, values...))
	return nil
}

func (k *kind) Retry(_ context.Context, of string, md eventsourcing.Metadata) error {
	return k.did("retry %s by %s", of, md.Actor)
}

func (k *kind) Cancel(_ context.Context, of, reason string, md eventsourcing.Metadata) error {
	return k.did("cancel %s by %s: %s", of, md.Actor, reason)
}

// leases are stored leases, by consumer.
type leases map[string][]shards.Lease

func (l leases) List(_ context.Context, consumer string) ([]shards.Lease, error) {
	return l[consumer], nil
}

// world is a system as the pages see it.
type world struct {
	t      *testing.T
	log    *log
	kind   *kind
	leases leases
	router chi.Router
	desk   *operations.Desk

	mu       sync.Mutex
	redriven []string
	refusal  string // the answer to a redrive
	posted   []string
	looks    int // at a run that was begun
	phase    string
	problem  string // of a step
}

// newWorld returns a system in which projection users has parked a user. It answers at an address, unless its services are away.
func newWorld(t *testing.T, away bool) *world {
	t.Helper()
	w := &world{t: t, log: &log{}, kind: &kind{}, leases: leases{}}
	admin := httptest.NewServer(w)
	if away {
		admin.Close()
	} else {
		t.Cleanup(admin.Close)
	}
	stream, err := eventsourcing.ParseStreamID(dan)
	require.NoError(t, err)
	require.NoError(t, w.log.Append(t.Context(), eventsourcing.Commit{Stream: stream, Records: []eventsourcing.Record{{
		ID: "e", Stream: stream, Version: 1, Name: "org/iam/user/teleported", Schema: 1, Data: json.RawMessage(`{"to":"<b>Mars</b>"}`),
		RecordedAt: monday,
	}}}))
	now := func() time.Time { return monday }
	w.desk, err = operations.NewDesk(operations.Config{Log: w.log, Now: now, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- w.desk.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	frame, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Admit: func(next http.Handler) http.Handler { return next }})
	require.NoError(t, err)
	area, err := operate.New(frame, operate.Config{
		Names: topology.Names{}, Desk: w.desk, Processes: processes.Kinds{w.kind}, Log: w.log, Leases: w.leases, Now: now,
		Services: func(ctx context.Context) (*adminclient.Client, error) {
			return adminclient.New(ctx, adminclient.Config{URLs: []string{admin.URL}}, nil)
		},
	})
	require.NoError(t, err)
	w.router = chi.NewRouter()
	require.NoError(t, frame.Register(w.router, area))
	return w
}

// ServeHTTP is the admin address of all services.
func (w *world) ServeHTTP(res http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	res.Header().Set("Content-Type", "application/json")
	switch consumer, what := strings.Split(r.URL.Path, "/")[2], strings.Join(strings.Split(r.URL.Path, "/")[3:], "/"); {
	case strings.HasPrefix(what, "generations"), what == "audit", what == "catch-up":
		w.background(res, r, what)
	case r.Method == http.MethodPost && w.refusal != "":
		res.WriteHeader(http.StatusConflict)
		_, _ = res.Write([]byte(w.refusal))
	case r.Method == http.MethodPost:
		w.redriven = append(w.redriven, r.URL.Path)
		_, _ = fmt.Fprintf(res, `{"projection":%q,"stream":%q,"version":9,"done":true}`, consumer, dan)
	case consumer == "users" && len(w.redriven) == 0:
		_, _ = fmt.Fprintf(res, `[{"projection":"users","stream":%q,"version":1,"event":"org/iam/user/teleported",
			"reason":"unknown event of <i>dan@example.com</i>","parkedAt":"2026-11-23T09:00:00Z","waiting":2,
			"redrive":"/projections/users/parked/%s/redrive"}]`, dan, dan)
	default:
		_, _ = res.Write([]byte(`[]`))
	}
}

// background answers for what projectors do in the background. What is begun is under way at the first look after it.
func (w *world) background(res http.ResponseWriter, r *http.Request, what string) {
	state, phase := "running", cmp.Or(w.phase, "settled")
	switch {
	case r.Method == http.MethodPost:
		w.posted, w.looks = append(w.posted, r.URL.RequestURI()), 0
		res.WriteHeader(http.StatusAccepted)
	case len(w.posted) == 0:
		state = "never"
	case w.problem != "":
		state = "failed"
	case w.looks > 0:
		state = "done"
	}
	if r.Method == http.MethodGet {
		w.looks++
	}
	if what == "generations" {
		_, _ = fmt.Fprintf(res, `{"projection":"users","phase":%q,"current":{"number":1,"shape":1},"table":"projection-user",
			"other":{"number":2,"shape":1},"otherTable":"projection-user-g2","newest":2,"rebuildDue":true}`, phase)
		return
	}
	repair := len(w.posted) > 0 && strings.Contains(w.posted[len(w.posted)-1], "repair=true")
	_, _ = fmt.Fprintf(res, `{"projection":"users","state":%q,"startedAt":"2026-11-23T08:59:00Z","requested":true,"repair":%t,"streams":10,
		"rows":1200,"differences":2,"repaired":2,"findings":["stale: <b>thing</b>"],"records":40,"applied":3,"step":"rebuild",
		"doing":"reading","phase":"ready","events":600,"fresh":600,"expected":1200,"problem":%q}`, state, repair, w.problem)
}

var (
	ann    = auth.Principal{Subject: "ann", Scopes: []string{page.ScopeRead, page.ScopeOperate, "events:data"}}
	looker = auth.Principal{Subject: "bob", Scopes: []string{page.ScopeRead}}
)

// as sends a request in the name of someone.
func (w *world) as(who auth.Principal, method, path string, form url.Values) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(auth.With(w.t.Context(), who), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res := httptest.NewRecorder()
	w.router.ServeHTTP(res, r)
	return res
}

func (w *world) get(path string) string {
	w.t.Helper()
	return w.as(ann, http.MethodGet, path, nil).Body.String()
}

// act sends an order that is carried out, and returns the page that it leads to.
func (w *world) act(path string, form url.Values) string {
	w.t.Helper()
	res := w.as(ann, http.MethodPost, path, form)
	require.Equal(w.t, http.StatusSeeOther, res.Code, res.Body)
	at := res.Header().Get("Location")
	w.desk.Await(w.t.Context(), strings.TrimPrefix(at, home+"/actions/"))
	return w.get(at)
}

func TestWhatIsParkedIsRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	assert.Contains(t, w.get(home), "1 aggregate is parked")
	assert.Contains(t, w.get(home+"/parked"), dan)
	entry := w.get(home + "/parked/users/" + dan)
	assert.Contains(t, entry, "unknown event of &lt;i&gt;dan@example.com")
	assert.Contains(t, entry, "Mars")
	assert.Contains(t, entry, "what follows version 0")

	done := w.act(home+"/parked/users/"+dan, nil)
	assert.Contains(t, done, "It is done.</b> "+dan+" in users: applied up to version 9")
	assert.Equal(t, []string{"/projections/users/parked/" + dan + "/redrive"}, w.redriven)
	a, found, err := w.desk.Look(t.Context(), w.desk.Recent()[0])
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, "ann", a.Actor)
	assert.Equal(t, operations.Order{Action: "redrive", Target: "users " + dan}, a.Order)

	first := w.get(home)
	assert.Contains(t, first, "nothing is parked")
	assert.Contains(t, first, "applied up to version 9")
	assert.Equal(t, http.StatusNotFound, w.as(ann, http.MethodGet, home+"/parked/users/"+dan, nil).Code)
	assert.Equal(t, http.StatusNotFound, w.as(ann, http.MethodPost, home+"/parked/users/"+dan, nil).Code)
	assert.Equal(t, http.StatusNotFound, w.as(ann, http.MethodGet, home+"/parked/nothing/"+dan, nil).Code)
}

func TestAllThatIsParkedIsRedriven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	assert.Contains(t, w.act(home+"/parked", nil), "It is done.</b> 1 redriven")
	assert.Len(t, w.redriven, 1)
}

func TestAnActionThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.refusal = `{"code":"still_parked","detail":"an event still cannot be applied","status":409}`
	for _, path := range []string{home + "/parked", home + "/parked/users/" + dan} {
		assert.Regexp(t, `It is not done.*409 still_parked: an event still cannot be applied`, w.act(path, nil))
	}
}

// Without the scope all is shown, but what may be personal, and nothing can be done.
func TestWhoMayOnlyLookDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, path := range []string{
		"/parked", "/parked/users/" + dan, "/processes/grants/" + id + "/retry", "/processes/grants/" + id + "/cancel",
		"/readmodels/users/audit", "/readmodels/users/catch-up", "/readmodels/users/rebuild",
	} {
		res := w.as(looker, http.MethodPost, home+path, url.Values{"reason": {"why not"}})
		assert.Equal(t, http.StatusForbidden, res.Code, path)
		assert.Contains(t, res.Body.String(), "console:operate", path)
	}
	assert.Empty(t, w.redriven)
	assert.Empty(t, w.kind.done)
	assert.Empty(t, w.posted)
	assert.Empty(t, w.desk.Recent())
	for _, path := range []string{"/parked/users/" + dan, "/processes/grants/" + id, "/readmodels/users"} {
		body := w.as(looker, http.MethodGet, home+path, nil).Body.String()
		assert.Contains(t, body, "akes a token with the scope console:operate", path)
		assert.NotContains(t, body, `method="post"`, path)
		assert.NotContains(t, body, "dan@example.com", path)
		assert.NotContains(t, body, "Mars", path)
	}
}

func TestWhatTheLogDoesNotTakeIsNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.log.away = errors.New("the log is away")
	res := w.as(ann, http.MethodPost, home+"/parked/users/"+dan, nil)
	assert.Equal(t, http.StatusServiceUnavailable, res.Code)
	assert.Contains(t, res.Body.String(), "Nothing was done")
	assert.Empty(t, w.redriven)
}

// What is away is named, and the rest is shown.
func TestAPartThatIsAwayIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.kind.waiting = []process.Waiting{{ID: id, Timer: "end", Since: monday.Add(-time.Hour)}}
	first := w.get(home)
	assert.Contains(t, first, "It cannot be read right now: no admin address answers")
	assert.Contains(t, first, "1 process is stuck")
	assert.Contains(t, w.get(home+"/parked"), "projector-user cannot be asked right now")
	assert.NotContains(t, w.get(home+"/parked"), "Nothing is parked")

	w = newWorld(t, false)
	w.kind.away = errors.New("the table is away")
	assert.Contains(t, w.get(home+"/processes"), "Processes of kind grants cannot be read right now: the table is away")
	assert.Equal(t, http.StatusServiceUnavailable, w.as(ann, http.MethodGet, home+"/processes/grants/"+id, nil).Code)
}

func TestWhatIsStuckComesFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.kind.waiting = []process.Waiting{
		{ID: "later", Timer: "end", Since: monday.Add(time.Hour)},
		{ID: "asked", Since: monday.Add(-time.Minute)},
		{ID: "late", Timer: "end", Since: monday.Add(-time.Hour)},
		{ID: "parked", Parked: "dan@example.com", Since: monday},
	}
	body := w.get(home + "/processes")
	assert.Regexp(t, `(?s)>late<.*stuck.*>parked<.*stuck.*>asked<.*at work.*>later<.*due then`, body)
	assert.Equal(t, 2, strings.Count(body, `class="wrong"`))
	assert.NotContains(t, body, "dan@example.com", "a list is read by all")
}

func TestAProcessIsRetriedAndCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	at := home + "/processes/grants/" + id
	assert.Contains(t, w.get(at), "It is parked since")
	assert.Contains(t, w.act(at+"/retry", nil), "It is done")

	res := w.as(ann, http.MethodPost, at+"/cancel", url.Values{"reason": {"  "}})
	assert.Equal(t, http.StatusUnprocessableEntity, res.Code)
	assert.Contains(t, res.Body.String(), "Nothing was done: say why")
	res = w.as(ann, http.MethodPost, at+"/cancel", url.Values{"reason": {strings.Repeat("why ", 200)}})
	assert.Equal(t, http.StatusUnprocessableEntity, res.Code)

	assert.Contains(t, w.act(at+"/cancel", url.Values{"reason": {"the contract was renewed"}}), "the contract was renewed")
	assert.Equal(t, []string{"retry " + id + " by ann", "cancel " + id + " by ann: the contract was renewed"}, w.kind.done)
	for _, path := range []string{"/processes/nothing/" + id, "/processes/grants/nobody"} {
		assert.Equal(t, http.StatusNotFound, w.as(ann, http.MethodGet, home+path, nil).Code, path)
		assert.Equal(t, http.StatusNotFound, w.as(ann, http.MethodPost, home+path+"/retry", nil).Code, path)
	}
}

// What a loss has taken from the processes, they get from the log.
func TestAllProcessesAreRetriedAndCatchUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.kind.waiting = []process.Waiting{{ID: id, Since: monday}, {ID: "other", Since: monday}}
	done := w.act(home+"/processes/retry", nil)
	assert.Contains(t, done, "grants broken: it cannot be read")
	assert.Equal(t, []string{"retry " + id + " by ann", "retry other by ann"}, w.kind.done)
	assert.Contains(t, w.act(home+"/processes/catch-up", nil), "It is done.</b> 40 events compared")
	assert.Equal(t, []string{"/projections/processes/catch-up"}, w.posted)
	for _, path := range []string{"/processes/retry", "/processes/catch-up"} {
		assert.Equal(t, http.StatusForbidden, w.as(looker, http.MethodPost, home+path, nil).Code, path)
	}
}

// Children come after their parents, a shard without a reader stands out, and those who read one before are remembered.
func TestLeasesShowTheLineageAndTheOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	lease := func(shard, owner string, state shards.State, parents ...string) shards.Lease {
		return shards.Lease{Consumer: "broker", Shard: shard, Owner: owner, State: state, Parents: parents}
	}
	w.leases["broker"] = []shards.Lease{
		lease("a-child", "", shards.StateOpen, "parent"), lease("parent", "one", shards.StateDone, "trimmed"),
		lease("reader", "one", shards.StateReader), lease("loop", "one", shards.StateOpen, "loop"),
	}
	assert.Contains(t, w.get(home), "1 shard has no reader")
	body := w.get(home + "/leases")
	assert.Regexp(t, `(?s)>parent<.*<tr class="wrong">.*>a-child<.*nobody`, body)
	assert.Contains(t, body, "Alive: <code>one</code>")
	assert.NotContains(t, body, "streamer", "it has no lease")

	w.leases["broker"][0].Owner = "two"
	assert.Regexp(t, `(?s)>a-child<.*<code>two</code> from .*nobody from `, w.get(home+"/leases"))
	assert.Contains(t, w.get(home), "every open shard has a reader")
}

// A read model is audited, caught up and rebuilt by its service; the action ends when that has.
func TestAReadModelIsLookedAfterByItsService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.phase = "settled"
	assert.Contains(t, w.get(home), "3 read models need a look")
	assert.Contains(t, w.get(home+"/readmodels"), "a rebuild: this build writes a newer shape")
	at := home + "/readmodels/users"
	for _, want := range []string{"generation 1, <code>projection-user</code>", "<button>Rebuild it</button>", "stale: &lt;b&gt;thing"} {
		assert.Contains(t, w.get(at), want)
	}
	assert.NotContains(t, w.get(at), "<button>Switch it</button>", "it is not possible now")

	const audited = "10 aggregates and 1,200 rows compared: 2 differences, 2 repaired"
	assert.Contains(t, w.act(at+"/audit", nil), "It is done.</b> "+audited)
	assert.Contains(t, w.act(at+"/audit", url.Values{"repair": {"yes"}}), "It is done.</b> "+audited)
	assert.Contains(t, w.act(at+"/catch-up", nil), "It is done.</b> 40 events compared")
	assert.Contains(t, w.act(at+"/rebuild", nil), "It is done.</b> it is ready now")
	assert.Equal(t, []string{
		"/projections/users/audit?repair=false", "/projections/users/audit?repair=true", "/projections/users/catch-up",
		"/projections/users/generations/rebuild",
	}, w.posted)

	assert.Equal(t, http.StatusConflict, w.as(ann, http.MethodPost, at+"/switch", nil).Code)
	assert.Equal(t, http.StatusNotFound, w.as(ann, http.MethodPost, home+"/readmodels/nothing/audit", nil).Code)
	w.problem = "the log lacks an event"
	assert.Contains(t, w.act(at+"/rebuild", nil), "It is not done.</b> <span class=\"lines\">the log lacks an event")
	assert.Len(t, w.posted, 5)
}

func TestAnActionThatIsNotThere(t *testing.T) {
	t.Parallel()
	assert.Equal(t, http.StatusNotFound, newWorld(t, false).as(ann, http.MethodGet, home+"/actions/nothing", nil).Code)
}

func TestNoPageRunsWhatItShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for _, path := range []string{
		"", "/parked", "/parked/users/" + dan, "/processes", "/processes/grants/" + id, "/leases", "/readmodels", "/readmodels/users",
	} {
		body := w.get(home + path)
		assert.NotContains(t, body, "style=", path)
		assert.NotRegexp(t, `<script(>| [^s])`, body, path)
		assert.NotContains(t, body, "<b>Mars", path)
		assert.NotContains(t, body, "<b>soon", path)
		assert.Less(t, len(body), 100_000, path)
	}
}
