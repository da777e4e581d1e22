package role_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		"combining mark": "e\u0301diteur",
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
		assert.Empty(t, strings.Trim(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) {
				return -1
			}
			return r
		}, name), "-_"))
	})
}
