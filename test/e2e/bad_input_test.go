package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// bad is what is wrong with a request, and the problem that must answer it.
type bad struct {
	what, contentType, body string
	status                  int
	code                    string
}

// badBodies returns every kind of invalid variant of a body.
func badBodies(valid object) (out []bad) {
	text, _ := json.Marshal(valid) // an object of strings
	body := string(text)
	add := func(status int, code, what, body string) { out = append(out, bad{what, "", body, status, code}) }
	add(400, "malformed", "empty", "")
	add(400, "malformed", "blank", " \n")
	add(400, "malformed", "no JSON", "email=dan@example.com")
	add(400, "malformed", "truncated", body[:len(body)-1])
	add(400, "malformed", "truncated in a string", body[:len(body)-2])
	add(400, "malformed", "two bodies", body+body)
	add(400, "malformed", "followed by garbage", body+"x")
	add(400, "malformed", "single quotes", strings.ReplaceAll(body, `"`, "'"))
	add(400, "malformed", "nested without end", strings.Repeat("[", 30_000))
	add(400, "malformed", "nested deeply", strings.Replace(body, "{", `{"a":`+strings.Repeat("[", 5_000)+strings.Repeat("]", 5_000)+",", 1))
	add(400, "malformed", "invalid UTF-8", strings.Replace(body, `":"`, "\":\"\xff", 1))
	add(400, "malformed", "invalid UTF-8 in a name", strings.Replace(body, `{"`, "{\"\xc3\x28", 1))
	add(413, "too_large", "huge", strings.Replace(body, `":"`, `":"`+strings.Repeat("x", 70_000), 1))
	add(413, "too_large", "huge and blank", body+strings.Repeat(" ", 8<<20))
	for _, scalar := range []string{"null", "true", "7", `"text"`, "[]", "[" + body + "]"} {
		add(422, "invalid", scalar, scalar)
	}
	add(422, "invalid", "unknown member", strings.Replace(body, "{", `{"admin":"yes",`, 1))
	for _, name := range slices.Sorted(maps.Keys(valid)) {
		for _, value := range []string{
			"null", "true", "7", "[]", "{}", `""`, `"\ud800"`, `"a\udc00b"`, `"\u0000"`, `"` + strings.Repeat("x", 300) + `"`,
		} {
			if name == "id" && (value == `""` || value == "null") { // means the same as leaving it out
				continue
			}
			spoiled := strings.Replace(body, `"`+name+`":"`+fmt.Sprint(valid[name])+`"`, `"`+name+`":`+value, 1)
			add(422, "invalid", name+": "+value[:min(len(value), 12)], spoiled)
		}
		add(400, "malformed", name+" beyond any number",
			strings.Replace(body, `"`+name+`":"`+fmt.Sprint(valid[name])+`"`, `"`+name+`":1e999`, 1))
		add(400, "malformed", name+" twice", strings.Replace(body, "{", `{"`+name+`":"x",`, 1))
		if name != "id" {
			without := maps.Clone(valid)
			delete(without, name)
			text, _ := json.Marshal(without)
			add(422, "invalid", "no "+name, string(text))
		}
	}
	for _, contentType := range []string{
		"text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/cbor",
	} {
		out = append(out, bad{contentType, contentType, body, 415, "unsupported_media_type"})
	}
	return out
}

func malformedIDs(valid string) []string {
	return []string{
		"1", "not-a-uuid", "%00", "%FF%FE", "%F0%9F%92%A9", valid + "0", valid[:35], "%7B" + valid + "%7D", "urn:uuid:" + valid,
		strings.ReplaceAll(valid, "-", ""), strings.Replace(valid, "-", "_", 1), "..%2Fusers", strings.Repeat("a", 9_000), "'%20OR%201=1",
	}
}

