package user

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

const maxName = 50 // characters

// Name is a user's first or last name in canonical form. Make one with ParseName.
type Name string

// ParseName drops the space around text, collapses runs of spaces within it and refuses with ErrInvalidName what then
// is not 1 to 50 letters and their marks, spaces, apostrophes, hyphens and dots, with at least one letter.
func ParseName(text string) (Name, error) {
	if !utf8.ValidString(text) {
		return "", ErrInvalidName
	}
	words := strings.FieldsFunc(strings.TrimSpace(text), func(r rune) bool { return r == ' ' })
	name := strings.Join(words, " ")
	if utf8.RuneCountInString(name) > maxName ||
		!strings.ContainsFunc(name, value.IsLetter) || strings.ContainsFunc(name, isNoNameText) {
		return "", ErrInvalidName
	}
	return Name(name), nil
}

func isNoNameText(r rune) bool {
	isMark := unicode.IsMark(r) && !value.IsInvisible(r)
	return !value.IsLetter(r) && !isMark && !strings.ContainsRune(" '-.", r)
}
