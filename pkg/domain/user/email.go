package user

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

// Limits of an e-mail.
const (
	maxEmail = 255 // characters
	maxLocal = 64  // octets, https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1.1
	maxLabel = 63  // octets of the A-label, https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
)

// Email is an address in canonical form: in NFC and lower case, and a domain of U-labels, such as bücher for xn--bcher-kva.
// Letters whose lower case is another letter stay, because the address with the other letter may be another mailbox's. Make
// one with ParseEmail. Addresses of former builds may be in another form.
type Email string

// ParseEmail refuses with ErrInvalidEmail what is not an address of a dot-atom and a host name, in which letters of any
// script may stand for ASCII's (https://www.rfc-editor.org/rfc/rfc5322#section-3.2.3, rfc6531). Quoted local parts,
// comments, address literals and host names without a dot are refused. Space around the address is dropped.
func ParseEmail(text string) (Email, error) {
	email, ok := value.Compose(text)
	if !ok {
		return "", ErrInvalidEmail
	}
	email, _ = value.Compose(value.Lower(email))
	local, host, ok := strings.Cut(email, "@")
	if !ok || !isDotAtom(local) {
		return "", ErrInvalidEmail
	}
	host, ok = canonicalHost(host)
	email = local + "@" + host
	if !ok || utf8.RuneCountInString(email) > maxEmail {
		return "", ErrInvalidEmail
	}
	return Email(email), nil
}

// key is the same for all addresses of one mailbox: folded, with a domain of A-labels.
func (e Email) key() string {
	return value.Fold(upToAt(string(e))) + eachLabel(string(e), func(label string) string {
		return convert(hosts.ToASCII, value.Fold(convert(hosts.ToUnicode, label)))
	})
}

// Equal reports whether both are addresses of one mailbox.
func (e Email) Equal(other Email) bool { return e.key() == other.key() }

// EmailSpellings returns the texts of which an Email has one as a part if it has text, in any case: former builds kept the
// labels of the domain as they were given.
func EmailSpellings(text string) []string {
	text = value.Lower(text)
	spellings := []string{text}
	for _, to := range []func(string) (string, error){hosts.ToUnicode, hosts.ToASCII} {
		spellings = append(spellings, upToAt(text)+eachLabel(text, func(label string) string { return convert(to, label) }))
	}
	return spellings
}

// upToAt returns what precedes the domain.
func upToAt(email string) string { return email[:strings.LastIndexByte(email, '@')+1] }

// eachLabel returns the domain with each of its labels converted. Text without @ is a domain.
func eachLabel(email string, to func(string) string) string {
	labels := strings.Split(email[len(upToAt(email)):], ".")
	for i, label := range labels {
		labels[i] = to(label)
	}
	return strings.Join(labels, ".")
}

// convert returns the label as it is if it is none.
func convert(to func(string) (string, error), label string) string {
	if converted, err := to(label); err == nil {
		return converted
	}
	return label
}

func isDotAtom(local string) bool {
	if len(local) > maxLocal {
		return false
	}
	for atom := range strings.SplitSeq(local, ".") {
		if atom == "" || !value.ConsistsOf(atom, isAtomText) {
			return false
		}
	}
	return true
}

func isAtomText(r rune) bool {
	return unicode.IsDigit(r) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// hosts maps labels as browsers do for a look-up: https://www.unicode.org/reports/tr46/. Hyphens may stand anywhere, as in
// names that are in use.
var hosts = idna.New(idna.MapForLookup(), idna.CheckHyphens(false))

// canonicalHost refuses a last label that is a number: that would be an IP address.
func canonicalHost(host string) (_ string, ok bool) {
	labels := strings.Split(host, ".")
	for i, label := range labels {
		if labels[i], ok = canonicalLabel(label); !ok {
			return "", false
		}
	}
	return strings.Join(labels, "."), len(labels) >= 2 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// canonicalLabel returns the U-label. An A-label stays if it is not that of letters: its U-label could not be told from
// another, or is none.
func canonicalLabel(label string) (_ string, ok bool) {
	if !isLabel(label) {
		return "", false
	}
	decoded, err := hosts.ToUnicode(label)
	encoded, errEncoded := hosts.ToASCII(decoded)
	if err == nil && errEncoded == nil && isLabel(decoded) && len(encoded) <= maxLabel {
		return decoded, true
	}
	return label, isASCII(label) && len(label) <= maxLabel
}

func isLabel(label string) bool {
	return label != "" && label[0] != '-' && label[len(label)-1] != '-' && value.ConsistsOf(label, isLabelText)
}

func isLabelText(r rune) bool { return '0' <= r && r <= '9' || r == '-' }

func isASCII(label string) bool {
	return !strings.ContainsFunc(label, func(r rune) bool { return r > unicode.MaxASCII })
}
