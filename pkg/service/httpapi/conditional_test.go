package httpapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

type thing struct {
	Name string `json:"name"`
}

// newReads serves GET /things/{id}: "one" is at version 3, and there is no other.
func newReads() http.Handler {
	log := slog.New(slog.DiscardHandler)
	r := httpapi.NewRouter(log)
	api := httpapi.NewAPI(r)
	httpapi.Register(api, log, huma.Operation{OperationID: "getThing", Method: http.MethodGet, Path: "/things/{id}"},
		func(_ context.Context, in *struct {
			httpapi.Reading
			ID string `path:"id"`
		},
		) (*httpapi.One[thing], error) {
			switch {
			case in.ID != "one":
				return nil, &eventsourcing.Refusal{Kind: eventsourcing.NotFound, Code: "thing_not_found"}
			case in.MinVersion > 3:
				return nil, projection.ErrNotYet
			}
			return httpapi.Show(in.Known, 3, thing{Name: "lamp"}), nil
		})
	httpapi.Register(api, log, huma.Operation{OperationID: "listThings", Method: http.MethodGet, Path: "/things"},
		func(context.Context, *httpapi.Paging) (*httpapi.Page[thing], error) {
			return &httpapi.Page[thing]{Body: []thing{{"lamp"}}}, nil
		})
	return r
}

// TestConditionalReads: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
func TestConditionalReads(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newReads())
	t.Cleanup(server.Close)
	type answer struct {
		status int
		header http.Header
		body   string
	}
	ask := func(method, path string, ifNoneMatch ...string) answer {
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, http.NoBody)
		require.NoError(t, err)
		req.Header["If-None-Match"] = ifNoneMatch
		res, err := server.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, errors.Join(err, res.Body.Close()))
		return answer{res.StatusCode, res.Header, string(body)}
	}
	first := ask(http.MethodGet, "/things/one")
	require.Equal(t, http.StatusOK, first.status, first.body)
	tag := first.header.Get("ETag")
	require.Regexp(t, `^"3-[\w-]{12}"$`, tag)

	for name, tt := range map[string]struct {
		path   string
		tags   []string
		status int
	}{
		"the tag":                          {"/things/one", []string{tag}, 304},
		"compared weakly":                  {"/things/one", []string{"W/" + tag}, 304},
		"one of a list":                    {"/things/one", []string{`"x" ,, W/"y",` + tag}, 304},
		"in one of two headers":            {"/things/one", []string{`"x"`, tag}, 304},
		"any":                              {"/things/one", []string{"*"}, 304},
		"another":                          {"/things/one", []string{`"2-0bJ7sXq2Vw9Y"`}, 200},
		"of a command, who did not see it": {"/things/one", []string{`"3"`}, 200},
		"that of another answer":           {"/things/one", []string{`"3-0bJ7sXq2Vw9Y"`}, 200},
		"what would not be 200, any":       {"/things/two", []string{"*"}, 404},
		"what would not be 200, the tag":   {"/things/one?min_version=4", []string{tag}, 412},
		"no tag":                           {"/things/one", []string{"3"}, 400},
		"empty":                            {"/things/one", []string{""}, 400},
		"any and more":                     {"/things/one", []string{"*, " + tag}, 400},
		"a list, which has no tag":         {"/things", []string{"*"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(http.MethodGet, tt.path, tt.tags...)
			assert.Equal(t, tt.status, got.status, got.body)
			if tt.status == http.StatusNotModified { // https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
				assert.Empty(t, got.body)
				assert.Equal(t, tag, got.header.Get("ETag"))
				assert.Equal(t, first.header.Get("Cache-Control"), got.header.Get("Cache-Control"))
				assert.Empty(t, got.header.Get("Content-Type"))
			}
			head := ask(http.MethodHead, tt.path, tt.tags...) // https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2
			assert.Equal(t, tt.status, head.status)
			assert.Empty(t, head.body)
			for _, h := range []http.Header{got.header, head.header} {
				h.Del("Date")
				h.Del(httpapi.CorrelationHeader)
			}
			assert.Equal(t, got.header, head.header)
		})
	}
}
