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

func TestParseName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]user.Name{
		"Dan":                               "Dan",
		"  Anna   Maria\n":                  "Anna Maria",
		"O'Hara-Smith Jr.":                  "O'Hara-Smith Jr.",
		"Ж":                                 "Ж",
		"प्रिया":                            "प्रिया", // with marks
		"Zoe\u0308":                         "Zoe\u0308",
		"محمد":                              "محمد",
		"辻\U000E0100":                       "辻\U000E0100", // ideographic variant
		strings.Repeat("é", 50):             user.Name(strings.Repeat("é", 50)),
		"a" + strings.Repeat(" ", 60) + "b": "a b",
	} {
		got, err := user.ParseName(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"space":            " \t",
		"no letter":        "'-. .",
		"mark only":        "\u0301",
		"digit":            "Dan 2",
		"other digit":      "Dan ٢",
		"letter number":    "Dan Ⅷ",
		"underscore":       "Dan_O",
		"tab inside":       "Dan\tO",
		"line break":       "Dan\nO",
		"no-break space":   "Dan\u00a0O",
		"NUL":              "Dan\x00",
		"markup":           "<b>Dan</b>",
		"emoji":            "Dan😀",
		"invalid UTF-8":    "Dan\xc3",
		"U+FFFD":           "Dan\uFFFD",
		"zero-width space": "Dan\u200bO",
		"blank letter":     "\u3164",
		"invisible mark":   "Dan\u034f",
		"51 characters":    strings.Repeat("é", 51),
	} {
		got, err := user.ParseName(text)
		assert.Same(t, user.ErrInvalidName, err, name)
		assert.Empty(t, got, name)
	}
}

func FuzzParseName(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := user.ParseName(text)
		if err != nil {
			assert.Same(t, user.ErrInvalidName, err)
			assert.Empty(t, parsed)
			return
		}
		again, err := user.ParseName(string(parsed))
		require.NoError(t, err)
		assert.Equal(t, parsed, again)

		name := string(parsed)
		assert.True(t, utf8.ValidString(name))
		assert.LessOrEqual(t, utf8.RuneCountInString(name), 50)
		assert.Equal(t, strings.TrimSpace(name), name)
		assert.NotContains(t, name, "  ")
		assert.True(t, strings.ContainsFunc(name, unicode.IsLetter))
		assert.False(t, strings.ContainsFunc(name, func(r rune) bool {
			return unicode.IsDigit(r) || r != ' ' && (unicode.IsSpace(r) || !unicode.IsGraphic(r))
		}))
	})
}
