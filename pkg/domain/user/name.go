package user

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

const maxName = 50 // characters

// NameRule is what a Name consists of. ParseName adds only that it does not look different from what it is.
const NameRule = "letters of any script with their marks, spaces, ' - and ., at least one of them a letter; " +
	"between letters also · and the joiners U+200C and U+200D"

// Name is a user's first or last name in canonical form. Make one with ParseName.
type Name string

// ParseName drops the space around text, collapses runs of spaces within it, composes it (NFC) and replaces the apostrophe
// U+2019, which telephones type, by '. It refuses with ErrInvalidName what then is not 1 to 50 characters of NameRule, or
// has invisible letters or marks.
func ParseName(text string) (Name, error) {
	name, ok := value.Compose(text)
	if !ok {
		return "", ErrInvalidName
	}
	words := strings.FieldsFunc(strings.ReplaceAll(name, "\u2019", "'"), func(r rune) bool { return r == ' ' })
	name = strings.Join(words, " ")
	if utf8.RuneCountInString(name) > maxName || !strings.ContainsFunc(name, value.IsLetter) || !isName(name) {
		return "", ErrInvalidName
	}
	return Name(name), nil
}

// isName does not ask for a letter.
func isName(name string) bool {
	before := ' '
	for i, r := range name {
		after, _ := utf8.DecodeRuneInString(name[i+utf8.RuneLen(r):])
		switch {
		case isLetterOrMark(r), strings.ContainsRune(" '-.", r):
		case strings.ContainsRune("\u00b7\u200c\u200d", r) && isLetterOrMark(before) && isLetterOrMark(after):
		default:
			return false
		}
		before = r
	}
	return true
}

func isLetterOrMark(r rune) bool {
	return value.IsLetter(r) || unicode.IsMark(r) && !value.IsInvisible(r)
}
