package service_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/service"
)

func TestProfilesAreForOperatorsOnly(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("t", 22)
	serve, _ := admin(t, service.AdminConfig{Token: token})
	operator := http.Header{"Authorization": {"Bearer " + token}}
	for path, want := range map[string]string{
		"":                    `href='heap?debug=1'`,
		"heap?debug=1":        "heap profile:",
		"goroutine":           "\x1f\x8b", // gzip
		"cmdline":             ".test",
		"trace?seconds=0.001": "go 1.",
	} {
		url := "http://127.0.0.1" + service.ProfilePath + path
		answer := serve(http.MethodGet, url, operator)
		assert.Equal(t, http.StatusOK, answer.Code, path)
		assert.Contains(t, answer.Body.String(), want, path)
		assert.Equal(t, http.StatusUnauthorized, serve(http.MethodGet, url, nil).Code, path)
		foreign := strings.Replace(url, "127.0.0.1", "evil.example.com", 1)
		assert.Equal(t, http.StatusForbidden, serve(http.MethodGet, foreign, operator).Code, path)
	}
	assert.Equal(t, http.StatusNotFound, serve(http.MethodGet, "http://127.0.0.1"+service.ProfilePath+"nothing", operator).Code)
}
