package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// tokenIssuer is the development issuer. A test changes what it gives the processor.
type tokenIssuer struct {
	*devissuer.Issuer

	mu     sync.Mutex
	asked  []url.Values
	paths  []string         // of those requests
	status int              // 0: it gives a token
	change func(url.Values) // of what is asked; nil: none
}

func (i *tokenIssuer) set(status int, change func(url.Values)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.change = status, change
}

// requests are those for a token.
func (i *tokenIssuer) requests() []url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.asked)
}

// ServeHTTP implements http.Handler.
func (i *tokenIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		form := url.Values{}
		for name, values := range r.PostForm {
			form[name] = slices.Clone(values)
		}
		i.mu.Lock()
		i.asked, i.paths = append(i.asked, form), append(i.paths, r.URL.Path)
		status, change := i.status, i.change
		i.mu.Unlock()
		if status != 0 {
			http.Error(w, `{"error":"invalid_client"}`, status)
			return
		}
		if change != nil {
			change(r.PostForm)
		}
		if r.URL.Path == elsewhere {
			r.URL.Path = "/token"
		}
	}
	i.Issuer.ServeHTTP(w, r)
}

// elsewhere is where the issuer gives tokens, too, though its discovery does not say so.
const elsewhere = "/elsewhere/token"

// newTokenIssuer starts an issuer.
func newTokenIssuer(t *testing.T) (issuer *tokenIssuer, at string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	at = "http://" + server.Listener.Addr().String()
	inner, err := devissuer.New(devissuer.Config{
		Environment: auth.Local, URL: at, Audience: "leftfold", TokenLife: 11 * time.Second, // another one is got ten seconds before its end
	}, time.Now)
	require.NoError(t, err)
	issuer = &tokenIssuer{Issuer: inner}
	server.Config.Handler = issuer
	server.Start()
	t.Cleanup(server.Close)
	return issuer, at
}

func TestTheProcessorGetsItsTokensWhereItIsTold(t *testing.T) {
	t.Parallel()
	issuer, at := newTokenIssuer(t)
	a := trusting(t, issuer.Issuer, map[string]string{
		"AUTH_MODE": "oidc", "OIDC_ISSUER": at, "OIDC_AUDIENCE": "leftfold", "OIDC_TOKEN_URL": at + elsewhere,
	})
	auditor := newID()
	for _, r := range []systemtest.Request{post("/roles", object{"id": auditor, "name": "auditor"}), put("/roles/"+auditor+"/retire", nil)} {
		r.Header = tokenFor(t, issuer.Issuer, "dan", "roles:write")
		answer, err := a.Do(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, answer.Status, "%s", answer.Body)
	}
	waittest.Until(t, "the retirement", func() (any, bool) {
		names := processing{a}.names(role.Category, auditor, 1)
		return len(issuer.requests()), names[0] == role.Retired{}.EventName()
	})
	issuer.mu.Lock()
	defer issuer.mu.Unlock()
	assert.Equal(t, []string{elsewhere}, slices.Compact(slices.Clone(issuer.paths)))
}

// lacking takes a scope out of what is asked.
func lacking(scope string) func(url.Values) {
	return func(form url.Values) {
		scopes := strings.Fields(form.Get("scope"))
		form.Set("scope", strings.Join(slices.DeleteFunc(scopes, func(s string) bool { return s == scope }), " "))
	}
}