// TestInvalidInputWritesNothing sends every kind of invalid request to every write endpoint.
func TestInvalidInputWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		user := a.accept(http.MethodPost, "/users", object{"email": "dan@example.com"}).ID
		role := a.accept(http.MethodPost, "/roles", object{"name": "reader"}).ID
		other := a.accept(http.MethodPost, "/roles", object{"name": "writer"}).ID
		a.accept(http.MethodPost, "/users/"+user+"/roles", object{"roleId": role})
		before := stored(a)
		require.Len(t, before, 7, "four events, three claims")

		for _, e := range []struct {
			method, path string
			body         object // nil: it takes none
			missing      string // code if {user} or {role} is unknown; "": the path has neither
		}{
			{http.MethodPost, "/users", object{"id": newID(), "email": "new@example.com"}, ""},
			{http.MethodPut, "/users/{user}", object{"firstName": "Ann", "lastName": "Lee"}, "user_not_found"},
			{http.MethodPut, "/users/{user}/email", object{"email": "new@example.com"}, "user_not_found"},
			{http.MethodPut, "/users/{user}/disable", nil, "user_not_found"},
			{http.MethodPut, "/users/{user}/enable", nil, "user_not_found"},
			{http.MethodPost, "/users/{user}/roles", object{"roleId": other}, "user_not_found"},
			{http.MethodDelete, "/users/{user}/roles/" + role, nil, "user_not_found"},
			{http.MethodPost, "/roles", object{"id": newID(), "name": "new"}, ""},
			{http.MethodPut, "/roles/{role}", object{"name": "new"}, "role_not_found"},
			{http.MethodPut, "/roles/{role}/disable", nil, "role_not_found"},
			{http.MethodPut, "/roles/{role}/enable", nil, "role_not_found"},
		} {
			at := func(id string) string { return strings.NewReplacer("{user}", id, "{role}", id).Replace(e.path) }
			here := strings.NewReplacer("{user}", user, "{role}", role).Replace(e.path)
			if e.body != nil {
				for _, b := range badBodies(e.body) {
					a.bad(systemtest.Request{Method: e.method, Path: here, Body: b.body, ContentType: b.contentType}, b.what, b.status, b.code)
				}
			}
			if e.missing != "" {
				a.bad(systemtest.Request{Method: e.method, Path: at(newID()), Body: e.body}, "unknown id", 404, e.missing)
				for _, id := range malformedIDs(user) {
					a.bad(systemtest.Request{Method: e.method, Path: at(id), Body: e.body}, "malformed id", 422, "invalid")
				}
				a.bad(systemtest.Request{Method: e.method, Path: at("a%2Fb%2Fc"), Body: e.body}, "slashes", 422, "invalid")
			}
			for _, method := range []string{http.MethodPatch, http.MethodTrace, "PROPFIND"} {
				a.bad(systemtest.Request{Method: method, Path: here, Body: e.body}, "wrong method", 405, "method_not_allowed")
			}
			a.bad(systemtest.Request{Method: e.method, Path: here + "/and/even/more", Body: e.body}, "a longer path", 404, "not_found")
		}
		a.bad(systemtest.Request{Method: http.MethodDelete, Path: "/users/" + user}, "wrong method", 405, "method_not_allowed")
		a.bad(systemtest.Request{Method: http.MethodPost, Path: "/roles/" + role + "/disable"}, "wrong method", 405, "method_not_allowed")
		a.bad(put("/users", object{"email": "x@example.com"}), "wrong method", 405, "method_not_allowed")
		for _, id := range malformedIDs(role) {
			a.bad(systemtest.Request{Method: http.MethodDelete, Path: "/users/" + user + "/roles/" + id}, "malformed role", 422, "invalid")
		}
		a.bad(post("/users/"+user+"/roles", object{"roleId": newID()}), "unknown role", 404, "role_not_found")
		assert.Equal(t, before, stored(a), "a refused request wrote something")
	})
}

// bad sends a request that must be refused with status and code.
func (a api) bad(r systemtest.Request, what string, status int, code string) {
	a.t.Helper()
	if body, ok := r.Body.(object); ok && body == nil {
		r.Body = nil
	}
	answer, err := a.Do(a.t.Context(), r)
	require.NoError(a.t, err, "%s %s: %s", r.Method, r.Path, what)
	var p systemtest.Problem
	if answer.Header.Get("Content-Type") == "application/problem+json" {
		p, err = systemtest.Decode[systemtest.Problem](answer)
		require.NoError(a.t, err)
	}
	if p.Status != status || answer.Status != status || p.Code != code || p.Detail == "" || p.Title == "" {
		assert.Failf(a.t, "wrong answer", "%s %.60s: %s: want %d %s, got %d %.300s",
			r.Method, r.Path, what, status, code, answer.Status, answer.Body)
	}
	for _, internal := range []string{"goroutine", "dynamodb", ".go:", "go value", "arn:aws"} {
		assert.NotContains(a.t, strings.ToLower(string(answer.Body)), internal, "internal details leak")
	}
}

// stored returns every item of the tables that commands write.
func stored(a api) (items []string) {
	a.t.Helper()
	for _, table := range []string{a.Names.EventLog, a.Names.SetValidations, a.Names.Commands} {
		rows, err := a.Items(a.t.Context(), table)
		require.NoError(a.t, err)
		for _, row := range rows {
			var plain map[string]any
			require.NoError(a.t, attributevalue.UnmarshalMap(row, &plain))
			text, err := json.Marshal(plain)
			require.NoError(a.t, err)
			items = append(items, table+" "+string(text))
		}
	}
	slices.Sort(items)
	return items
}
