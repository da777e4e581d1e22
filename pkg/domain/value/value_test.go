package value_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
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

// Every rune there is: so FoldCase is right for all text.
func TestFoldCaseAgreesWithEqualFoldForEveryRune(t *testing.T) {
	t.Parallel()
	for r := range unicode.MaxRune + 1 {
		text, folded := string(r), value.FoldCase(string(r))
		if folded != text && !strings.EqualFold(folded, text) {
			t.Fatalf("%U folds to %q, which is another letter", r, folded)
		}
		if next := unicode.SimpleFold(r); next != r && value.FoldCase(string(next)) != folded {
			t.Fatalf("%U and %U are the same letter, but fold apart", r, next)
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Dan@Example.COM":    "dan@example.com",
		"ΣΊΣΥΦΟΣ":            "σίσυφοσ",
		"σίσυφος":            "σίσυφοσ",  // final sigma
		"\u212Aelvin":        "kelvin",   // KELVIN SIGN
		"\u017Fam":           "sam",      // LONG S
		"İI":                 "i\u0307i", // not i: no simple fold of U+0130
		"Cafe\u0301":         "caf\u00e9",
		"\u0399\u0308\u0301": "\u0390", // no upper case is composed of all three
		"\u0391\u0301\u0345": "\u03ac\u03b9",
		"\u1fb4":             "\u03ac\u03b9", // its lower case
		"\u212B":             "\u00e5",       // ANGSTROM SIGN
		"":                   "",
		"\xff":               "\uFFFD",
	} {
		assert.Equal(t, want, value.Fold(text), text)
	}
}

func FuzzFold(f *testing.F) {
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, want := value.FoldCase(a) == value.FoldCase(b), strings.EqualFold(a, b); got != want {
			t.Errorf("%q folds to %q, %q to %q; EqualFold: %t", a, value.FoldCase(a), b, value.FoldCase(b), want)
		}
		if got, want := value.Fold(a) == value.Fold(b), strings.EqualFold(norm.NFD.String(a), norm.NFD.String(b)); want && !got {
			t.Errorf("%q folds to %q, %q to %q", a, value.Fold(a), b, value.Fold(b))
		}
		folded := value.Fold(a)
		for _, same := range []string{folded, norm.NFC.String(a), norm.NFD.String(a), strings.ToUpper(norm.NFD.String(a))} {
			if strings.EqualFold(norm.NFD.String(same), norm.NFD.String(a)) && value.Fold(same) != folded {
				t.Errorf("%q and %q fold apart", a, same)
			}
		}
	})
}

// Each rune alone, in either form and case, with a mark that makes a difference to some.
func TestFoldIsTheSameForEachSpellingOfEveryRune(t *testing.T) {
	t.Parallel()
	for r := range unicode.MaxRune + 1 {
		if unicode.SimpleFold(r) == r && norm.NFD.IsNormalString(string(r)) {
			continue // it has one spelling
		}
		for _, text := range []string{string(r), string(r) + "\u0301"} {
			folded := value.Fold(text)
			spellings := []string{norm.NFC.String(text), norm.NFD.String(text), folded}
			// U+0345 is a mark whose upper case is a letter: before another mark they are not the same.
			if next := unicode.SimpleFold(r); unicode.IsMark(next) == unicode.IsMark(r) {
				spellings = append(spellings, strings.Replace(text, string(r), string(next), 1))
			}
			for _, same := range spellings {
				if value.Fold(same) != folded {
					t.Fatalf("%q folds to %q, but %q to %q", text, folded, same, value.Fold(same))
				}
			}
		}
		lower := value.Lower(string(r))
		if value.FoldCase(lower) != value.FoldCase(string(r)) {
			t.Fatalf("the lower case of %U is %q, which is another letter", r, lower)
		}
		if r != '\u0130' && utf8.ValidRune(r) && lower != strings.ToLower(string(r)) {
			t.Fatalf("%U stays %q", r, lower)
		}
	}
}

func TestClaimsHoldTheKeyAndThatOfFormerBuilds(t *testing.T) {
	t.Parallel()
	claim := func(value string) eventsourcing.Claim {
		return eventsourcing.Claim{Category: "c", Name: "n", Value: value}
	}
	assert.Equal(t, []eventsourcing.Claim{claim("a")}, value.Claims("c", "n", "a", "a"))
	assert.Equal(t, []eventsourcing.Claim{claim("a"), claim("b")}, value.Claims("c", "n", "a", "b"))
}

func TestComposeAndConsistsOf(t *testing.T) {
	t.Parallel()
	text, ok := value.Compose(" e\u0301 \t")
	assert.True(t, ok)
	assert.Equal(t, "\u00e9", text)
	_, ok = value.Compose("e\xcc")
	assert.False(t, ok)
	isDash := func(r rune) bool { return r == '-' }
	for text, want := range map[string]bool{
		"": true, "a-b": true, "\u0915\u093c\u0308-": true, "a_": false,
		"\u0301": false, "-\u0301": false, // marks of no letter
		"a\ufe0f": false, "a\u034f": false, "a\U000E0100": false, // marks that show nothing of their own
	} {
		assert.Equal(t, want, value.ConsistsOf(text, isDash), "%q", text)
	}
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
