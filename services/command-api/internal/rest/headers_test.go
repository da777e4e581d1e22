package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// send sends a request with headers, given as name and value in turn.
func (a *api) send(t *testing.T, r request, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(r.line, " ")
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(r.body))
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res := httptest.NewRecorder()
	a.ServeHTTP(res, req)
	return res
}

// mustRefuse checks a problem's code and that its status is the listed one.
func mustRefuse(t *testing.T, res *httptest.ResponseRecorder, code string) {
	t.Helper()
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &p), res.Body.String())
	assert.Equal(t, code, p.Code)
	assert.Equal(t, statusOf(code), res.Code)
	assert.Equal(t, "application/problem+json", res.Header().Get("Content-Type"))
	assert.Empty(t, res.Header().Get("Idempotent-Replayed"))
}

// mustReplay checks that an answer is the first one again, byte for byte.
func mustReplay(t *testing.T, first, again *httptest.ResponseRecorder) {
	t.Helper()
	assert.Equal(t, "true", again.Header().Get("Idempotent-Replayed"))
	assert.Equal(t, first.Code, again.Code, again.Body.String())
	assert.Equal(t, first.Body.String(), again.Body.String())
	for _, name := range []string{"ETag", "Location", "Content-Type"} {
		assert.Equal(t, first.Header().Values(name), again.Header().Values(name), name)
	}
}

func updated(first string) request {
	return request{"PUT /users/" + ann, `{"firstName":"` + first + `","lastName":"Lee"}`}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		given   []request
		when    request
		ifMatch []string
		code    string // "": accepted
	}{
		"the version":            {[]request{annRegistered}, updated("A"), []string{`"1"`}, ""},
		"the version after more": {[]request{annRegistered, updated("A"), updated("B")}, updated("C"), []string{`"3"`}, ""},
		"one of a list":          {[]request{annRegistered}, updated("A"), []string{`"7" ,, "1","x"`}, ""},
		"one of two headers":     {[]request{annRegistered}, updated("A"), []string{`"7"`, `"1"`}, ""},
		"any":                    {[]request{annRegistered}, updated("A"), []string{"*"}, ""},
		"as a read gave it":      {[]request{annRegistered}, updated("A"), []string{`"1-0bJ7sXq2Vw9Y"`}, ""},
		"an older one, as a read gave it": {
			[]request{annRegistered, updated("A")}, updated("B"), []string{`"1-0bJ7sXq2Vw9Y"`}, "precondition_failed",
		},
		"a longer one that begins so": {[]request{annRegistered}, updated("A"), []string{`"10-1"`}, "precondition_failed"},
		"an older one":                {[]request{annRegistered, updated("A")}, updated("B"), []string{`"1"`}, "precondition_failed"},
		"a future one":                {[]request{annRegistered}, updated("A"), []string{`"2"`}, "precondition_failed"},
		"one of another writing":      {[]request{annRegistered}, updated("A"), []string{`"01"`}, "precondition_failed"},
		"a comma inside":              {[]request{annRegistered}, updated("A"), []string{`"0,1"`}, "precondition_failed"},
		"before the rules":            {[]request{annRegistered, annDisabled}, annDisabled, []string{`"1"`}, "precondition_failed"},
		"and then the rules":          {[]request{annRegistered, annDisabled}, annDisabled, []string{`"2"`}, "user_disabled"},
		"what needs no change":        {[]request{annRegistered, updated("A")}, updated("A"), []string{`"1"`}, "precondition_failed"},
		"an unknown user":             {nil, updated("A"), []string{`"0"`}, "precondition_failed"},
		"any, of an unknown user":     {nil, annRegistered, []string{"*"}, "precondition_failed"},
		"unquoted":                    {[]request{annRegistered}, updated("A"), []string{"1"}, "malformed"},
		"weak":                        {[]request{annRegistered}, updated("A"), []string{`W/"1"`}, "precondition_failed"},
		"weak beside the version":     {[]request{annRegistered}, updated("A"), []string{`W/"1", "1"`}, ""},
		"weak and another one":        {[]request{annRegistered}, updated("A"), []string{`"2", W/"1"`}, "precondition_failed"},
		"weak in lower case":          {[]request{annRegistered}, updated("A"), []string{`w/"1"`}, "malformed"},
		"weak and no more":            {[]request{annRegistered}, updated("A"), []string{`W/`}, "malformed"},
		"half quoted":                 {[]request{annRegistered}, updated("A"), []string{`"1`}, "malformed"},
		"a lone quote":                {[]request{annRegistered}, updated("A"), []string{`"`}, "malformed"},
		"no comma":                    {[]request{annRegistered}, updated("A"), []string{`"1" "2"`}, "malformed"},
		"any and more":                {[]request{annRegistered}, updated("A"), []string{`*, "1"`}, "malformed"},
		"empty":                       {[]request{annRegistered}, updated("A"), []string{""}, "malformed"},
		"empty list":                  {[]request{annRegistered}, updated("A"), []string{" , "}, "malformed"},
		"of an operation by itself":   {[]request{auditorCreated}, auditorOff, []string{`"9"`}, "precondition_failed"},
		"of a grant":                  {[]request{annRegistered, auditorCreated}, auditorGranted, []string{`"9"`}, "precondition_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			a.given(t, tt.given...)
			written := a.store.appended.Load()
			var headers []string
			for _, value := range tt.ifMatch {
				headers = append(headers, "If-Match", value)
			}
			res := a.send(t, tt.when, headers...)
			if tt.code == "" {
				assert.Equal(t, http.StatusAccepted, res.Code, res.Body.String())
				return
			}
			mustRefuse(t, res, tt.code)
			assert.Equal(t, written, a.store.appended.Load())
		})
	}
}

func TestIfNoneMatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		given   []request
		when    request
		headers []string
		code    string // "": accepted
	}{
		"any, of one that exists": {[]request{annRegistered}, updated("A"), []string{"If-None-Match", "*"}, "precondition_failed"},
		"any, before the rules":   {[]request{annRegistered, annDisabled}, annDisabled, []string{"If-None-Match", "*"}, "precondition_failed"},
		"any, of an unknown user": {nil, updated("A"), []string{"If-None-Match", "*"}, "user_not_found"},
		"as a read gave it": {
			[]request{annRegistered}, updated("A"), []string{"If-None-Match", `"1-0bJ7sXq2Vw9Y"`}, "precondition_failed",
		},
		"the version":              {[]request{annRegistered}, updated("A"), []string{"If-None-Match", `"1"`}, "precondition_failed"},
		"the version, weakly":      {[]request{annRegistered}, updated("A"), []string{"If-None-Match", `W/"1"`}, "precondition_failed"},
		"another version":          {[]request{annRegistered}, updated("A"), []string{"If-None-Match", `"2"`}, ""},
		"with If-Match, both hold": {[]request{annRegistered}, updated("A"), []string{"If-None-Match", `"2"`, "If-Match", `"1"`}, ""},
		"with If-Match that does not": {
			[]request{annRegistered}, updated("A"), []string{"If-None-Match", `"2"`, "If-Match", `"3"`}, "precondition_failed",
		},
		"no tag": {[]request{annRegistered}, updated("A"), []string{"If-None-Match", "2"}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			a.given(t, tt.given...)
			written := a.store.appended.Load()
			res := a.send(t, tt.when, tt.headers...)
			if tt.code == "" {
				assert.Equal(t, http.StatusAccepted, res.Code, res.Body.String())
				return
			}
			mustRefuse(t, res, tt.code)
			assert.Equal(t, written, a.store.appended.Load())
		})
	}
}

