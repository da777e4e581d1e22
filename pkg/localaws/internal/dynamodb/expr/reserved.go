package expr

import (
	_ "embed"
	"strings"
	"sync"
)

// reservedWords is sorted, one word per line. "FLATTERN", "INNTER" and "LOGED" are AWS's spelling.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html
//
//go:embed reserved.txt
var reservedWords string

var reservedSet = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(reservedWords) {
		set[word] = true
	}
	return set
})

// reserved reports whether a name needs a placeholder. It ignores case.
func reserved(name string) bool { return reservedSet()[strings.ToUpper(name)] }
