// Package value holds the rules of text that all aggregates share: identifiers, letters and equality.
//
// Unicode has several spellings of one text, such as é in one or in two characters. Texts are kept in the composed form,
// NFC, and two texts are equal if Fold makes one of them: https://www.unicode.org/reports/tr15/
package value

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// ErrInvalidID answers an identifier that is not a UUID.
var ErrInvalidID = &eventsourcing.Refusal{
	Kind: eventsourcing.Invalid, Code: "invalid_id",
	Reason: "an id is a UUID in its canonical form of 36 characters, such as 01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57",
	Remedy: "send a UUID of 36 characters",
}

// ParseID returns text in lower case if it is a UUID in canonical form, of any version, and ErrInvalidID otherwise.
func ParseID(text string) (string, error) {
	if len(text) != 36 {
		return "", ErrInvalidID
	}
	for i := range len(text) {
		switch c := text[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return "", ErrInvalidID
			}
		default:
			if !isHex(c) {
				return "", ErrInvalidID
			}
		}
	}
	return strings.ToLower(text), nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// Fold returns the same text for all texts that differ only in case or in the spelling of the same characters, which is
// Unicode's canonical caseless match. ASCII folds to lower case. The result is in NFC; it is a key, not for display.
//
// Case is folded between two normalisations, because a letter can have marks of which only the other case is composed:
// https://www.unicode.org/versions/latest/core-spec/chapter-3/#G53513
func Fold(text string) string { return norm.NFC.String(FoldCase(norm.NFD.String(text))) }

// FoldCase returns the same text for all texts that differ in case only: FoldCase(a) == FoldCase(b) exactly when
// strings.EqualFold(a, b). It is the rule of the claims of former builds.
func FoldCase(text string) string { return strings.Map(foldRune, text) }

// Claims returns the claims of the keys, without repeated ones. An aggregate claims the key of a text and, where it differs,
// the key that former builds claim for it: they may run at the same time, and their claims are in the table.
func Claims(category, name string, keys ...string) []eventsourcing.Claim {
	var claims []eventsourcing.Claim
	for _, key := range keys {
		claim := eventsourcing.Claim{Category: category, Name: name, Value: key}
		if !slices.Contains(claims, claim) {
			claims = append(claims, claim)
		}
	}
	return claims
}

// Lower returns text in lower case. Letters whose lower case is another letter stay: U+0130, whose lower case is i.
func Lower(text string) string { return strings.Map(lowerRune, text) }

func lowerRune(r rune) rune {
	if lower := unicode.ToLower(r); foldRune(lower) == foldRune(r) {
		return lower
	}
	return r
}

// foldRune picks the lower case of r's orbit under unicode.SimpleFold. U+0130 and U+0131 have a lower or upper case but
// no orbit: they equal only themselves.
func foldRune(r rune) rune {
	next := unicode.SimpleFold(r)
	if next == r {
		return r
	}
	smallest := r
	for ; next != r; next = unicode.SimpleFold(next) {
		smallest = min(smallest, next)
	}
	return unicode.ToLower(unicode.ToUpper(smallest))
}

// IsLetter reports whether r is a letter of any script that can be seen: Unicode counts some blank fillers as letters,
// with which two names could look the same.
func IsLetter(r rune) bool { return unicode.IsLetter(r) && !IsInvisible(r) }

// IsMark reports whether r is a mark that can be seen, such as an accent that no letter is composed with. Variation
// selectors do not count: they choose between looks of one character.
func IsMark(r rune) bool {
	return unicode.IsMark(r) && !IsInvisible(r) && !unicode.Is(unicode.Variation_Selector, r)
}

// ConsistsOf reports whether text consists of letters, of marks that follow a letter, and of runes of which other is true.
func ConsistsOf(text string, other func(rune) bool) bool {
	afterLetter := false
	for _, r := range text {
		switch {
		case IsLetter(r):
			afterLetter = true
		case IsMark(r) && afterLetter:
		case other(r):
			afterLetter = false
		default:
			return false
		}
	}
	return true
}

// Compose returns text in NFC without the space around it. ok is false if text is not valid UTF-8.
func Compose(text string) (_ string, ok bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	return norm.NFC.String(strings.TrimSpace(text)), true
}

// IsInvisible reports whether r is a letter or mark that by default shows nothing, such as U+3164.
func IsInvisible(r rune) bool { return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) }