// TestAPostTakesNoIfNoneMatch: its target is a list, which exists (RFC 9110 §13.1.2); an id that exists is refused without it.
func TestAPostTakesNoIfNoneMatch(t *testing.T) {
	t.Parallel()
	for _, when := range []request{annRegistered, auditorCreated, auditorGranted} {
		for _, tag := range []string{"*", `"1"`, "", "no tag"} {
			a := newAPI()
			res := a.send(t, when, "If-None-Match", tag)
			mustRefuse(t, res, "malformed")
			assert.Contains(t, res.Body.String(), `"location":"header.If-None-Match","message":"would be about the list`)
			assert.Zero(t, a.store.appended.Load())
		}
	}
	a := newAPI()
	a.given(t, annRegistered)
	mustRefuse(t, a.send(t, annRegistered), "user_exists")
}

func TestIfMatchAcceptsOneOfManyConcurrentRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.given(t, annRegistered)
		processes := []*api{a, startAPI(a.store, time.Now), startAPI(a.store, time.Now)}
		codes := make([]int, 12)
		var group sync.WaitGroup
		for i := range codes {
			group.Go(func() {
				codes[i] = processes[i%len(processes)].send(t, updated(string(rune('A'+i))), "If-Match", `"1"`).Code
			})
		}
		group.Wait()
		count := map[int]int{}
		for _, code := range codes {
			count[code]++
		}
		assert.Equal(t, map[int]int{http.StatusAccepted: 1, http.StatusPreconditionFailed: len(codes) - 1}, count)
	})
}

func TestARepeatedKeyGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	a := newAPI()
	another := startAPI(a.store, time.Now)
	for i, r := range []request{
		annRegistered,
		updated("A"),
		{"PUT /users/" + ann + "/email", `{"email":"new@example.com"}`},
		{"POST /users", `{"email":"noid@example.com"}`}, // and yet no second user
		auditorCreated,
		auditorGranted,
		annsGrant("2100-01-31T18:00:00Z"),
		auditorTaken,
		annDisabled,
		{"PUT /users/" + ann + "/enable", ""},
		{"POST /roles", `{"name":"noid"}`},
		{"PUT /roles/" + auditor, `{"name":"chief"}`},
		auditorOff,
		{"PUT /roles/" + auditor + "/enable", ""},
		auditorLimited(2),
		auditorRetires,
		retirement("complete"),
	} {
		key := []string{"Idempotency-Key", "key-" + string(rune('a'+i))}
		first := a.send(t, r, key...)
		require.Equal(t, http.StatusAccepted, first.Code, "%s: %s", r, first.Body)
		assert.Empty(t, first.Header().Get("Idempotent-Replayed"))
		written := a.store.appended.Load()
		mustReplay(t, first, a.send(t, r, key...))
		mustReplay(t, first, another.send(t, r, key...))
		assert.Equal(t, written, a.store.appended.Load(), "%s was written twice", r)
	}
}

func TestAKeyDoesNotChangeTheAnswer(t *testing.T) {
	t.Parallel()
	without, with := newAPI().send(t, annRegistered), newAPI().send(t, annRegistered, "Idempotency-Key", "k")
	assert.Equal(t, without.Body.String(), with.Body.String())
	want := `{"id":"` + ann + `","version":1}` + "\n"
	if got := with.Body.String(); got != want {
		t.Errorf("answered %q, want %q to the byte", got, want)
	}
	for _, res := range []*httptest.ResponseRecorder{without, with} {
		res.Header().Del(httpapi.CorrelationHeader)
	}
	assert.Equal(t, without.Header(), with.Header())
}

func TestAReplayIgnoresLaterChanges(t *testing.T) {
	t.Parallel()
	a := newAPI()
	a.given(t, annRegistered)
	headers := []string{"Idempotency-Key", "k", "If-Match", `"1"`}
	first := a.send(t, updated("A"), headers...)
	require.Equal(t, http.StatusAccepted, first.Code)
	mustReplay(t, first, a.send(t, updated("A"), headers...)) // though the version is another and nothing is to do
	a.given(t, updated("B"))
	mustReplay(t, first, a.send(t, updated("A"), headers...)) // though it could be done again
	a.given(t, annDisabled)
	mustReplay(t, first, a.send(t, updated("A"), headers...)) // though it is forbidden now
	assert.Equal(t, int64(4), a.store.appended.Load())
}