// TestTheProcessorWorksWithATokenOfItsOwn lets grants end and a role be retired. In between the issuer gives tokens that are refused, or
// none: the commands wait, which is counted, and nothing is lost.
func TestTheProcessorWorksWithATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	issuer, at := newTokenIssuer(t)
	inner := issuer.Issuer
	a := trusting(t, inner, map[string]string{"AUTH_MODE": "oidc", "OIDC_ISSUER": at, "OIDC_AUDIENCE": "leftfold"})
	send := func(r systemtest.Request) systemtest.Answer {
		r.Header = tokenFor(t, inner, "dan", "users:read", "users:write", "roles:read", "roles:write")
		answer, err := a.Do(t.Context(), r)
		require.NoError(t, err)
		return answer
	}
	accepted := func(r systemtest.Request) {
		t.Helper()
		answer := send(r)
		require.Equal(t, http.StatusAccepted, answer.Status, "%s", answer.Body)
	}
	p := processing{a}
	ann, auditor := newID(), newID()
	accepted(post("/users", object{"id": ann, "email": "ann@example.com"}))
	accepted(post("/roles", object{"id": auditor, "name": "auditor"}))
	expired := user.RoleExpired{}.EventName()
	ends := func() {
		t.Helper()
		for wait := 3 * time.Second; ; wait *= 2 { // the answer may come later than that
			answer := send(post("/users/"+ann+"/roles", object{"roleId": auditor, "until": time.Now().Add(wait)}))
			if answer.Status == http.StatusAccepted {
				return
			}
			a.problem(answer, user.ErrUntilPassed.Code)
		}
	}
	expires := func() {
		t.Helper()
		waittest.Until(t, "the grant to end", func() (any, bool) {
			names := p.names(user.Category, ann, 1)
			return len(issuer.requests()), names[0] == expired
		})
	}
	denied := func() float64 { return sum(t, a.Processor, "leftfold_process_calls_denied_total", "command", "expire") }

	ends()
	expires()
	assert.Zero(t, denied())
	var needed []string
	for _, o := range wholeAPI(t, a.System) {
		if slices.Contains([]string{"expireRole", "removeRole", "completeRetirement", "listMembers"}, o.ID) {
			needed = append(needed, o.scopes(t)...)
		}
	}
	slices.Sort(needed)
	scopes := strings.Fields(issuer.requests()[0].Get("scope"))
	slices.Sort(scopes)
	assert.Equal(t, slices.Compact(needed), scopes, "what its operations need, and no more")
	assert.Equal(t, []string{"leftfold"}, issuer.requests()[0]["audience"])

	for _, tt := range []struct {
		name   string
		status int
		change func(url.Values)
		counts bool
	}{
		{"tokens for another API, answered 401", 0, func(form url.Values) { form.Set("audience", "other") }, true},
		{"tokens without a scope, answered 403", 0, lacking("grants:expire"), true},
		{"no tokens for this client", http.StatusUnauthorized, nil, true},
		{"none at all", http.StatusServiceUnavailable, nil, false},
	} {
		issuer.set(tt.status, tt.change)
		before, requests := denied(), len(issuer.requests())
		ends()
		waittest.Until(t, tt.name, func() (any, bool) {
			n := len(issuer.requests())
			return n, n > requests+1 && (denied() > before || !tt.counts)
		})
		assert.NotEqual(t, []string{expired}, p.names(user.Category, ann, 1), tt.name)
		assert.Equal(t, tt.counts, denied() > before, tt.name)
		issuer.set(0, nil)
		expires()
	}

	accepted(post("/users/"+ann+"/roles", object{"roleId": auditor}))
	accepted(put("/roles/"+auditor+"/retire", nil))
	waittest.Until(t, "the retirement", func() (any, bool) {
		answer := send(systemtest.Request{Method: http.MethodGet, Path: "/roles/" + auditor + "/retirement"})
		return string(answer.Body), strings.Contains(string(answer.Body), `"state":"done"`)
	})
	ended := 0
	records, err := a.Records(t.Context())
	require.NoError(t, err)
	for _, commands := range records {
		for _, r := range commands {
			if r.Name == expired || r.Name == (user.RoleRemoved{}).EventName() || strings.HasSuffix(r.Name, "role/retired") {
				ended++
				assert.Equal(t, topology.Processor, r.Metadata.Actor, r.Name)
			}
		}
	}
	assert.Equal(t, 1+4+1+1, ended, "each grant ends once, and the role is retired")
}
