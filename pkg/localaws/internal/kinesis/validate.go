package kinesis

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// The patterns of the API's shapes, as AWS quotes them in its errors.
const (
	namePattern     = `[a-zA-Z0-9_.-]+`
	arnPattern      = `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`
	consumerPattern = `(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`
	hashKeyPattern  = `0|([1-9]\d{0,38})`
	sequencePattern = `0|([1-9]\d{0,128})`
)

var patterns = map[string]*regexp.Regexp{ // read only
	namePattern:     regexp.MustCompile(`^(` + namePattern + `)$`),
	arnPattern:      regexp.MustCompile(`^(` + arnPattern + `)$`),
	consumerPattern: regexp.MustCompile(`^` + consumerPattern),
	hashKeyPattern:  regexp.MustCompile(`^(` + hashKeyPattern + `)$`),
	sequencePattern: regexp.MustCompile(`^(` + sequencePattern + `)$`),
}

// violations collects the constraints that a request violates; AWS reports all of them at once. The parameters named at are
// paths as AWS writes them: "records.1.member.data". An absent member violates only required.
type violations []string

// err returns nil if the request is well formed.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	plural := "s"
	if len(v) == 1 {
		plural = ""
	}
	return awsjson.Errorf("ValidationException", "%d validation error%s detected: %s", len(v), plural, strings.Join(v, "; "))
}

// add records that the member at a path violates a constraint. A value of "" is not shown.
func (v *violations) add(value, at, constraint string) {
	if value != "" {
		value += " "
	}
	*v = append(*v, "Value "+value+"at '"+at+"' failed to satisfy constraint: "+constraint)
}

func (v *violations) required(at string, given bool) {
	if !given {
		v.add("null", at, "Member must not be null")
	}
}

func (v *violations) matches(at string, s *string, pattern string) {
	if s != nil && !patterns[pattern].MatchString(*s) {
		v.add("'"+*s+"'", at, "Member must satisfy regular expression pattern: "+pattern)
	}
}

// length counts characters.
func (v *violations) length(at string, s *string, atLeast, atMost int) {
	if s == nil {
		return
	}
	switch n := utf8.RuneCountInString(*s); {
	case n < atLeast:
		v.add("'"+*s+"'", at, fmt.Sprintf("Member must have length greater than or equal to %d", atLeast))
	case n > atMost:
		v.add("'"+*s+"'", at, fmt.Sprintf("Member must have length less than or equal to %d", atMost))
	}
}

// size checks a list or map that is present; AWS does not show its value.
func (v *violations) size(at string, n, atLeast, atMost int) {
	switch {
	case n < atLeast:
		v.add("", at, fmt.Sprintf("Member must have length greater than or equal to %d", atLeast))
	case n > atMost:
		v.add("", at, fmt.Sprintf("Member must have length less than or equal to %d", atMost))
	}
}

func (v *violations) between(at string, n *int, atLeast, atMost int) {
	switch {
	case n == nil:
	case *n < atLeast:
		v.add(fmt.Sprintf("'%d'", *n), at, fmt.Sprintf("Member must have value greater than or equal to %d", atLeast))
	case *n > atMost:
		v.add(fmt.Sprintf("'%d'", *n), at, fmt.Sprintf("Member must have value less than or equal to %d", atMost))
	}
}

func (v *violations) oneOf(at string, s *string, values ...string) {
	if s == nil {
		return
	}
	if slices.Contains(values, *s) {
		return
	}
	v.add("'"+*s+"'", at, "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
}

// name checks the name of a stream or shard.
func (v *violations) name(at string, s *string) {
	v.matches(at, s, namePattern)
	v.length(at, s, 1, 128)
}

func (v *violations) arn(s *string) {
	v.matches("streamARN", s, arnPattern)
	v.length("streamARN", s, 1, 2048)
}

func (v *violations) consumerARN(s *string) {
	v.matches("consumerARN", s, consumerPattern)
	v.length("consumerARN", s, 1, 2048)
}
