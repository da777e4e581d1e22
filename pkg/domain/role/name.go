package role

import (
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

const maxName = 30 // characters

// Name is what a role is called, in the case it was given. It is in NFC, but former builds kept it as it was. Make one with
// ParseName.
type Name string

// ParseName drops the space around text, composes it and refuses with ErrInvalidName what then is not 1 to 30 letters of
// any script with their marks, hyphens and underscores, with at least one letter.
func ParseName(text string) (Name, error) {
	name, ok := value.Compose(text)
	if !ok || utf8.RuneCountInString(name) > maxName ||
		!strings.ContainsFunc(name, value.IsLetter) || !value.ConsistsOf(name, isPunctuation) {
		return "", ErrInvalidName
	}
	return Name(name), nil
}

func isPunctuation(r rune) bool { return r == '-' || r == '_' }
