package user_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestParseEmail(t *testing.T) {
	t.Parallel()
	var (
		local64   = strings.Repeat("l", 64)
		label63   = strings.Repeat("d", 63)
		domain190 = strings.Repeat(label63[:62]+".", 3) + "d" // 3·63 + 1
	)
	for text, want := range map[string]user.Email{
		"dan@example.com":               "dan@example.com",
		" \tDan.O'Hara@Example.COM\r\n": "dan.o'hara@example.com",
		"!#$%&'*+-/=?^_`{|}~@a-b.c1":    "!#$%&'*+-/=?^_`{|}~@a-b.c1",
		"ΣΊΣΥΦΟΣ@Παράδειγμα.ελ":         "σίσυφοσ@παράδειγμα.ελ",
		"用户１２@例え.テスト":                   "用户１２@例え.テスト",
		"İNFO@x.y":                      "İnfo@x.y", // i would be another mailbox
		"I\u0307NFO@x.y":                "İnfo@x.y",
		"\u212AELVIN@x.y":               "kelvin@x.y",
		"\u1100\u1161\u1f71\uf900@x.y":  "\uac00\u03ac\u8c48@x.y",
		"e\u0301@x.y":                   "é@x.y",
		"\u0399\u0308\u0301@x.y":        "\u0390@x.y", // composed in lower case alone
		"x@BÜCHER.example":              "x@bücher.example",
		"x@bu\u0308cher.example":        "x@bücher.example",
		"x@XN--Bcher-KVA.example":       "x@bücher.example",
		"x@ｂücher.example":              "x@bücher.example", // one name in DNS
		"x@xn--nxasmm1c.example":        "x@βόλος.example",
		"x@xn--0.example":               "x@xn--0.example",     // not a label of letters
		"x@xn--i-7iq.ws":                "x@xn--i-7iq.ws",      // i and a heart
		"x@r3---sn-a.example":           "x@r3---sn-a.example", // hyphens as in names that are in use
		"x@प्रिया.example":              "x@प्रिया.example",
		"1@2.c3":                        "1@2.c3",
		local64 + "@" + label63 + ".d":  user.Email(local64 + "@" + label63 + ".d"),
		local64 + "@" + domain190:       user.Email(local64 + "@" + domain190), // 255
	} {
		got, err := user.ParseEmail(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for name, text := range map[string]string{
		"empty":                      "",
		"space":                      " ",
		"no @":                       "dan.example.com",
		"two @":                      "dan@home@example.com",
		"no local part":              "@example.com",
		"no domain":                  "dan@",
		"one label":                  "dan@localhost",
		"empty label":                "dan@example..com",
		"dot first in the domain":    "dan@.example.com",
		"dot last in the domain":     "dan@example.com.",
		"dot first":                  ".dan@example.com",
		"dot last":                   "dan.@example.com",
		"two dots":                   "dan..o@example.com",
		"quoted":                     `"dan"@example.com`,
		"with a name":                "Dan <dan@example.com>",
		"with a comment":             "dan(home)@example.com",
		"two addresses":              "dan@example.com,ann@example.com",
		"space inside":               "dan o@example.com",
		"no-break space inside":      "dan\u00a0o@example.com",
		"NUL":                        "dan\x00@example.com",
		"line break":                 "dan@example.com\nann",
		"DEL":                        "dan\x7f@example.com",
		"C1 control":                 "dan\u0085o@example.com",
		"invalid UTF-8":              "dan\xff@example.com",
		"surrogate in UTF-8":         "dan\xed\xa0\x80@example.com",
		"U+FFFD":                     "dan\uFFFD@example.com",
		"zero-width space":           "dan\u200b@example.com",
		"right-to-left override":     "dan\u202e@example.com",
		"blank letter":               "dan\u3164@example.com",
		"byte-order mark":            "\uFEFFdan@example.com",
		"mark first":                 "\u0301dan@example.com",
		"mark after a symbol":        "dan=\u0338@example.com",
		"label of 64 as A-label":     "dan@" + strings.Repeat("é", 60) + ".com",
		"hyphen first":               "dan@-example.com",
		"hyphen last":                "dan@example-.com",
		"underscore in the domain":   "dan@ex_ample.com",
		"address literal":            "dan@[127.0.0.1]",
		"address":                    "dan@127.0.0.1",
		"other digits in a label":    "dan@exampl٣.com",
		"full-width @":               "dan＠example.com",
		"local part of 65":           "l" + local64 + "@example.com",
		"local part of 66 in octets": strings.Repeat("é", 33) + "@example.com",
		"label of 64":                "dan@d" + label63 + ".com",
		"256 characters":             local64 + "@d" + domain190,
	} {
		got, err := user.ParseEmail(text)
		assert.Same(t, user.ErrInvalidEmail, err, name)
		assert.Empty(t, got, name)
	}
}

func TestEmailSpellingsFindBothFormsOfADomain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"U4@EXAMPLE":        {"u4@example", "u4@example", "u4@example"},
		"İnfo":              {"İnfo", "i\u0307nfo", "xn--info-qwc"},
		"@Bücher.example":   {"@bücher.example", "@bücher.example", "@xn--bcher-kva.example"},
		"xn--bcher-kva.exa": {"xn--bcher-kva.exa", "bücher.exa", "xn--bcher-kva.exa"},
		"a b":               {"a b", "a b", "a b"},
	} {
		assert.Equal(t, want, user.EmailSpellings(text), text)
	}
}

func FuzzParseEmail(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		email, err := user.ParseEmail(text)
		if err != nil {
			assert.Same(t, user.ErrInvalidEmail, err)
			assert.Empty(t, email)
			return
		}
		again, err := user.ParseEmail(string(email))
		require.NoError(t, err)
		assert.Equal(t, email, again)

		canonical := string(email)
		assert.True(t, utf8.ValidString(canonical))
		assert.LessOrEqual(t, utf8.RuneCountInString(canonical), 255)
		assert.Equal(t, strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(canonical, "İ", "%")), "%", "İ"),
			strings.ReplaceAll(canonical, "%", "İ"))
		assert.True(t, norm.NFC.IsNormalString(canonical))
		for _, form := range []norm.Form{norm.NFC, norm.NFD} {
			same, err := user.ParseEmail(form.String(text))
			require.NoError(t, err)
			assert.Equal(t, email, same)
		}
		claims := func(e user.Email) []eventsourcing.Claim { return user.Claims(user.State{Registered: true, Email: e}) }
		local, host, _ := strings.Cut(canonical, "@")
		if ascii, err := idna.Lookup.ToASCII(host); err == nil {
			assert.Equal(t, claims(email)[0], claims(user.Email(local + "@" + ascii))[0], "one key for each form of the domain")
		}
		assert.Equal(t, claims(email)[0], claims(user.Email(norm.NFD.String(canonical)))[0], "one key for each form")
		assert.Equal(t, 1, strings.Count(canonical, "@"))
		assert.LessOrEqual(t, strings.IndexByte(canonical, '@'), 64)
		assert.False(t, strings.ContainsFunc(canonical, func(r rune) bool {
			return unicode.IsSpace(r) || !unicode.IsGraphic(r)
		}))
	})
}
