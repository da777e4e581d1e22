package rest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// operations are those that write; {a} and {b} stand for any text.
var operations = []string{
	"POST /users", "PUT /users/{a}", "PUT /users/{a}/email", "PUT /users/{a}/disable", "PUT /users/{a}/enable",
	"POST /users/{a}/roles", "DELETE /users/{a}/roles/{b}",
	"POST /roles", "PUT /roles/{a}", "PUT /roles/{a}/disable", "PUT /roles/{a}/enable",
	"PUT /users/{a}/roles/{b}", "PUT /users/{a}/roles/{b}/expire",
	"PUT /roles/{a}/rules", "PUT /roles/{a}/retire", "PUT /roles/{a}/retire/cancel", "PUT /roles/{a}/retire/complete",
}

// FuzzWrites sends anything to the operations that write. The corpus is in testdata.
func FuzzWrites(f *testing.F) {
	f.Fuzz(func(t *testing.T, operation uint8, a, b, contentType string, body []byte) {
		api := newAPI()
		api.given(t, annRegistered, auditorCreated)
		before := api.store.appended.Load()

		method, path, _ := strings.Cut(operations[int(operation)%len(operations)], " ")
		path = strings.NewReplacer("{a}", url.PathEscape(a), "{b}", url.PathEscape(b)).Replace(path)
		req := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(body))
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		res := httptest.NewRecorder()
		api.ServeHTTP(res, req)

		written := api.store.appended.Load() - before
		switch {
		case res.Code == http.StatusAccepted:
			if written > 1 {
				t.Errorf("%s %q: one command made %d commits", method, path, written)
			}
			mustBeSound(t, api, res.Header().Get("Location"))
		case res.Code < 400 || res.Code > 499 || written != 0:
			t.Errorf("%s %q: status %d, %d commits", method, path, res.Code, written)
		default:
			var p httpapi.Problem
			if err := json.Unmarshal(res.Body.Bytes(), &p); err != nil || p.Code == "" || p.Status != res.Code {
				t.Errorf("%s %q: no problem: %s", method, path, res.Body)
			}
		}
	})
}

// mustBeSound checks the stream that an answer names.
func mustBeSound(t *testing.T, a *api, location string) {
	t.Helper()
	collection, id, _ := strings.Cut(strings.TrimPrefix(location, "/"), "/")
	s := eventsourcing.StreamID{Category: "org/iam/" + strings.TrimSuffix(collection, "s"), ID: id}
	events := 0
	for r, err := range a.store.Read(t.Context(), s, 0) {
		if events++; err != nil || !json.Valid(r.Data) || !utf8.Valid(r.Data) || bytes.ContainsRune(r.Data, utf8.RuneError) {
			t.Errorf("%s holds %q: %v", s, r.Data, err)
		}
	}
	if events == 0 {
		t.Errorf("%s holds nothing", s)
	}
}
