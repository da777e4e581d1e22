package auth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// forgery is a token, or a request's Authorization headers, that must be refused, and the outcome it is counted as.
type forgery struct {
	name, outcome string
	headers       func() []string
}

func token(name, outcome string, make func() string) forgery {
	return forgery{name, outcome, func() []string { return []string{"Bearer " + make()} }}
}

// claiming is a token of the issuer with other claims.
func claiming(name, outcome string, more map[string]any) forgery {
	return token(name, outcome, func() string { return good(more) })
}

// headed is a token of the issuer with another header.
func headed(name, outcome string, more map[string]any) forgery {
	return token(name, outcome, func() string { return sign("RS256", rsaKey(), header("RS256", "r", more), claims(nil)) })
}

// stating is a token of the issuer with claims as text; "..." stands for valid ones.
func stating(name, outcome, format string, args ...any) forgery {
	return token(name, outcome, func() string {
		text, err := json.Marshal(claims(nil))
		if err != nil {
			panic(err)
		}
		members := strings.TrimSuffix(strings.TrimPrefix(string(text), "{"), "}")
		return sign("RS256", rsaKey(), header("RS256", "r", nil), fmt.Sprintf(strings.ReplaceAll(format, "...", members), args...))
	})
}

func at(d time.Duration) any { return lazily(func() any { return time.Now().Add(d).Unix() }) }

// lazily is a value computed on virtual time.
type lazily func() any

func (l lazily) MarshalJSON() ([]byte, error) { return json.Marshal(l()) }

