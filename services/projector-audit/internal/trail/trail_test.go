package trail_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/iamtest"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/services/projector-audit/internal/trail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ann = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func newModel(t *testing.T) *iamtest.Model {
	t.Helper()
	return iamtest.NewModel(t, "audit-trail", trail.Shapes(), func(api huma.API, r readservice.Reader, _ history.Log, log *slog.Logger) {
		trail.Register(api, r, func() time.Time { return noon }, log)
	}, trail.ReadScope)
}

// userID is one of many users.
func userID(n int) string { return fmt.Sprintf("01920b7c-5e3a-7c4d-9b1e-%012d", n) }

// disabled is an event of a user, as someone caused it at a time.
func disabled(id string, at time.Time, actor, correlation string) eventsourcing.Record {
	return eventsourcing.Record{
		Stream: eventsourcing.StreamID{Category: user.Category, ID: id}, Name: user.Disabled{}.EventName(), Schema: 1,
		Data: json.RawMessage(`{}`), RecordedAt: at,
		Metadata: eventsourcing.Metadata{Actor: actor, CorrelationID: correlation, CausationID: "k"},
	}
}

func events(pairs ...string) string {
	values := url.Values{}
	for pair := range slices.Chunk(pairs, 2) {
		values.Set(pair[0], pair[1])
	}
	return "/events?" + values.Encode()
}

func TestAnEventIsFoundByItsActorItsCorrelationAndItsDay(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	data, schema, err := user.NewCodec().Encode(user.Registered{UserID: ann, Email: "ann@example.com"})
	require.NoError(t, err)
	m.Apply(eventsourcing.Record{
		Stream: eventsourcing.StreamID{Category: user.Category, ID: ann}, Name: user.Registered{}.EventName(), Schema: schema, Data: data,
		RecordedAt: noon, Metadata: eventsourcing.Metadata{Actor: "dan", CorrelationID: "checkout-4711", CausationID: "k"},
	})
	m.Role(ann, role.Created{RoleID: ann, Name: "clerk"}) // another day's, without an actor
	for _, asked := range []string{"actor=dan", "correlation=checkout-4711", "day=2026-11-28"} {
		res := m.Get("/events?" + asked)
		require.Equal(t, http.StatusOK, res.Code, res.Body)
		assert.JSONEq(t, `[{"id":"org/iam/user/`+ann+`#1","name":"org/iam/user/registered","aggregate":"org/iam/user","aggregateId":"`+ann+
			`","version":1,"recordedAt":"2026-11-28T12:00:00Z","actor":"dan","correlationId":"checkout-4711","causationId":"k"}]`,
			res.Body.String(), "%s: and nothing of its data", asked)
	}
	assert.JSONEq(t, `[{"id":"org/iam/role/`+ann+`#1","name":"org/iam/role/created","aggregate":"org/iam/role","aggregateId":"`+ann+
		`","version":1,"recordedAt":"2026-01-02T03:04:05Z"}]`, m.Get("/events?day=2026-01-02").Body.String())
	for _, asked := range []string{"actor=Dan", "actor=da", "correlation=checkout", "correlation=dan", "day=2026-11-27"} {
		assert.JSONEq(t, `[]`, m.Get("/events?"+asked).Body.String(), asked)
	}
}

// TestTheLatestEventComesFirst, whatever page it is on: events of many streams are spread over several partitions.
func TestTheLatestEventComesFirst(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	var want []string
	for n := range 60 {
		id := userID(n / 3)
		at := noon.Add(time.Duration(n/3) * time.Millisecond) // three events of a user at one time: their versions decide
		m.Apply(disabled(id, at, "dan", "import"))
		want = append(want, fmt.Sprintf("org/iam/user/%s#%d", id, n%3+1))
	}
	slices.Reverse(want)
	for _, list := range []string{"actor=dan", "correlation=import", "day=2026-11-28"} {
		for _, limit := range []int{1, 7, 59, 60, 100} {
			pages := m.Pages(fmt.Sprintf("/events?%s&limit=%d", list, limit), "id")
			assert.Equal(t, want, slices.Concat(pages...), "%s, %d", list, limit)
			for _, page := range pages[:len(pages)-1] {
				assert.Len(t, page, limit)
			}
		}
	}
}

// TestATimeCutsAList: from it on, and before it, to the millisecond. A day is one of UTC.
func TestATimeCutsAList(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	midnight := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	for n, at := range []time.Time{
		midnight.Add(-time.Millisecond), midnight, noon, noon.Add(time.Millisecond), midnight.Add(24*time.Hour - time.Millisecond),
		midnight.Add(24 * time.Hour),
	} {
		m.Apply(disabled(userID(n), at, "dan", ""))
	}
	for asked, want := range map[string][]int{
		events("from", ""):                                     {4, 3, 2, 1}, // today
		events("day", "2026-11-28"):                            {4, 3, 2, 1},
		events("day", "2026-11-27"):                            {0},
		events("actor", "dan"):                                 {5, 4, 3, 2, 1, 0},
		events("actor", "dan", "from", "2026-11-28T12:00:00Z"): {5, 4, 3, 2},
		events("actor", "dan", "to", "2026-11-28T12:00:00Z"):   {1, 0},
		events("actor", "dan", "from", "2026-11-28T00:00:00Z", "to", "2026-11-29T00:00:00Z"):          {4, 3, 2, 1},
		events("actor", "dan", "from", "2026-11-28T13:00:00+01:00", "to", "2026-11-28t12:00:00.001z"): {2},
		events("day", "2026-11-28", "from", "2026-11-28T12:00:00.0005Z"):                              {4, 3},
		events("day", "2026-11-28", "from", "2026-11-29T12:00:00Z"):                                   nil,
		events("day", "2026-11-28", "from", "2026-11-28T12:00:01Z", "to", "2026-11-28T12:00:00Z"):     nil,
		events("actor", "dan", "from", "0001-01-01T00:00:00Z", "to", "9999-12-31T23:59:59Z"):          {5, 4, 3, 2, 1, 0},
	} {
		var ids []string
		for _, n := range want {
			ids = append(ids, userID(n))
		}
		assert.Equal(t, ids, slices.Concat(m.Pages(asked+"&limit=2", "aggregateId")...), asked)
	}
}

func TestInvalidQuestionsAreRefused(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	for n := range 3 {
		m.Apply(disabled(userID(n), noon, "dan", ""))
	}
	next := iamtest.Next(m.Get("/events?actor=dan&limit=1"))
	require.NotEmpty(t, next)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/events?actor=dan&day=2026-11-28":       {422, "invalid"},
		"/events?actor=dan&correlation=x":        {422, "invalid"},
		"/events?day=2026-02-30":                 {422, "invalid"},
		"/events?day=28.11.2026":                 {422, "invalid"},
		"/events?actor=dan&from=yesterday":       {422, "invalid"},
		"/events?actor=dan&to=2026-11-28T99:00Z": {422, "invalid"},
		"/events?actor=dan&limit=101":            {422, "invalid"},
		"/events?actor=dan&cursor=x":             {400, "bad_cursor"},
	} {
		res := m.Get(path)
		assert.Equal(t, want.status, res.Code, "%s: %s", path, res.Body)
		assert.Equal(t, want.code, iamtest.Code(t, res), path)
	}
	assert.Equal(t, http.StatusOK, m.Get(next).Code)
}
