package calls_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/processor/internal/calls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// got is a request that the API got.
type got struct {
	method, url, key, correlation, contentType, body string
}

// api is the REST API: it answers as a test says.
type api struct {
	answer func(*http.Request) (*http.Response, error)

	mu       sync.Mutex
	requests []got
	registry *prometheus.Registry
	logs     *strings.Builder
}

func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.requests = append(a.requests, got{
		method: r.Method, url: r.URL.String(), key: r.Header.Get("Idempotency-Key"), correlation: r.Header.Get("X-Correlation-Id"),
		contentType: r.Header.Get("Content-Type"), body: string(text),
	})
	a.mu.Unlock()
	return a.answer(r)
}

// client calls the API.
func (a *api) client(revocations float64) *calls.Client {
	a.registry, a.logs = prometheus.NewRegistry(), new(strings.Builder)
	config := calls.Config{CommandAPI: "https://commands.example.com/", Roles: "https://roles.example.com"}
	return calls.NewClient(config, a, revocations, slog.New(slog.NewTextHandler(a.logs, nil)), a.registry)
}

// denied is how many requests were counted as denied.
func (a *api) denied(t *testing.T) (n int) {
	t.Helper()
	families, err := a.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n += int(m.GetCounter().GetValue())
		}
	}
	return n
}

// always is an API that gives every request that answer.
func always(status int, body string, header ...string) *api {
	return &api{answer: func(*http.Request) (*http.Response, error) { return response(status, body, header...), nil }}
}

func response(status int, body string, header ...string) *http.Response {
	r := &http.Response{
		StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)),
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	return r
}

func problem(code string) string { return `{"status":409,"code":"` + code + `"}` }

const ann, auditor = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57", "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"

var friday = time.Date(2026, 11, 27, 17, 0, 0, 123e6, time.UTC)

func request(category, id, name string, data any) process.Request {
	stream := eventsourcing.StreamID{Category: category, ID: id}
	return process.Request{Key: stream.String() + "/4#1", Process: stream, Command: process.Ask(name, data), CorrelationID: "c-1"}
}

func expire() process.Request {
	return request(grants.Category, ann, grants.ExpireName, grants.Expire{RoleID: auditor, Until: friday})
}

func list(after string) process.Request {
	return request(retirement.Category, auditor, retirement.ListName, retirement.List{Run: 1, After: after})
}

func revoke(userIDs ...string) process.Request {
	return request(retirement.Category, auditor, retirement.RevokeName, retirement.Revoke{Run: 1, UserIDs: userIDs})
}

func complete() process.Request {
	return request(retirement.Category, auditor, retirement.CompleteName, retirement.Complete{Run: 1})
}

func send(ctx context.Context, c *calls.Client, r process.Request) (process.Answer, error) {
	if r.Process.Category == grants.Category {
		return c.Grants(ctx, r)
	}
	return c.Retirement(ctx, r)
}

// every is a request of each command.
func every() map[string]process.Request {
	return map[string]process.Request{"expire": expire(), "list": list(""), "revoke": revoke("a"), "complete": complete()}
}

func TestEachCommandIsTheRequestOfItsOperation(t *testing.T) {
	t.Parallel()
	const key = "/4#1"
	for name, tt := range map[string]struct {
		of   process.Request
		want got
	}{
		"expire": {expire(), got{
			method: "PUT", url: "https://commands.example.com/users/" + ann + "/roles/" + auditor + "/expire",
			key: grants.Category + "/" + ann + key, contentType: "application/json", body: `{"until":"2026-11-27T17:00:00.123Z"}`,
		}},
		"the first page": {list(""), got{method: "GET", url: "https://roles.example.com/roles/" + auditor + "/users?limit=50"}},
		"a later page": {list("a&b=c"), got{
			method: "GET", url: "https://roles.example.com/roles/" + auditor + "/users?cursor=a%26b%3Dc&limit=50",
		}},
		"revoke": {revoke(ann), got{
			method: "DELETE", url: "https://commands.example.com/users/" + ann + "/roles/" + auditor,
			key: retirement.Category + "/" + auditor + key + "/1",
		}},
		"complete": {complete(), got{
			method: "PUT", url: "https://commands.example.com/roles/" + auditor + "/retire/complete", key: retirement.Category + "/" + auditor + key,
		}},
	} {
		a := always(http.StatusOK, "[]")
		_, err := send(t.Context(), a.client(0), tt.of)
		require.NoError(t, err, name)
		tt.want.correlation = "c-1"
		assert.Equal(t, []got{tt.want}, a.requests, name)
	}
}

