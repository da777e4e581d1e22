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

	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

const (
	// fetchTimeout bounds one reading of the keys, and so how long a request with an unknown key waits.
	fetchTimeout = 5 * time.Second
	// askAgain is how long after a reading an unknown key is taken as unknown: strangers can name as many as they like.
	askAgain = 10 * time.Second
	// maxStale is how long keys count while the issuer is away. Its tokens live shorter.
	maxStale = 24 * time.Hour
	// maxAnswer bounds what is read of an issuer, in bytes. Real ones send below 20 KB.
	maxAnswer = 1 << 20
	// minRSA is the shortest RSA key that is believed, in bits: https://www.rfc-editor.org/rfc/rfc7518#section-3.3
	minRSA = 2048
)

// keyID names a key by what a token's header says. An algorithm other than the key's own finds nothing, so that no key
// is ever used for what it was not made for.
type keyID struct{ name, alg string }

// keyring is what an issuer published at one moment.
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

	current atomic.Pointer[keyring] // nil: none yet
	asked   chan struct{}           // wakes run
	stopped chan struct{}           // closed when run has ended

	mu      sync.Mutex
	triedAt time.Time
	tried   chan struct{} // closed at the end of the fetch under way, or else of the next
	err     error         // of the last fetch
}

// find returns the key, or unknownKey, or noKeys. An unknown one makes it look at the issuer's first.
func (s *keySet) find(ctx context.Context, id keyID) (any, error) {
	for looked := false; ; looked = true {
		ring := s.current.Load()
		if ring == nil || s.now().Sub(ring.fetchedAt) > maxStale {
			return nil, noKeys
		}
		if key, ok := ring.keys[id]; ok {
			return key, nil
		}
		if looked || !s.look(ctx) {
			return nil, unknownKey
		}
	}
}

// look has the keys fetched and waits for it. It says false, at once, if that was done a moment ago.
func (s *keySet) look(ctx context.Context) bool {
	tried, lately := s.state()
	if lately {
		return false
	}
	select {
	case s.asked <- struct{}{}:
	default: // somebody else asked
	}
	select {
	case <-tried:
		return true
	case <-ctx.Done():
	case <-s.stopped:
	}
	return false
}

func (s *keySet) state() (tried chan struct{}, lately bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried, s.now().Sub(s.triedAt) < askAgain
}

// run keeps the keys fresh until ctx ends.
func (s *keySet) run(ctx context.Context) {
	defer close(s.stopped)
	defer s.client.CloseIdleConnections()
	for failures := 0; ctx.Err() == nil; {
		pause := s.config.Refresh
		if err := s.refresh(ctx); err != nil && ctx.Err() == nil {
			failures++
			pause = min(pause, s.backoff.Delay(failures))
			s.log.WarnContext(ctx, "issuer's keys not fetched", slog.Any(telemetry.KeyError, err))
		} else {
			failures = 0
		}
		s.rest(ctx, pause)
	}
}

// rest waits until it is time for another fetch.
func (s *keySet) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-s.asked:
			if _, lately := s.state(); !lately { // who asked during the last fetch has its answer
				return
			}
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
	return err
}

// ready says what is amiss with the keys.
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

// discovery is what is read of https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type discovery struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
}

func (c *Config) discoveryURL() string {
	return strings.TrimSuffix(c.Issuer, "/") + "/.well-known/openid-configuration"
}

// fetch reads the keys anew; what is not there any more is gone.
func (s *keySet) fetch(ctx context.Context) (*keyring, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	from := s.config.JWKSURL
	if from == "" {
		var issuer discovery
		if err := s.get(ctx, s.config.discoveryURL(), &issuer); err != nil {
			return nil, err
		}
		if issuer.Issuer != s.config.Issuer {
			return nil, fmt.Errorf("OIDC_ISSUER is %s, and it says that it is %s", s.config.Issuer, issuer.Issuer)
		}
		from = issuer.JWKSURI
	}
	var set jwkset.JWKSMarshal
	if err := s.get(ctx, from, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		return nil, fmt.Errorf("get %s: there are no keys in the answer", from)
	}
	return &keyring{keys: s.config.usable(set.Keys), fetchedAt: s.now()}, nil
}

func (s *keySet) get(ctx context.Context, from string, into any) error {
	u, err := url.Parse(from)
	if err != nil || !s.config.mayCall(u) {
		return fmt.Errorf("get %q: want an https URL", from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return fmt.Errorf("get %s: %w", from, err)
	}
	req.Header.Set("Accept", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err // it names the URL
	}
	defer func() { _ = res.Body.Close() }() // read as far as it matters
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", from, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("decode %s: %w", from, err)
	}
	return nil
}

// usable are the keys that verify signatures by the configured algorithms; others of the set do no harm. A token need
// not name the only key of its algorithm.
func (c *Config) usable(set []jwkset.JWKMarshal) map[keyID]any {
	keys := map[keyID]any{}
	only := map[string][]any{}
	for _, member := range set {
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

// fits says whether a public key can verify by the algorithm.
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
