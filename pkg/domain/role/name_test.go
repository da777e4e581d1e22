package role_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/leftfold/leftfold/pkg/domain/role"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]role.Name{
		"Admin":                 "Admin",
		"\tread-only_users ":    "read-only_users",
		"Ж":                     "Ж",
		"管理者":                   "管理者",
		strings.Repeat("é", 30): role.Name(strings.Repeat("é", 30)),
		"e\u0301diteur":         "éditeur",
		"\u1100\u1161":          "\uac00",
		"\u1f71\uf900":          "\u03ac\u8c48",
		"\u0958":                "\u0915\u093c", // a letter that is never composed
		"\u0915\u093c":          "\u0915\u093c",
	} {
		got, err := role.ParseName(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for name, text := range map[string]string{
		"empty":          "",
		"space":          "  ",
		"no letter":      "-_",
		"digit":          "admin2",
		"inner space":    "read only",
		"dot":            "org.admin",
		"apostrophe":     "admin's",
		"mark only":      "\u0301",
		"mark after -":   "a-\u0301",
		"variation":      "a\ufe0f",
		"invisible mark": "a\u034f",
		"blank letter":   "admin\u3164",
		"joiner":         "ad\u200dmin",
		"NUL":            "admin\x00",
		"line break":     "admin\nroot",
		"markup":         "<admin>",
		"invalid UTF-8":  "admin\xc3",
		"invalid at end": "admin \xff",
		"U+FFFD":         "admin\uFFFD",
		"31 characters":  strings.Repeat("é", 31),
	} {
		got, err := role.ParseName(text)
		assert.Same(t, role.ErrInvalidName, err, name)
		assert.Empty(t, got, name)
	}
}

func FuzzParseName(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := role.ParseName(text)
		if err != nil {
			assert.Same(t, role.ErrInvalidName, err)
			assert.Empty(t, parsed)
			return
		}
		again, err := role.ParseName(string(parsed))
		require.NoError(t, err)
		assert.Equal(t, parsed, again)

		name := string(parsed)
		assert.True(t, utf8.ValidString(name))
		assert.LessOrEqual(t, utf8.RuneCountInString(name), 30)
		assert.True(t, strings.ContainsFunc(name, unicode.IsLetter))
		for _, form := range []norm.Form{norm.NFC, norm.NFD} {
			same, err := role.ParseName(form.String(text))
			require.NoError(t, err)
			assert.Equal(t, parsed, same)
		}
		assert.Empty(t, strings.Trim(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsMark(r) {
				return -1
			}
			return r
		}, name), "-_"))
	})
}
