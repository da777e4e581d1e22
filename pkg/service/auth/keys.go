package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

const (
	// fetchTimeout bounds one fetch of the keys, and so how long a request with an unknown key waits.
	fetchTimeout = 5 * time.Second
	// minInterval is how long after a fetch an unknown key causes no other: untrusted clients can name as many as they like.
	minInterval = 10 * time.Second
	// maxStale is how long keys are accepted while the issuer does not answer. Its tokens live shorter.
	maxStale = 24 * time.Hour
	// maxAnswer bounds an issuer's answer, in bytes. Real ones are below 20 KB.
	maxAnswer = 1 << 20
	// minRSA is the shortest RSA key that is accepted, in bits: https://www.rfc-editor.org/rfc/rfc7518#section-3.3
	minRSA = 2048
)

// keyID names a key by what a token's header says. An algorithm other than the key's own finds nothing, so that no key
// is ever used for what it was not made for.
type keyID struct{ name, alg string }

// keyring is what an issuer had published at one time.
type keyring struct {
	keys      map[keyID]any
	fetchedAt time.Time
}

// keySet is an issuer's keys, kept fresh by run. Safe for concurrent use.
type keySet struct {
	config  Config
	client  *http.Client
	now     func() time.Time
	backoff retry.Backoff
	log     *slog.Logger
	fetches *prometheus.CounterVec
	loops   *progress.Loops

	current   atomic.Pointer[keyring] // nil: none yet
	requested chan struct{}           // wakes run
	stopped   chan struct{}           // closed when run has ended

	mu      sync.Mutex
	triedAt time.Time
	tried   chan struct{} // closed at the end of the fetch under way, or else of the next
	err     error         // of the last fetch
}

// find returns the key, or unknownKey, or noKeys. It refreshes the keys before it calls one unknown.
func (s *keySet) find(ctx context.Context, id keyID) (any, error) {
	for refreshed := false; ; refreshed = true {
		ring := s.current.Load()
		if ring == nil || s.now().Sub(ring.fetchedAt) > maxStale {
			return nil, noKeys
		}
		if key, ok := ring.keys[id]; ok {
			return key, nil
		}
		if refreshed || !s.refreshAndWait(ctx) {
			return nil, unknownKey
		}
	}
}

// refreshAndWait requests a fetch and waits for it. It returns false, at once, if one ended less than minInterval ago.
func (s *keySet) refreshAndWait(ctx context.Context) bool {
	s.mu.Lock()
	tried, lately := s.tried, s.now().Sub(s.triedAt) < minInterval
	if !lately {
		select {
		case s.requested <- struct{}{}:
		default: // it is requested already
		}
	}
	s.mu.Unlock()
	if lately {
		return false
	}
	select {
	case <-tried:
		return true
	case <-ctx.Done():
	case <-s.stopped:
	}
	return false
}

// run keeps the keys fresh until ctx ends.
func (s *keySet) run(ctx context.Context) {
	defer close(s.stopped)
	defer s.client.CloseIdleConnections()
	loop := progress.NewLoop("keys of the issuer", s.config.Refresh+fetchTimeout, s.now)
	defer s.loops.Register(loop)()
	for failures := 0; ctx.Err() == nil; loop.Turn() {
		pause := s.config.Refresh
		if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
			failures++
			pause = min(pause, s.backoff.Delay(failures))
			s.log.WarnContext(ctx, "fetch of the issuer's keys failed, retrying", slog.Any(telemetry.KeyError, err))
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		case <-s.requested:
		}
	}
}

