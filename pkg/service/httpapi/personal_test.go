package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

func TestAnUnexpectedMemberIsNamedOnlyIfAnIdentifier(t *testing.T) {
	t.Parallel()
	router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
	operation := huma.Operation{OperationID: "x", Method: http.MethodPost, Path: "/x"}
	httpapi.Register(httpapi.NewAPI(router), slog.New(slog.DiscardHandler), operation,
		func(context.Context, *struct {
			Body struct{ Name string }
		},
		) (*struct{}, error) {
			return nil, nil
		})
	for member, want := range map[string]string{
		"fristName": "body.fristName", "e-mail": "body.e-mail", "first_name2": "body.first_name2",
		"dan@example.com": "body", "Dan O'Neill": "body", strings.Repeat("x", 41): "body",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", strings.NewReader(fmt.Sprintf(`{"Name":"x",%q:1}`, member)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		require.Equal(t, http.StatusUnprocessableEntity, w.Code)
		assert.Contains(t, w.Body.String(), `"location":"`+want+`"`)
	}
}

func TestAnUnknownMethodIsNotLogged(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log, err := telemetry.NewLogger(&out, slog.LevelDebug, "text")
	require.NoError(t, err)
	router := httpapi.NewRouter(log)
	router.Get("/x", func(http.ResponseWriter, *http.Request) {})
	router.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "DAN", "/dan", http.NoBody))
	assert.Contains(t, out.String(), "method=_OTHER")
	assert.NotContains(t, strings.ToLower(out.String()), "dan")
}