func TestACommandWithNothingToChangeIsRemembered(t *testing.T) {
	t.Parallel()
	a := newAPI()
	a.given(t, annRegistered, updated("A"))
	first := a.send(t, updated("A"), "Idempotency-Key", "k")
	require.Equal(t, http.StatusAccepted, first.Code)
	assert.Equal(t, `"2"`, first.Header().Get("ETag"))
	a.given(t, updated("B"))
	mustReplay(t, first, a.send(t, updated("A"), "Idempotency-Key", "k")) // though there would be something to change now
	assert.Equal(t, int64(3), a.store.appended.Load())
	mustRefuse(t, a.send(t, updated("C"), "Idempotency-Key", "k"), "idempotency_key_reused")
}

func TestAKeyCannotBeReusedForAnotherRequest(t *testing.T) {
	t.Parallel()
	first := updated("A")
	for name, tt := range map[string]struct {
		request
		headers []string
	}{
		"another body":             {updated("B"), nil},
		"the body, spaced":         {request{first.line, " " + first.body}, nil},
		"another path":             {request{"PUT /users/" + ben, first.body}, nil},
		"another operation":        {annDisabled, nil},
		"one that would be a no":   {request{"PUT /users/" + ann + "/enable", ""}, nil},
		"one that is without need": {updated("A"), []string{"If-Match", "*"}},
		"another method":           {request{"DELETE /users/" + ann + "/roles/" + auditor, ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			a.given(t, annRegistered, benRegistered)
			require.Equal(t, http.StatusAccepted, a.send(t, first, "Idempotency-Key", "k").Code)
			written := a.store.appended.Load()
			mustRefuse(t, a.send(t, tt.request, append(tt.headers, "Idempotency-Key", "k")...), "idempotency_key_reused")
			assert.Equal(t, written, a.store.appended.Load())
		})
	}
}

func TestOperationsWithoutABodyAreTheSameWithAnyBody(t *testing.T) {
	t.Parallel()
	a := newAPI()
	a.given(t, annRegistered)
	first := a.send(t, annDisabled, "Idempotency-Key", "k")
	mustReplay(t, first, a.send(t, request{annDisabled.line, "ignored"}, "Idempotency-Key", "k"))
}

func TestInvalidIdempotencyKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		keys []string
		ok   bool
	}{
		"a UUID": {[]string{"8e03978e-40d5-43e8-bc93-6894a57f9324"}, true}, "quoted": {[]string{`"8e03978e"`}, true},
		"as long as can be": {[]string{strings.Repeat("~", 255)}, true}, "too long": {[]string{strings.Repeat("~", 256)}, false},
		"empty": {[]string{""}, false}, "with a space": {[]string{"a b"}, false}, "with a tab": {[]string{"a\tb"}, false},
		"not ASCII": {[]string{"clé"}, false}, "not UTF-8": {[]string{"\xff"}, false}, "two": {[]string{"a", "b"}, false},
		"twice": {[]string{"a", "a"}, false}, "an empty one and another": {[]string{"", "a"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			var headers []string
			for _, key := range tt.keys {
				headers = append(headers, "Idempotency-Key", key)
			}
			res := a.send(t, annRegistered, headers...)
			if tt.ok {
				assert.Equal(t, http.StatusAccepted, res.Code, res.Body.String())
				return
			}
			mustRefuse(t, res, "malformed")
			assert.Contains(t, res.Body.String(), `"location":"header.Idempotency-Key"`)
			assert.Zero(t, a.store.appended.Load())
		})
	}
}

func TestMalformedHeadersAndInvalidFieldsAreNamedTogether(t *testing.T) {
	t.Parallel()
	res := newAPI().send(t, request{"PUT /users/x", `{"firstName":"R2D2","lastName":"Lee"}`}, "Idempotency-Key", "", "If-Match", "1")
	mustRefuse(t, res, "malformed")
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &p))
	var at []string
	for _, f := range p.Errors {
		at = append(at, f.Location)
	}
	assert.Equal(t, []string{"body.firstName", "header.Idempotency-Key", "header.If-Match", "path.id"}, at)
}

