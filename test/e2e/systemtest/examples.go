package systemtest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Examples returns a request for each operation of a collection of the API, such as "roles", made of the OpenAPI documents' examples:
// first that which makes one, then what changes it, then the reads.
func (s *System) Examples(t testing.TB, collection string) (requests []Request) {
	t.Helper()
	for _, svc := range s.APIs() {
		client := Client{HTTP: &http.Client{Transport: svc}, Base: s.Base}
		answer, err := client.Do(t.Context(), Request{Method: http.MethodGet, Path: "/openapi.json"})
		require.NoError(t, err)
		var document struct {
			Paths map[string]map[string]struct {
				Parameters []struct {
					Name, In string
					Example  any
				}
				RequestBody struct {
					Content map[string]struct{ Example any }
				}
			}
		}
		require.NoError(t, json.Unmarshal(answer.Body, &document))
		for path, methods := range document.Paths {
			if strings.Split(path, "/")[1] != collection {
				continue
			}
			for method, operation := range methods {
				r := Request{Method: strings.ToUpper(method), Path: path, Body: operation.RequestBody.Content["application/json"].Example}
				for _, p := range operation.Parameters {
					if id, ok := p.Example.(string); ok && p.In == "path" {
						r.Path = strings.ReplaceAll(r.Path, "{"+p.Name+"}", id)
					}
				}
				requests = append(requests, r)
			}
		}
	}
	order := []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodDelete}
	slices.SortFunc(requests, func(a, b Request) int {
		return cmp.Or(slices.Index(order, a.Method)-slices.Index(order, b.Method), cmp.Compare(a.Path, b.Path))
	})
	require.NotEmpty(t, requests, collection)
	return requests
}