func forgeries() []forgery {
	out := []forgery{
		token("signed by another key under the issuer's kid", "bad_signature", func() string {
			return sign("RS256", otherRSA(), header("RS256", "r", nil), claims(nil))
		}),
		token("claims changed after it was signed", "bad_signature", func() string {
			parts := strings.Split(good(nil), ".")
			return parts[0] + "." + segment(claims(map[string]any{"sub": "eve"})) + "." + parts[2]
		}),
		token("header changed after it was signed", "bad_signature", func() string {
			parts := strings.Split(good(nil), ".")
			return segment(header("RS256", "r", map[string]any{"x": 1})) + "." + parts[1] + "." + parts[2]
		}),
		token("without a signature", "bad_signature", func() string { return good(nil)[:strings.LastIndex(good(nil), ".")+1] }),
		token("with half a signature", "bad_signature", func() string { return good(nil)[:len(good(nil))-102] }),
		token("by an unknown key", "unknown_key", func() string {
			return sign("RS256", otherRSA(), header("RS256", "other", nil), claims(nil))
		}),
		token("by the EC key under the RSA key's kid", "unknown_key", func() string {
			return sign("ES256", ecKey(), header("ES256", "r", nil), claims(nil))
		}),
		token("by an algorithm that is not on the list", "bad_signature", func() string {
			return sign("PS256", rsaKey(), header("PS256", "r", nil), claims(nil))
		}),
		token("by EdDSA, which is not on the list", "bad_signature", func() string {
			return sign("EdDSA", edKey(), header("EdDSA", "ed", nil), claims(nil))
		}),
		token("by a short RSA key that the issuer published", "unknown_key", func() string {
			return sign("RS256", shortRSA(), header("RS256", "short", nil), claims(nil))
		}),
		token("by a key that the issuer published for encryption", "unknown_key", func() string {
			return sign("RS256", otherRSA(), header("RS256", "enc", nil), claims(nil))
		}),
		token("by a key that the issuer published for signing alone", "unknown_key", func() string {
			return sign("RS256", otherRSA(), header("RS256", "signs only", nil), claims(nil))
		}),
		token("by the secret that the issuer published by mistake", "bad_signature", func() string {
			return sign("HS256", []byte("secret"), header("HS256", "oct", nil), claims(nil))
		}),

		claiming("expired", "expired", map[string]any{"exp": at(-31 * time.Second)}),
		claiming("expires exactly now, leeway included", "expired", map[string]any{"exp": at(-30 * time.Second)}),
		claiming("not yet valid", "not_yet_valid", map[string]any{"nbf": at(31 * time.Second)}),
		claiming("issued in the future", "not_yet_valid", map[string]any{"iat": at(31 * time.Second)}),
		claiming("expires never", "bad_claims", map[string]any{"exp": nil}),
		stating("expires at null", "malformed", `{"exp":null,"iss":%q,"aud":%q,"sub":"dan"}`, issuerURL, audience),
		stating("expires at a text", "malformed", `{"exp":"253402300799","iss":%q,"aud":%q,"sub":"dan"}`, issuerURL, audience),
		stating("expires beyond any time", "malformed", `{"exp":1e300,"iss":%q,"aud":%q,"sub":"dan"}`, issuerURL, audience),
		stating("valid beyond any time", "malformed", `{"nbf":1e300,...}`),
		stating("expired before any time", "malformed", `{"exp":-1e300,"iss":%q,"aud":%q,"sub":"dan"}`, issuerURL, audience),

		claiming("for another audience", "wrong_audience", map[string]any{"aud": "https://other.example.com"}),
		claiming("for other audiences", "wrong_audience", map[string]any{"aud": []string{"https://other.example.com", audience + "/"}}),
		claiming("for no audience", "bad_claims", map[string]any{"aud": nil}),
		claiming("for an empty audience", "bad_claims", map[string]any{"aud": []string{}}),
		claiming("for an audience that is a number", "malformed", map[string]any{"aud": 1}),
		claiming("by another issuer", "wrong_issuer", map[string]any{"iss": "https://evil.example.com"}),
		claiming("by the issuer with a slash behind", "wrong_issuer", map[string]any{"iss": issuerURL + "/"}),
		claiming("by the issuer in other case", "wrong_issuer", map[string]any{"iss": strings.ToUpper(issuerURL)}),
		claiming("by no issuer", "bad_claims", map[string]any{"iss": nil}),
		claiming("expired and for another audience", "wrong_audience", map[string]any{"exp": at(-time.Hour), "aud": "x"}),

		claiming("without a subject", "bad_claims", map[string]any{"sub": nil}),
		claiming("of an empty subject", "bad_claims", map[string]any{"sub": ""}),
		claiming("of a subject with a space", "bad_claims", map[string]any{"sub": "dan key"}),
		claiming("of a subject on two lines", "bad_claims", map[string]any{"sub": "dan\nactor=eve"}),
		claiming("of a subject with a zero byte", "bad_claims", map[string]any{"sub": "dan\x00"}),
		claiming("of a subject beyond ASCII", "bad_claims", map[string]any{"sub": "dаn"}), // a Cyrillic а
		claiming("of a subject that is too long", "bad_claims", map[string]any{"sub": strings.Repeat("d", 256)}),
		claiming("of the subject of anonymous requests", "bad_claims", map[string]any{"sub": "anonymous"}),
		claiming("of a subject that is a number", "malformed", map[string]any{"sub": 7}),
		claiming("an ID token, by its at_hash", "malformed", map[string]any{"at_hash": "MTIzNDU2Nzg5MDEyMzQ1Ng"}),
		claiming("an ID token, by its c_hash", "malformed", map[string]any{"c_hash": "LDktKdoQak3Pk0cnXxCltA"}),
		claiming("with scopes that are numbers", "malformed", map[string]any{"scp": []int{1}}),

		stating("claims sub twice", "malformed", `{...,"sub":"eve"}`),
		stating("claims exp twice", "malformed", `{"exp":1,...}`),
		stating("claims scope twice, once escaped", "malformed", `{...,"sc\u006fpe":"things:write"}`),
		stating("claims more than an object", "malformed", `{...}{}`),
		stating("claims null", "bad_claims", `null`),
		stating("claims an array", "malformed", `[{...}]`),
		stating("claims deep nesting", "malformed", `{...,"x":%s}`, strings.Repeat("[", 3000)),

		headed("a critical extension", "malformed", map[string]any{"crit": []string{"exp"}, "exp": 1}),
		headed("a critical b64", "malformed", map[string]any{"crit": []string{"b64"}, "b64": false}),
		headed("an empty crit", "malformed", map[string]any{"crit": []string{}}),
		headed("of the type of logout tokens", "malformed", map[string]any{"typ": "logout+jwt"}),
		headed("of the type of DPoP proofs", "malformed", map[string]any{"typ": "dpop+jwt"}),
		headed("of a type that is no text", "malformed", map[string]any{"typ": 1}),
		headed("of a kid that is no text", "malformed", map[string]any{"kid": []string{"r"}}),
		headed("without a kid, where the issuer has several keys", "unknown_key", map[string]any{"kid": nil}),
		headed("of an alg that is no text", "bad_signature", map[string]any{"alg": []string{"RS256"}}),
		headed("without an alg", "bad_signature", map[string]any{"alg": nil}),
		token("names alg twice", "malformed", func() string {
			return sign("RS256", rsaKey(), `{"alg":"none","kid":"r","alg":"RS256"}`, claims(nil))
		}),
		token("brings its own key", "bad_signature", func() string {
			return sign("RS256", otherRSA(), header("RS256", "r", map[string]any{
				"jwk": published("r", otherRSA()), "jku": "https://evil.example.com/keys", "x5u": "https://evil.example.com/x5u",
			}), claims(nil))
		}),

		token("empty", "malformed", func() string { return "" }),
		token("two dots", "malformed", func() string { return ".." }),
		token("four parts", "malformed", func() string { return good(nil) + ".x" }),
		token("a JWE's five parts", "malformed", func() string { return "e30.e30.e30.e30.e30" }),
		token("padded", "malformed", func() string { return good(nil) + "==" }),
		token("in a loose encoding", "malformed", looselyEncoded),
		token("with a tab", "malformed", func() string { return good(nil) + "\t" }),
		token("not base64", "malformed", func() string { return "!." + good(nil) }),
		token("oversized", "oversized", func() string { return sized(15 << 10) }),
		token("oversized by a byte or two", "oversized", func() string { return sized(8<<10 + 2) }),
		{"none at all", "missing", func() []string { return nil }},
		{"of another scheme", "missing", func() []string { return []string{"Basic ZGFuOnNlY3JldA=="} }},
		{"without the scheme", "missing", func() []string { return []string{good(nil)} }},
		{"empty header", "missing", func() []string { return []string{""} }},
		{"two headers", "malformed", func() []string { return []string{"Bearer " + good(nil), "Bearer " + good(nil)} }},
		{"two tokens in one header", "malformed", func() []string { return []string{"Bearer " + good(nil) + ", Bearer " + good(nil)} }},
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "", "NULL", "HS256 ", "rs256"} {
		out = append(out, token(fmt.Sprintf("alg %q", alg), "bad_signature", func() string {
			return segment(header(alg, "r", nil)) + "." + segment(claims(nil)) + "."
		}), token(fmt.Sprintf("alg %q with the signature of RS256", alg), "bad_signature", func() string {
			return sign("RS256", rsaKey(), header(alg, "r", nil), claims(nil))
		}))
	}
	for name, secret := range publicKeyTexts() {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			out = append(out, token(alg+" by the public key as "+name, "bad_signature", func() string {
				return sign(alg, secret, header(alg, "r", nil), claims(nil))
			}), token(alg+" called RS256, by the public key as "+name, "bad_signature", func() string {
				return sign(alg, secret, header("RS256", "r", nil), claims(nil))
			}))
		}
	}
	for _, kid := range []string{"../../../../dev/null", "/dev/null", "r\x00", "R", " r", "' OR '1'='1", "$(id)", "https://evil.example.com/keys", strings.Repeat("r", 5000), ""} {
		out = append(out, token(fmt.Sprintf("kid %.20q", kid), "unknown_key", func() string {
			return sign("RS256", otherRSA(), header("RS256", kid, nil), claims(nil))
		}))
	}
	return out
}

