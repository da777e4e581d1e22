// Package value holds the rules of text that all aggregates share: identifiers, letters and equality ignoring case.
package value

import (
	"strings"
	"unicode"

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

// Fold returns the same text for all texts that differ in case only: Fold(a) == Fold(b) exactly when
// strings.EqualFold(a, b). ASCII folds to lower case. The result is a key, not for display.
func Fold(text string) string { return strings.Map(foldRune, text) }

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

// IsInvisible reports whether r is a letter or mark that by default shows nothing, such as U+3164.
func IsInvisible(r rune) bool { return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) }
