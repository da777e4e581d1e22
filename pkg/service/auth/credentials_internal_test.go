package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	secret    = "s3cret"
	issuerURL = "https://id.example.com"
)

// tokens is an issuer in memory, of the tokens t1, t2, …. Each is valid for a minute.
type tokens struct {
	mu       sync.Mutex
	given    int
	asked    []string // addresses
	forms    []url.Values
	status   int // 0: it gives a token
	body     string
	endpoint string
	takes    time.Duration
}

func (i *tokens) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	takes := i.takes
	i.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked = append(i.asked, r.URL.String())
	if r.Method == http.MethodGet {
		return answered(http.StatusOK, fmt.Sprintf(`{"issuer":"%s","token_endpoint":"%s"}`, issuerURL, i.endpoint)), nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(text))
	if err != nil {
		return nil, err
	}
	id, password, _ := r.BasicAuth()
	form.Set("basic", id+":"+password)
	i.forms = append(i.forms, form)
	if i.status != 0 {
		return answered(i.status, i.body), nil
	}
	i.given++
	return answered(http.StatusOK, fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":60}`, i.given)), nil
}

func answered(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"Content-Type": {"application/json"}},
	}
}

// service is the API that is called: it remembers the tokens of the requests, and answers with a status.
type service struct {
	mu     sync.Mutex
	seen   []string
	status int
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	return answered(s.status, ""), nil
}

// caller sends requests with the tokens of an issuer.
type caller struct {
	*authorized

	issuer *tokens
	api    *service
}

func newCaller(o Credentials) caller {
	c := caller{issuer: &tokens{endpoint: issuerURL + "/token"}, api: &service{status: http.StatusAccepted}}
	o.ClientID, o.Secret = "processor", secret
	config := Config{Mode: "oidc", Environment: "production", Issuer: issuerURL, Audience: "leftfold", ScopePrefix: "leftfold/"}
	c.authorized, _ = o.Transport(config, c.api, "users:read", "grants:expire").(*authorized)
	c.client = &http.Client{Transport: c.issuer, CheckRedirect: c.client.CheckRedirect}
	return c
}

func (c caller) call(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://api.example.com/", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	res, err := c.RoundTrip(r)
	if err != nil {
		return err
	}
	if r.Header.Get("Authorization") != "" {
		return errors.New("the caller's request has changed")
	}
	return res.Body.Close()
}

func TestATokenIsOfTheClientForTheScopesOfThisAPI(t *testing.T) {
	t.Parallel()
	c := newCaller(Credentials{})
	require.NoError(t, c.call(t.Context()))
	require.NoError(t, c.call(t.Context()))
	assert.Equal(t, []string{"t1", "t1"}, c.api.seen)
	assert.Equal(t, []string{issuerURL + "/.well-known/openid-configuration", issuerURL + "/token"}, c.issuer.asked)
	assert.Equal(t, []url.Values{{
		"grant_type": {"client_credentials"}, "scope": {"leftfold/users:read leftfold/grants:expire"}, "audience": {"leftfold"},
		"basic": {"processor:" + secret},
	}}, c.issuer.forms)
}

func TestATokenURLNeedsNoDiscovery(t *testing.T) {
	t.Parallel()
	c := newCaller(Credentials{TokenURL: "https://tokens.example.com/oauth2/token"})
	require.NoError(t, c.call(t.Context()))
	assert.Equal(t, []string{"https://tokens.example.com/oauth2/token"}, c.issuer.asked)
}

func TestTheSecretIsNotSentWithoutTLS(t *testing.T) {
	t.Parallel()
	c := newCaller(Credentials{})
	c.issuer.endpoint = "http://id.example.com/token"
	require.ErrorContains(t, c.call(t.Context()), "want https")
	assert.Empty(t, c.issuer.forms)
	assert.Empty(t, c.api.seen)
}

func TestManyCallersWaitForOneToken(t *testing.T) {
	t.Parallel()
	c := newCaller(Credentials{})
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() { assert.NoError(t, c.call(t.Context())) })
	}
	callers.Wait()
	assert.Len(t, c.api.seen, 50)
	assert.Equal(t, 1, c.issuer.given)
}

func TestANewTokenIsFetchedBeforeTheOldOneEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(Credentials{})
		for range 12 {
			require.NoError(t, c.call(t.Context()))
			time.Sleep(11 * time.Second)
		}
		assert.Equal(t, []string{"t1", "t1", "t1", "t1", "t1", "t2", "t2", "t2", "t2", "t2", "t3", "t3"}, c.api.seen, "each ends after a minute")
	})
}

func TestATokenThatIsRefusedIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	c := newCaller(Credentials{})
	c.api.status = http.StatusUnauthorized
	require.NoError(t, c.call(t.Context()), "the caller sees the 401")
	c.api.status = http.StatusForbidden
	require.NoError(t, c.call(t.Context()))
	c.api.status = http.StatusAccepted
	require.NoError(t, c.call(t.Context()))
	require.NoError(t, c.call(t.Context()))
	assert.Equal(t, []string{"t1", "t2", "t3", "t3"}, c.api.seen, "another one may have a scope that the client got meanwhile")
}

// One fetch is for all who wait, and each waits for as long as it may.
func TestWhoWaitsForATokenGivesUpAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(Credentials{TokenURL: issuerURL + "/token"})
		c.issuer.takes = 3 * time.Second
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var callers sync.WaitGroup
		callers.Go(func() { assert.ErrorIs(t, c.call(hurried), context.DeadlineExceeded) }) // it was the first to need one
		synctest.Wait()
		begun := time.Now()
		callers.Go(func() { assert.NoError(t, c.call(t.Context())) })
		callers.Wait()
		assert.Equal(t, 3*time.Second, time.Since(begun))
		assert.Equal(t, []string{"t1"}, c.api.seen)
		assert.Equal(t, 1, c.issuer.given)
	})
}

func TestALateRefusalDropsNoNewerToken(t *testing.T) {
	t.Parallel()
	c := newCaller(Credentials{})
	first, err := c.current(t.Context())
	require.NoError(t, err)
	c.forget(first)
	require.NoError(t, c.call(t.Context()))
	c.forget(first)
	require.NoError(t, c.call(t.Context()))
	assert.Equal(t, []string{"t2", "t2"}, c.api.seen)
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status  int
		body    string
		refused bool
	}{
		"the client is unknown":       {http.StatusUnauthorized, `{"error":"invalid_client","error_description":"` + secret + `"}`, true},
		"its scopes are not allowed":  {http.StatusBadRequest, `{"error":"invalid_scope"}`, true},
		"the issuer fails":            {http.StatusBadGateway, "cannot forward client_secret=" + secret, false},
		"the issuer is busy":          {http.StatusTooManyRequests, `{"error":"slow_down"}`, false},
		"the answer is no token":      {http.StatusOK, `{"hello":"` + secret + `"}`, false},
		"the answer is an error":      {http.StatusOK, `{"error":"later","error_description":"` + secret + `"}`, false},
		"the answer is not even JSON": {http.StatusOK, "<html>" + secret, false},
	} {
		c := newCaller(Credentials{})
		c.issuer.status, c.issuer.body = tt.status, tt.body
		err := c.call(t.Context())
		require.Error(t, err, name)
		assert.Equal(t, tt.refused, errors.Is(err, ErrNoToken), "%s: %v", name, err)
		assert.NotContains(t, err.Error(), secret, name)
		assert.Empty(t, c.api.seen, name)

		c.issuer.status = 0
		require.NoError(t, c.call(t.Context()), "%s: the next request tries again", name)
	}
}

func TestAnIssuerThatDoesNotAnswerHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(Credentials{})
		c.issuer.takes = time.Hour
		begun := time.Now()
		require.ErrorIs(t, c.call(t.Context()), context.DeadlineExceeded)
		assert.Less(t, time.Since(begun), time.Minute)
	})
}

func TestWhereNoTokensAreRequiredNoneIsSent(t *testing.T) {
	t.Parallel()
	base := &service{}
	assert.Same(t, base, Credentials{}.Transport(Config{Mode: "none"}, base))
}

func TestCredentialsAreComplete(t *testing.T) {
	t.Parallel()
	oidc := Config{Mode: "oidc", Environment: "production"}
	require.NoError(t, new(Credentials).ValidateFor(&Config{Mode: "none"}))
	err := (&Credentials{TokenURL: "http://id.example.com/token"}).ValidateFor(&oidc)
	for _, variable := range []string{"OIDC_TOKEN_URL", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"} {
		require.ErrorContains(t, err, variable)
	}
	good := Credentials{TokenURL: "https://id.example.com/token", ClientID: "processor", Secret: secret}
	require.NoError(t, good.ValidateFor(&oidc))
}
