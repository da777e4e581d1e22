package adminclient_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/adminclient"
)

// serve answers like the admin address of a service that keeps one projection, with a token.
func serve(t *testing.T, projection string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthenticated","detail":"send ADMIN_TOKEN"}`))
		case r.URL.Path == "/projections/"+projection+"/parked":
			w.Header().Set("Link", `</projections/`+projection+`/parked?cursor=x>; rel="next"`)
			_, _ = w.Write([]byte(`[]`))
		case r.URL.Path == "/who":
			_, _ = w.Write([]byte(`"` + projection + `"`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code":"not_found","detail":"no such operation"}`))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func client(t *testing.T, token string, urls ...string) *adminclient.Client {
	t.Helper()
	c := adminclient.Config{URLs: urls}
	c.Token = token
	made, err := adminclient.New(t.Context(), c, nil)
	require.NoError(t, err)
	return made
}

const nobody = "http://127.0.0.1:1"

func TestAProjectionIsFoundAmongTheAddresses(t *testing.T) {
	t.Parallel()
	users, roles := serve(t, "users"), serve(t, "roles")
	c := client(t, "secret", nobody, users, roles+"/")
	at, err := c.Projection(t.Context(), "roles")
	require.NoError(t, err)
	assert.Equal(t, roles, at)
	var list []string
	next, err := c.Get(t.Context(), at+"/projections/roles/parked", &list)
	require.NoError(t, err)
	assert.Equal(t, "/projections/roles/parked?cursor=x", next)

	_, err = c.Projection(t.Context(), "groups")
	require.ErrorContains(t, err, "answers for projection groups")
	require.ErrorContains(t, err, "--admin or ADMIN_URLS")
	_, err = client(t, "", users).Projection(t.Context(), "users")
	require.ErrorContains(t, err, "send ADMIN_TOKEN")
	_, err = client(t, "", nobody).Projection(t.Context(), "users")
	require.ErrorIs(t, err, adminclient.ErrNothingThere)
}

func TestEveryAddressIsAskedAndTheMissingOnesAreNamed(t *testing.T) {
	t.Parallel()
	var answers, missing []string
	ask := func(urls ...string) error {
		answers, missing = nil, nil
		return adminclient.Each(t.Context(), client(t, "secret", urls...), "/who",
			func(_, answer string) { answers = append(answers, answer) },
			func(address string, err error) {
				require.Error(t, err)
				missing = append(missing, address)
			})
	}
	require.NoError(t, ask(serve(t, "users"), nobody, serve(t, "roles")))
	assert.Equal(t, []string{"users", "roles"}, answers)
	assert.Equal(t, []string{nobody}, missing)
	require.ErrorIs(t, ask(nobody), adminclient.ErrNothingThere)
}

// A name that stands for several addresses stands for several replicas; a request by an address is always accepted.
func TestANameStandsForItsAddresses(t *testing.T) {
	t.Parallel()
	client, err := adminclient.New(t.Context(), adminclient.Config{URLs: []string{"http://no.such.host.invalid:9090"}}, nil)
	require.NoError(t, err, "others may be there")
	answers := client.All(t.Context(), "/healthz")
	require.Len(t, answers, 1)
	require.ErrorContains(t, answers[0].Err, "no.such.host.invalid")
	for _, text := range []string{"localhost:9090", "ftp://x", "http://", "http://x/path"} {
		require.ErrorContains(t, (&adminclient.Config{URLs: []string{text}}).Validate(), "want URLs", text)
	}
}