// publicKeyTexts are the forms in which a verifier may have its RSA key: none may serve as a secret.
func publicKeyTexts() map[string][]byte {
	public := &rsaKey().PublicKey
	pkix, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(public)
	jwk, err := json.Marshal(published("r", rsaKey()))
	if err != nil {
		panic(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix})
	return map[string][]byte{
		"PEM": text, "PEM without its last line break": bytes.TrimSpace(text), "DER": pkix, "PKCS#1": pkcs1,
		"PKCS#1 in PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
		"a JWK":         jwk, "the modulus": public.N.Bytes(), "nothing": {},
	}
}

// looselyEncoded is a valid token, but for unused bits in the last letter of its signature.
func looselyEncoded() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	g := good(nil)
	last := strings.IndexByte(alphabet, g[len(g)-1])
	return g[:len(g)-1] + string(alphabet[last|1]) // 256 bytes leave 4 bits over
}

// issuerWithOddKeys also has keys of every kind that must be ignored.
func issuerWithOddKeys() *issuer {
	return newIssuer(
		published("r", rsaKey()), published("r2", thirdRSA()), published("e", ecKey()), published("ed", edKey()), published("short", shortRSA()),
		with(published("enc", otherRSA()), map[string]any{"use": "enc"}),
		with(published("signs only", otherRSA()), map[string]any{"key_ops": []string{"sign"}}),
		map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte("secret"))},
		map[string]any{"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
		map[string]any{"kty": "new", "kid": "of an unknown kind"}, map[string]any{},
	)
}