func (s *keySet) refresh(ctx context.Context) error {
	ring, err := s.fetch(ctx)
	if err == nil {
		s.current.Store(ring)
		s.fetches.WithLabelValues("ok").Inc()
	} else if ctx.Err() == nil {
		s.fetches.WithLabelValues("failed").Inc()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.triedAt, s.err = s.now(), err
	close(s.tried)
	s.tried = make(chan struct{})
	select {
	case <-s.requested: // during this fetch, which answers it
	default:
	}
	return err
}

// ready returns why no token can be verified, if so.
func (s *keySet) ready(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ring := s.current.Load()
	switch {
	case ring == nil && s.err == nil:
		return errors.New("its keys are being fetched")
	case ring == nil || s.now().Sub(ring.fetchedAt) > maxStale:
		return s.err
	case len(ring.keys) == 0:
		return fmt.Errorf("it has no key for %s", strings.Join(s.config.Algorithms, " or "))
	default:
		return nil
	}
}

// discovery has the members that we read of https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type discovery struct {
	Issuer                string `json:"issuer"`
	JWKSURI               string `json:"jwks_uri"`
	TokenEndpoint         string `json:"token_endpoint"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	// EndSessionEndpoint is of https://openid.net/specs/openid-connect-rpinitiated-1_0.html#OPMetadata
	EndSessionEndpoint string `json:"end_session_endpoint"`
}

func (c *Config) discoveryURL() string {
	return strings.TrimSuffix(c.Issuer, "/") + "/.well-known/openid-configuration"
}

// discover asks the issuer what it says of itself.
func (c *Config) discover(ctx context.Context, client *http.Client) (issuer discovery, err error) {
	err = c.get(ctx, client, c.discoveryURL(), &issuer)
	if err == nil && issuer.Issuer != c.Issuer {
		err = fmt.Errorf("OIDC_ISSUER is %s, and it says that it is %s", c.Issuer, issuer.Issuer)
	}
	return issuer, err
}

// fetch returns the keys that the issuer publishes now, and no earlier ones.
func (s *keySet) fetch(ctx context.Context) (*keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	from := s.config.JWKSURL
	if from == "" {
		issuer, err := s.config.discover(ctx, s.client)
		if err != nil {
			return nil, err
		}
		from = issuer.JWKSURI
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.config.get(ctx, s.client, from, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, fmt.Errorf("get %s: there are no keys in the answer", from)
	}
	return &keyring{keys: s.config.usable(set.Keys), fetchedAt: s.now()}, nil
}

func (c *Config) get(ctx context.Context, client *http.Client, from string, into any) error {
	u, err := url.Parse(from)
	if err != nil || !c.mayCall(u) {
		return fmt.Errorf("get %q: want an https URL", from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return fmt.Errorf("get %s: %w", from, err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err // it names the URL
	}
	defer func() { _ = res.Body.Close() }() // read as far as needed
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", from, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("decode %s: %w", from, err)
	}
	return nil
}

// usable returns the keys that verify signatures by the configured algorithms and skips all others, also what is no key at
// all: https://www.rfc-editor.org/rfc/rfc7517#section-5. A token need not name the only key of its algorithm.
func (c *Config) usable(set []json.RawMessage) map[keyID]any {
	keys := map[keyID]any{}
	only := map[string][]any{}
	for _, text := range set {
		var member jwkset.JWKMarshal
		if json.Unmarshal(text, &member) != nil {
			continue
		}
		jwk, err := jwkset.NewJWKFromMarshal(member, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		verifies := len(member.KEYOPS) == 0 || slices.Contains(member.KEYOPS, jwkset.KeyOpsVerify)
		if err != nil || !verifies || member.USE != "" && member.USE != jwkset.UseSig {
			continue
		}
		for _, alg := range c.Algorithms {
			if (member.ALG == "" || member.ALG.String() == alg) && fits(alg, jwk.Key()) {
				keys[keyID{member.KID, alg}] = jwk.Key()
				only[alg] = append(only[alg], jwk.Key())
			}
		}
	}
	for alg, all := range only {
		delete(keys, keyID{"", alg})
		if len(all) == 1 {
			keys[keyID{"", alg}] = all[0]
		}
	}
	return keys
}

// fits reports whether a public key can verify signatures by the algorithm.
func fits(alg string, key any) bool {
	method := jwt.GetSigningMethod(alg)
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch method.(type) {
		case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
			return key.N.BitLen() >= minRSA
		}
	case *ecdsa.PublicKey:
		m, ok := method.(*jwt.SigningMethodECDSA)
		return ok && m.CurveBits == key.Curve.Params().BitSize
	case ed25519.PublicKey:
		_, ok := method.(*jwt.SigningMethodEd25519)
		return ok
	}
	return false
}
