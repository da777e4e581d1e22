package role

import (
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/domain/value"
)

const maxName = 30 // characters

// Name is what a role is called, in the case it was given. Make one with ParseName.
type Name string

// ParseName drops the space around text and refuses with ErrInvalidName what then is not 1 to 30 letters of any script,
// hyphens and underscores, with at least one letter. Combining marks are refused: with them one name could be written
// in two ways.
func ParseName(text string) (Name, error) {
	name := strings.TrimSpace(text)
	if !utf8.ValidString(text) || utf8.RuneCountInString(name) > maxName ||
		!strings.ContainsFunc(name, value.IsLetter) || strings.ContainsFunc(name, isNoNameText) {
		return "", ErrInvalidName
	}
	return Name(name), nil
}

func isNoNameText(r rune) bool { return !value.IsLetter(r) && r != '-' && r != '_' }
