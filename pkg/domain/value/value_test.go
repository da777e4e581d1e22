package value_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	for _, text := range []string{id, strings.ToUpper(id)} {
		got, err := value.ParseID(text)
		require.NoError(t, err, text)
		assert.Equal(t, id, got)
	}
	for name, text := range map[string]string{
		"empty":            "",
		"too short":        id[1:],
		"too long":         id + "0",
		"space around":     " " + id,
		"in braces":        "{" + id + "}",
		"URN":              "urn:uuid:" + id,
		"no hyphens":       strings.ReplaceAll(id, "-", ""),
		"hyphen misplaced": "01920b7-c5e3a-7c4d-9b1e-3f2a6d8c0e57",
		"hyphens only":     strings.Repeat("-", 36),
		"digits only":      strings.Repeat("0", 36),
		"not hexadecimal":  "g" + id[1:],
		"slash":            "/" + id[1:],
		"36 octets of é":   strings.Repeat("é", 18),
		"other digits":     "٠" + id[2:], // ARABIC-INDIC ZERO, two octets
		"NUL":              "\x00" + id[1:],
	} {
		got, err := value.ParseID(text)
		assert.Same(t, value.ErrInvalidID, err, name)
		assert.Empty(t, got, name)
	}
}

// Every rune there is: so Fold is right for all text.
func TestFoldAgreesWithEqualFoldForEveryRune(t *testing.T) {
	t.Parallel()
	for r := range unicode.MaxRune + 1 {
		text, folded := string(r), value.Fold(string(r))
		if folded != text && !strings.EqualFold(folded, text) {
			t.Fatalf("%U folds to %q, which is another letter", r, folded)
		}
		if next := unicode.SimpleFold(r); next != r && value.Fold(string(next)) != folded {
			t.Fatalf("%U and %U are the same letter, but fold apart", r, next)
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Dan@Example.COM": "dan@example.com",
		"ΣΊΣΥΦΟΣ":         "σίσυφοσ",
		"σίσυφος":         "σίσυφοσ", // final sigma
		"\u212Aelvin":     "kelvin",  // KELVIN SIGN
		"\u017Fam":        "sam",     // LONG S
		"İI":              "İi",      // no simple fold of U+0130
		"":                "",
		"\xff":            "\uFFFD",
	} {
		assert.Equal(t, want, value.Fold(text), text)
	}
}

func FuzzFold(f *testing.F) {
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, want := value.Fold(a) == value.Fold(b), strings.EqualFold(a, b); got != want {
			t.Errorf("%q folds to %q, %q to %q; EqualFold: %t", a, value.Fold(a), b, value.Fold(b), want)
		}
		if upper := strings.ToUpper(a); strings.EqualFold(a, upper) && value.Fold(a) != value.Fold(upper) {
			t.Errorf("%q and %q fold apart", a, upper)
		}
	})
}

func TestLettersAreVisible(t *testing.T) {
	t.Parallel()
	for _, r := range "aÉßжα中あ한ا\u02BC" {
		assert.True(t, value.IsLetter(r), "%U", r)
	}
	// The blank letters of Hangul, a number, a mark, a joiner and what invalid UTF-8 is read as.
	for _, r := range []rune{0x115F, 0x1160, 0x3164, 0xFFA0, '1', 0x0301, 0x200D, unicode.ReplacementChar} {
		assert.False(t, value.IsLetter(r), "%U", r)
	}
}
