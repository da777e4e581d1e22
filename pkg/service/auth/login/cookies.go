package login

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A browser keeps 4,096 bytes of a cookie, its name and attributes included (https://www.rfc-editor.org/rfc/rfc6265#section-6.1), so a
// session is cut into pieces. All of them have to fit into HTTP_MAX_HEADER with what else a request has.
const (
	pieceSize = 3800
	maxPieces = 3
)

var errTooLarge = errors.New("the issuer's tokens are too large for a session: have it put less into them, or give no refresh token")

// cookie is one of this package's. An age of 0 is until the browser ends.
func (l *Login) cookie(name, path, value string, age time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it is not Secure where ENVIRONMENT=local alone
		Name: name, Value: value, Path: path, MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: l.secure(), SameSite: http.SameSiteLaxMode, // Lax: the issuer's answer comes from its site
	}
}

// secure reports whether browsers reach this server by https. Elsewhere than locally they have to.
func (l *Login) secure() bool { return strings.HasPrefix(l.URL(), "https://") }

// name is that of a cookie, which a browser takes by https alone if it can: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie
func (l *Login) name(of string) string {
	if l.secure() {
		return "__Secure-leftfold-" + of
	}
	return "leftfold-" + of
}

// session is what a browser keeps of who is signed in.
type session struct {
	Access  string `json:"a"`
	Refresh string `json:"r,omitempty"`
}

func (l *Login) piece(i int) string { return l.name("session-") + strconv.Itoa(i) }

// session returns that of the request.
func (l *Login) session(r *http.Request) (s session, ok bool) {
	var sealed strings.Builder
	for i := range maxPieces {
		piece, err := r.Cookie(l.piece(i))
		if err != nil {
			break
		}
		sealed.WriteString(piece.Value)
	}
	return s, sealed.Len() > 0 && l.sealer.open("session", sealed.String(), &s)
}

// keep has the browser keep the session, in place of another one.
func (l *Login) keep(w http.ResponseWriter, s session) error {
	sealed, err := l.sealer.seal("session", s)
	if err != nil {
		return err
	}
	if len(sealed) > maxPieces*pieceSize {
		return errTooLarge
	}
	for i := range maxPieces {
		piece := sealed[:min(len(sealed), pieceSize)]
		sealed = sealed[len(piece):]
		if piece == "" {
			http.SetCookie(w, l.cookie(l.piece(i), l.Prefix, "", -time.Second))
			continue
		}
		http.SetCookie(w, l.cookie(l.piece(i), l.Prefix, piece, 0))
	}
	return nil
}

// drop has the browser forget the session.
func (l *Login) drop(w http.ResponseWriter) {
	for i := range maxPieces {
		http.SetCookie(w, l.cookie(l.piece(i), l.Prefix, "", -time.Second))
	}
}
