package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// refusal says in a word why a token is not accepted. The word is for metrics, not for the client.
type refusal string

func (r refusal) Error() string { return string(r) }

// Every refusal.
const (
	noToken       refusal = "missing"
	malformed     refusal = "malformed"
	oversized     refusal = "oversized"
	forged        refusal = "bad_signature" // or by an algorithm that is not on the list
	unknownKey    refusal = "unknown_key"
	wrongIssuer   refusal = "wrong_issuer"
	wrongAudience refusal = "wrong_audience"
	notYetValid   refusal = "not_yet_valid"
	expired       refusal = "expired"
	badClaims     refusal = "bad_claims"
	forbidden     refusal = "forbidden"
	noKeys        refusal = "no_keys" // no keys have been fetched, so no token can be verified
)

// verifier turns tokens into principals.
type verifier struct {
	parser *jwt.Parser
	config Config
	find   func(context.Context, keyID) (any, error)
}

func newVerifier(c Config, now func() time.Time, find func(context.Context, keyID) (any, error)) *verifier {
	return &verifier{config: c, find: find, parser: c.parser(now, c.Audience)}
}

// parser accepts the issuer's tokens for an audience.
func (c *Config) parser(now func() time.Time, audience string) *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods(c.Algorithms), jwt.WithStrictDecoding(),
		jwt.WithIssuer(c.Issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(c.Leeway), jwt.WithTimeFunc(now),
	)
}

// principal returns whom a request's Authorization headers identify, or a refusal.
func (v *verifier) principal(ctx context.Context, headers []string) (Principal, error) {
	token, err := bearer(headers)
	if err != nil {
		return Principal{}, err
	}
	principal, _, err := v.identify(ctx, token)
	return principal, err
}

// identify returns whom an access token identifies and when it ends, or a refusal.
func (v *verifier) identify(ctx context.Context, token string) (who Principal, endsAt time.Time, err error) {
	if len(token) > v.config.MaxToken {
		return Principal{}, time.Time{}, oversized
	}
	c := claims{config: &v.config}
	if _, err := v.parser.ParseWithClaims(token, &c, v.key(ctx)); err != nil {
		return Principal{}, time.Time{}, refusalOf(err)
	}
	if !httpapi.VisibleASCII(c.subject, maxSubject) || c.subject == Anonymous {
		return Principal{}, time.Time{}, badClaims
	}
	return Principal{Subject: c.subject, Scopes: c.scopes}, c.ExpiresAt.Time, nil
}

// maxSubject is what https://openid.net/specs/openid-connect-core-1_0.html#IDToken allows, in bytes.
const maxSubject = 255

// bearer takes the token out of Authorization headers: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
func bearer(headers []string) (string, error) {
	if len(headers) == 0 {
		return "", noToken
	}
	if len(headers) > 1 {
		return "", malformed
	}
	name, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(name, "Bearer") {
		return "", noToken
	}
	token = strings.Trim(token, " ")
	if !httpapi.VisibleASCII(token, len(token)) {
		return "", malformed
	}
	return token, nil
}

// key returns the key that a token must be signed with, by its header. It ignores what the header says of keys elsewhere
// (jku, jwk, x5u, x5c).
func (v *verifier) key(ctx context.Context) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		segment, _, _ := strings.Cut(t.Raw, ".")
		text, err := v.parser.DecodeSegment(segment)
		if err == nil {
			_, err = members(text)
		}
		_, extended := t.Header["crit"] // no extension is known here, so it must be refused: RFC 7515 §4.1.11
		typ, typed := t.Header["typ"]
		kid, named := t.Header["kid"]
		name, isText := kid.(string)
		if err != nil || extended || typed && !accessToken(typ) || named && !isText {
			return nil, malformed
		}
		return v.find(ctx, keyID{name: name, alg: t.Method.Alg()})
	}
}

// accessToken distinguishes access tokens from other kinds of JWT (RFC 9068 §2.1). Many issuers call them JWT, as they do ID
// tokens, which the audience and claims.UnmarshalJSON keep out.
func accessToken(typ any) bool {
	text, _ := typ.(string)
	return slices.Contains([]string{"jwt", "at+jwt"}, strings.TrimPrefix(strings.ToLower(text), "application/"))
}

func refusalOf(err error) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	for _, known := range []struct { // the first that applies: a token is called expired if nothing else is wrong
		err error
		is  refusal
	}{
		{jwt.ErrTokenMalformed, malformed},
		{jwt.ErrTokenSignatureInvalid, forged},
		{jwt.ErrTokenUnverifiable, forged}, // an unknown algorithm
		{jwt.ErrTokenRequiredClaimMissing, badClaims},
		{jwt.ErrTokenInvalidIssuer, wrongIssuer},
		{jwt.ErrTokenInvalidAudience, wrongAudience},
		{jwt.ErrTokenUsedBeforeIssued, notYetValid},
		{jwt.ErrTokenNotValidYet, notYetValid},
		{jwt.ErrTokenExpired, expired},
	} {
		if errors.Is(err, known.err) {
			return known.is
		}
	}
	return badClaims
}

// claims are a token's, by their exact names and each once.
type claims struct {
	jwt.RegisteredClaims

	config  *Config
	subject string
	scopes  []string
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *claims) UnmarshalJSON(data []byte) error {
	all, err := members(data)
	if err != nil {
		return err
	}
	for _, mark := range []string{"at_hash", "c_hash"} { // only ID tokens have them: they say who signed in, not what a client may do
		if _, ok := all[mark]; ok {
			return errors.New("an ID token")
		}
	}
	var scope, scp text
	for name, target := range map[string]any{
		"iss": &c.Issuer, "aud": (*text)(&c.Audience), c.config.SubjectClaim: &c.subject, "scope": &scope, "scp": &scp,
	} {
		if value, ok := all[name]; ok {
			if err := json.Unmarshal(value, target); err != nil {
				return err
			}
		}
	}
	for name, target := range map[string]**jwt.NumericDate{"exp": &c.ExpiresAt, "nbf": &c.NotBefore, "iat": &c.IssuedAt} {
		if value, ok := all[name]; ok {
			if *target, err = date(value); err != nil {
				return err
			}
		}
	}
	c.scopes = c.config.scopes(scope, scp)
	return nil
}

// scopes are those of this API. A token has them in scope, separated by spaces, or in scp, as one text or as many.
func (c *Config) scopes(scope, scp text) (own []string) {
	if scope == nil {
		scope = scp
	}
	for _, part := range scope {
		for name := range strings.FieldsSeq(part) {
			if name, ok := strings.CutPrefix(name, c.ScopePrefix); ok {
				own = append(own, name)
			}
		}
	}
	return own
}

// text is a claim that is a string or several.
type text []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*t = text{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// maxDate is the end of the year 9999. Much later ones overflow, and would look long past.
const maxDate = 253402300799

func date(data []byte) (*jwt.NumericDate, error) {
	var seconds *float64
	if err := json.Unmarshal(data, &seconds); err != nil {
		return nil, err
	}
	if seconds == nil || *seconds < 0 || *seconds > maxDate {
		return nil, errors.New("no date")
	}
	return jwt.NewNumericDate(time.Unix(int64(*seconds), 0)), nil
}

// members are those of a JSON object, which data is known to be if it is any, by their exact names. encoding/json itself
// would take them in any case, and of two the last: a claim of a user's own choice, called Scope, would then be a scope.
func members(data []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	out := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, repeated := out[name]; repeated {
			return nil, errors.New("a member is repeated")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}
