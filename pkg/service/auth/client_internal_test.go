package auth

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestARedirectAwayFromTLSIsNotFollowed(t *testing.T) {
	t.Parallel()
	request := func(url string) *http.Request { return httptest.NewRequest(http.MethodGet, url, nil) }
	abroad := Config{Environment: "production"}.client().CheckRedirect
	first := []*http.Request{request("https://id.example.com")}
	require.NoError(t, abroad(request("https://id.example.com/keys"), first))
	require.Error(t, abroad(request("http://id.example.com/keys"), first))
	require.Error(t, abroad(request("https://id.example.com/keys"), []*http.Request{nil, nil, nil, nil}))
	atHome := Config{Environment: Local}.client().CheckRedirect
	assert.NoError(t, atHome(request("http://127.0.0.1:9000/keys"), first))
}