// Every status, with and without the code of a problem.
func TestOnlyAnAcceptanceAndARefusalAreAnswers(t *testing.T) {
	t.Parallel()
	type outcome struct {
		answered bool
		refused  string
		denied   int
	}
	code := user.ErrGrantChanged.Code
	for status := 200; status < 600; status++ {
		for _, body := range []string{problem(code), problem(""), `{"message":"Forbidden"}`, `{"code":`, "<html>", ""} {
			var want outcome
			switch {
			case status < 300:
				want = outcome{answered: true}
			case status == 401, status == 403:
				want = outcome{denied: 1}
			case status >= 400 && status < 500 && status != 408 && status != 429 && body == problem(code):
				want = outcome{answered: true, refused: code}
			}
			a := always(status, body)
			answer, err := a.client(0).Grants(t.Context(), expire())
			assert.Equal(t, want, outcome{err == nil, answer.Refused, a.denied(t)}, "%d %s", status, body)
			assert.Equal(t, want.denied > 0, strings.Contains(a.logs.String(), "denied"), "%d", status)
			assert.Len(t, a.requests, 1, "a redirect is not followed")
		}
	}
}

func TestWhatComesWithRetryAfterIsNoAnswer(t *testing.T) {
	t.Parallel()
	for name, r := range every() {
		answer, err := send(t.Context(), always(http.StatusConflict, problem("busy"), "Retry-After", "1").client(0), r)
		require.ErrorContains(t, err, "busy", name)
		assert.Zero(t, answer, name)
	}
}

func TestARefusalIsAnAnswerIfItsProcessUnderstandsIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		of         process.Request
		understood []*eventsourcing.Refusal
	}{
		"expire":   {expire(), []*eventsourcing.Refusal{user.ErrRoleNotHeld, user.ErrGrantChanged, user.ErrGrantNotEnded}},
		"complete": {complete(), []*eventsourcing.Refusal{role.ErrMembersLeft, role.ErrRetired, role.ErrNotRetiring}},
	} {
		for _, refusal := range tt.understood {
			answer, err := send(t.Context(), always(http.StatusConflict, problem(refusal.Code)).client(0), tt.of)
			require.NoError(t, err, name)
			assert.Equal(t, process.Answer{Refused: refusal.Code}, answer, name)
		}
		for _, code := range []string{"user_not_found", "role_not_found", "invalid", "idempotency_key_reused", "scope_not_ready"} {
			_, err := send(t.Context(), always(http.StatusNotFound, problem(code)).client(0), tt.of)
			assert.ErrorContains(t, err, "does not understand", "%s: %s", name, code)
		}
	}
}

func TestWithoutAnAnswerTheCommandStaysOpen(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset")
	for name, tt := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		want   error
		denied int
	}{
		"the network fails": {func(*http.Request) (*http.Response, error) { return nil, broken }, broken, 0},
		"the answer breaks off": {func(*http.Request) (*http.Response, error) {
			r := response(http.StatusOK, "")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("["), iotest.ErrReader(broken)))
			return r, nil
		}, broken, 0},
		"the API does not answer": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}, context.DeadlineExceeded, 0},
		"there is no token": {func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("%w: 401 invalid_client", auth.ErrNoToken)
		}, auth.ErrNoToken, 1},
	} {
		for command, r := range every() {
			synctest.Test(t, func(t *testing.T) {
				a := &api{answer: tt.answer}
				answer, err := send(t.Context(), a.client(0), r)
				require.ErrorIs(t, err, tt.want, "%s: %s", name, command)
				assert.Zero(t, answer)
				assert.Equal(t, tt.denied, a.denied(t), "%s: %s", name, command)
			})
		}
	}
}

func TestACommandOfAnotherBuildIsNotSent(t *testing.T) {
	t.Parallel()
	a := always(http.StatusOK, "[]")
	c := a.client(0)
	for _, r := range []process.Request{expire(), list(""), revoke("a")} {
		unknown, illegible := r, r
		unknown.Command.Name = "later"
		_, err := send(t.Context(), c, unknown)
		require.ErrorContains(t, err, "this build does not know it")
		illegible.Command.Data = []byte(`{"roleId":1,"after":1,"userIds":1}`)
		_, err = send(t.Context(), c, illegible)
		require.Error(t, err)
	}
	assert.Empty(t, a.requests)
}

func TestAPageOfMembersIsListed(t *testing.T) {
	t.Parallel()
	next := []string{"Link", `</roles/1/users?cursor=a%26b%3Dc&limit=50>; rel="next"`}
	for name, tt := range map[string]struct {
		body string
		link []string
		want retirement.Page
	}{
		"the last page":         {`[{"id":"a","email":"a@example.com"},{"id":"b"}]`, nil, retirement.Page{UserIDs: []string{"a", "b"}}},
		"a page before":         {`[{"id":"a"}]`, next, retirement.Page{UserIDs: []string{"a"}, Next: "a&b=c"}},
		"an empty page before":  {`[]`, next, retirement.Page{UserIDs: []string{}, Next: "a&b=c"}},
		"nobody holds the role": {`[]`, nil, retirement.Page{UserIDs: []string{}}},
	} {
		answer, err := always(http.StatusOK, tt.body, tt.link...).client(0).Retirement(t.Context(), list(""))
		require.NoError(t, err, name)
		assert.Empty(t, answer.Refused)
		assert.Equal(t, tt.want, process.Decode[retirement.Page](answer.Data), name)
	}
}

