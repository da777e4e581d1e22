package user_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
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
		"İ@x.y":                         "i@x.y",
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
		assert.Equal(t, strings.ToLower(canonical), canonical)
		assert.Equal(t, 1, strings.Count(canonical, "@"))
		assert.LessOrEqual(t, strings.IndexByte(canonical, '@'), 64)
		assert.False(t, strings.ContainsFunc(canonical, func(r rune) bool {
			return unicode.IsSpace(r) || !unicode.IsGraphic(r)
		}))
	})
}
