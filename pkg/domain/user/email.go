package user

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

// Limits of an e-mail.
const (
	maxEmail = 255 // characters
	maxLocal = 64  // octets, https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.1
	maxLabel = 63  // octets, https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
)

// Email is an address in canonical form, that is in lower case. Make one with ParseEmail.
type Email string

// ParseEmail refuses with ErrInvalidEmail what is not an address of a dot-atom and a host name, in which letters of any
// script may stand for ASCII's (https://www.rfc-editor.org/rfc/rfc5322#section-3.2.3, rfc6531). Quoted local parts,
// comments, address literals and host names without a dot are refused. Space around the address is dropped.
func ParseEmail(text string) (Email, error) {
	if !utf8.ValidString(text) {
		return "", ErrInvalidEmail
	}
	email := strings.ToLower(strings.TrimSpace(text))
	local, domain, ok := strings.Cut(email, "@")
	if !ok || utf8.RuneCountInString(email) > maxEmail || !isDotAtom(local) || !isHostName(domain) {
		return "", ErrInvalidEmail
	}
	return Email(email), nil
}

func isDotAtom(local string) bool {
	if len(local) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || strings.ContainsFunc(atom, isNoAtomText) {
			return false
		}
	}
	return true
}

func isNoAtomText(r rune) bool {
	return !value.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// isHostName refuses a last label that is a number: that would be an IP address.
func isHostName(domain string) bool {
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, isNoLabelText) {
			return false
		}
	}
	return len(labels) >= 2 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func isNoLabelText(r rune) bool {
	return !value.IsLetter(r) && ('0' > r || r > '9') && r != '-'
}