// An error page that was taken for an empty list would end a retirement that has members.
func TestWhatIsNoListIsNoAnswer(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "<html>", `{"users":[]}`, `[{"id":"a"}`} {
		_, err := always(http.StatusOK, body).client(0).Retirement(t.Context(), list(""))
		require.Error(t, err, body)
	}
	_, err := always(http.StatusNotFound, problem("role_not_found")).client(0).Retirement(t.Context(), list("")) // it lags behind
	require.ErrorContains(t, err, "role_not_found")
	_, err = always(http.StatusOK, "[]", "Link", `<:>; rel="next"`).client(0).Retirement(t.Context(), list(""))
	require.ErrorContains(t, err, "next page")
}

// revoking answers a revocation from each user by a code; "": accepted, "-": not at all.
func revoking(codes map[string]string) *api {
	return &api{answer: func(r *http.Request) (*http.Response, error) {
		switch code := codes[strings.Split(r.URL.Path, "/")[2]]; code {
		case "":
			return response(http.StatusAccepted, ""), nil
		case "-":
			return response(http.StatusServiceUnavailable, problem("unavailable")), nil
		default:
			return response(http.StatusConflict, problem(code)), nil
		}
	}}
}

func TestAPageIsRevokedUserByUser(t *testing.T) {
	t.Parallel()
	a := revoking(map[string]string{"b": user.ErrRoleNotHeld.Code, "c": "last_holder", "e": "user_not_found"})
	answer, err := a.client(0).Retirement(t.Context(), revoke("a", "b", "c", "d", "e"))
	require.NoError(t, err)
	assert.Equal(t, retirement.Revoked{Done: 3, Failed: []retirement.Failure{
		{UserID: "c", Reason: "last_holder"}, {UserID: "e", Reason: "user_not_found"},
	}}, process.Decode[retirement.Revoked](answer.Data))
}

// keys are those of the requests, by address. Each request with an address has the same one.
func (a *api) keys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	for _, r := range a.requests {
		require.NotEmpty(t, r.key)
		assert.Equal(t, r.key, cmp.Or(keys[r.url], r.key), r.url)
		keys[r.url] = r.key
	}
	return keys
}

func TestEachRevocationHasAKeyOfItsOwnThatIsTheSameWhenItIsSentAgain(t *testing.T) {
	t.Parallel()
	users := make([]string, retirement.PageSize)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	fate := map[string]string{"u7": "-"}
	a := revoking(fate)
	c := a.client(0)
	answer, err := c.Retirement(t.Context(), revoke(users...))
	require.ErrorContains(t, err, "unavailable")
	assert.Zero(t, answer, "what was done of the page is asked again")
	delete(fate, "u7")
	answer, err = c.Retirement(t.Context(), revoke(users...))
	require.NoError(t, err)
	assert.Equal(t, retirement.Revoked{Done: retirement.PageSize}, process.Decode[retirement.Revoked](answer.Data))

	keys := slices.Sorted(maps.Values(a.keys(t)))
	assert.Len(t, slices.Compact(keys), retirement.PageSize, "no two users have one key")
}

func TestRevocationsComeAFewAtOnceAndNoFasterThanTheyMay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		a := &api{answer: func(*http.Request) (*http.Response, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(10 * time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return response(http.StatusAccepted, ""), nil
		}}
		users := strings.Split(strings.Repeat("u", 40), "")
		_, err := a.client(0).Retirement(t.Context(), revoke(users...))
		require.NoError(t, err)
		assert.Equal(t, 4, most)

		begun := time.Now()
		_, err = always(http.StatusAccepted, "").client(2).Retirement(t.Context(), revoke(users...))
		require.NoError(t, err)
		assert.Equal(t, 18*time.Second, time.Since(begun), "four at once, and two a second afterwards")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = always(http.StatusAccepted, "").client(1).Retirement(ctx, revoke(users...))
		require.Error(t, err, "it does not wait for longer than its command may take")
	})
}

func TestTheAddressesAreURLs(t *testing.T) {
	t.Parallel()
	good := calls.Config{CommandAPI: "https://api.example.com", Roles: "http://127.0.0.1:8080"}
	require.NoError(t, good.Validate())
	for _, text := range []string{"", "api.example.com", "ftp://api.example.com", "https://", "://"} {
		bad := good
		bad.CommandAPI = text
		require.ErrorContains(t, bad.Validate(), "COMMAND_API_URL", text)
		bad = good
		bad.Roles = text
		require.ErrorContains(t, bad.Validate(), "ROLES_URL", text)
	}
}