func TestARefusedKeyIsDecidedAgain(t *testing.T) {
	t.Parallel()
	a := newAPI()
	key := []string{"Idempotency-Key", "k"}
	mustRefuse(t, a.send(t, updated("A"), key...), "user_not_found")
	a.given(t, annRegistered)
	first := a.send(t, updated("A"), key...)
	assert.Equal(t, http.StatusAccepted, first.Code, "the reason for the refusal is gone")
	mustReplay(t, first, a.send(t, updated("A"), key...))
}

// TestARetryAfterACrashWritesOnce cuts a request off before its write and after it, and retries it, in the same process
// and in a new one.
func TestARetryAfterACrashWritesOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fail, lost error
		replayed   string
	}{
		"before the write": {eventsourcing.ErrUnavailable, nil, ""},
		"after the write":  {nil, eventsourcing.ErrUnavailable, "true"},
		"as time runs out": {nil, context.DeadlineExceeded, "true"},
	} {
		for _, r := range []request{{"POST /users", `{"email":"new@example.com"}`}, updated("A"), annDisabled, auditorGranted} {
			t.Run(name+" "+r.line, func(t *testing.T) {
				t.Parallel()
				a := newAPI()
				a.given(t, annRegistered, auditorCreated)
				written, key := a.store.appended.Load(), []string{"Idempotency-Key", "k"}
				a.store.fail, a.store.lost = tt.fail, tt.lost
				mustRefuse(t, a.send(t, r, key...), "unavailable")
				a.store.fail, a.store.lost = nil, nil

				first := startAPI(a.store, time.Now).send(t, r, key...)
				require.Equal(t, http.StatusAccepted, first.Code, first.Body.String())
				assert.Equal(t, tt.replayed, first.Header().Get("Idempotent-Replayed"))
				mustBeSound(t, a, first.Header().Get("Location"))
				mustReplay(t, first, a.send(t, r, key...))
				assert.Equal(t, written+1, a.store.appended.Load())
			})
		}
	}
}

func TestConcurrentRequestsUnderOneKeyWriteOnce(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]request{
		"a new id each": {"POST /users", `{"email":"new@example.com"}`},
		"its own id":    {"POST /users", `{"id":"` + ben + `","email":"ben@example.com"}`},
		"an update":     updated("A"), "a second one would be refused": annDisabled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAPI()
				a.given(t, annRegistered)
				processes := []*api{a, startAPI(a.store, time.Now), startAPI(a.store, time.Now)}
				answers := make([]*httptest.ResponseRecorder, 12)
				var group sync.WaitGroup
				for i := range answers {
					group.Go(func() { answers[i] = processes[i%len(processes)].send(t, r, "Idempotency-Key", "k") })
				}
				group.Wait()
				first := 0
				for _, answer := range answers {
					assert.Equal(t, http.StatusAccepted, answer.Code, answer.Body.String())
					assert.Equal(t, answers[0].Body.String(), answer.Body.String())
					if answer.Header().Get("Idempotent-Replayed") == "" {
						first++
					}
				}
				assert.Equal(t, 1, first)
				assert.Equal(t, int64(2), a.store.appended.Load(), "the given and one more")
			})
		})
	}
}

func TestAKeyIsFreeAgainAfterADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI()
		a.given(t, annRegistered)
		first := a.send(t, updated("A"), "Idempotency-Key", "k")
		time.Sleep(24*time.Hour - time.Second)
		mustReplay(t, first, a.send(t, updated("A"), "Idempotency-Key", "k"))
		time.Sleep(time.Second)
		again := a.send(t, updated("B"), "Idempotency-Key", "k")
		assert.Equal(t, http.StatusAccepted, again.Code, again.Body.String())
		assert.Equal(t, `"3"`, again.Header().Get("ETag"))
	})
}
