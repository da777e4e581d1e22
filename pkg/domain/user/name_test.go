package user_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/leftfold/leftfold/pkg/domain/user"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]user.Name{
		"Dan":              "Dan",
		"  Anna   Maria\n": "Anna Maria",
		"O'Hara-Smith Jr.": "O'Hara-Smith Jr.",
		"Ж":                "Ж",
		"प्रिया":           "प्रिया", // with marks
		"Zoe\u0308":        "Zo\u00eb",
		"O\u2019Neill":     "O'Neill", // as telephones type it
		"Gal\u00b7la":      "Gal·la",
		"Gal\u0387la":      "Gal·la", // GREEK ANO TELEIA, canonically the same
		"\u0639\u0644\u06cc\u200c\u0631\u0636\u0627": "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
		"\u0915\u094d\u200d\u0937":                   "\u0915\u094d\u200d\u0937", // a joiner after a mark
		"\u09b0\u200d\u09cd\u09af":                   "\u09b0\u200d\u09cd\u09af", // and before one
		"محمد":                                       "محمد",
		"辻\U000E0100":                                "辻\U000E0100", // ideographic variant
		strings.Repeat("é", 50):                      user.Name(strings.Repeat("é", 50)),
		"a" + strings.Repeat(" ", 60) + "b":          "a b",
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
		"joiner first":     "\u200dDan",
		"joiner last":      "Dan\u200c",
		"two joiners":      "Dan\u200c\u200dO",
		"joiner and space": "Dan\u200c O",
		"middle dot first": "·Dan",
		"middle dot last":  "Dan·",
		"two middle dots":  "Gal··la",
		"left quote":       "O\u2018Neill",
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
			return unicode.IsDigit(r) || r != ' ' && r != '\u200c' && r != '\u200d' && (unicode.IsSpace(r) || !unicode.IsGraphic(r))
		}))
		assert.True(t, norm.NFC.IsNormalString(name))
		for _, form := range []norm.Form{norm.NFC, norm.NFD} {
			same, err := user.ParseName(form.String(text))
			require.NoError(t, err)
			assert.Equal(t, parsed, same)
		}
	})
}