// TestForgeriesAreRefused requires the same answer for every forgery, so that it gives no hint.
func TestForgeriesAreRefused(t *testing.T) {
	t.Parallel()
	for _, f := range forgeries() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, config(), issuerWithOddKeys(), func(t *testing.T, a *api) {
				require.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code, "a valid token beside it is accepted")
				headers := f.headers()
				got := a.get(headers...)
				assert.Equal(t, http.StatusUnauthorized, got.Code, got.Body)
				assert.Equal(t, 1, a.counted(f.outcome), f.outcome)
				var p httpapi.Problem
				require.NoError(t, json.Unmarshal(got.Body.Bytes(), &p))
				assert.Equal(t, "application/problem+json", got.Header().Get("Content-Type"))
				assert.Equal(t, httpapi.CodeUnauthenticated, p.Code)
				assert.Equal(t, challengeOf(f.outcome), got.Header().Get("WWW-Authenticate"))
				for _, h := range headers {
					for part := range strings.FieldsFuncSeq(h, func(r rune) bool { return r == ' ' || r == '.' }) {
						if len(part) > 20 {
							assert.NotContains(t, got.Body.String(), part)
							assert.NotContains(t, a.logs.String(), part, "no token is logged")
						}
					}
				}
			})
		})
	}
}

func challengeOf(outcome string) string {
	switch outcome {
	case "missing":
		return `Bearer realm="leftfold"`
	case "expired":
		return `Bearer realm="leftfold", error="invalid_token", error_description="the token has expired"`
	default:
		return `Bearer realm="leftfold", error="invalid_token"`
	}
}

func TestClaimNamesAreCaseSensitive(t *testing.T) {
	t.Parallel()
	inBubble(t, config(), newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
		got := a.get("Bearer " + good(map[string]any{"SUB": "eve", "Scope": "things:write", "EXP": 1, "Aud": "x", "at_Hash": 1}))
		assert.JSONEq(t, `{"subject":"dan","scopes":["things:read","other:scope"]}`, got.Body.String())
		got = a.get("Bearer " + good(map[string]any{"scope": nil, "Scope": "things:read", "SCP": []string{"things:read"}}))
		assert.Equal(t, http.StatusForbidden, got.Code)
		assert.Equal(t, http.StatusUnauthorized, a.get("Bearer "+good(map[string]any{"sub": nil, "Sub": "dan"})).Code)
	})
}

func TestATokenInTheURLIsIgnored(t *testing.T) {
	t.Parallel()
	inBubble(t, config(), newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
		got := a.do(httptest.NewRequest(http.MethodGet, "/things?access_token="+good(nil), nil))
		assert.Equal(t, http.StatusUnauthorized, got.Code)
		assert.Equal(t, 1, a.counted("missing"))
	})
}

func TestAKeyVerifiesItsOwnAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	c := config()
	c.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
	keys := newIssuer(with(published("r", rsaKey()), map[string]any{"alg": "RS256"}), published("any", otherRSA()),
		published("e", ecKey()), published("l", longEC()), published("ed", edKey()))
	inBubble(t, c, keys, func(t *testing.T, a *api) {
		for _, try := range []struct {
			alg, kid string
			key      any
			want     int
		}{
			{"RS256", "r", rsaKey(), 200},
			{"PS256", "r", rsaKey(), 401}, // the JWK says RS256
			{"RS256", "any", otherRSA(), 200},
			{"PS256", "any", otherRSA(), 200},
			{"ES256", "e", ecKey(), 200},
			{"ES384", "l", longEC(), 200},
			{"EdDSA", "ed", edKey(), 200},
			{"EdDSA", "e", edKey(), 401},
			{"EdDSA", "ed", ed25519.NewKeyFromSeed([]byte("another seed that has 32 bytes..")), 401},
		} {
			got := a.get("Bearer " + sign(try.alg, try.key, header(try.alg, try.kid, nil), claims(nil)))
			assert.Equal(t, try.want, got.Code, "%s by %s", try.alg, try.kid)
		}
		// ES384 by a P-256 key, which golang-jwt would not sign, but would verify.
		unsigned := segment(header("ES384", "e", nil)) + "." + segment(claims(nil))
		sum, signature := sha512.Sum384([]byte(unsigned)), make([]byte, 96)
		r, s, err := ecdsa.Sign(rand.Reader, ecKey(), sum[:])
		require.NoError(t, err)
		r.FillBytes(signature[:48])
		s.FillBytes(signature[48:])
		assert.Equal(t, 401, a.get("Bearer "+unsigned+"."+base64.RawURLEncoding.EncodeToString(signature)).Code)
	})
}
