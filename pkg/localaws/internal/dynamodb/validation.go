package dynamodb

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

func invalid(format string, args ...any) *awsjson.Error {
	return awsjson.Errorf("ValidationException", format, args...)
}

// invalidParameter returns a ValidationException that begins as most of AWS's do.
func invalidParameter(format string, args ...any) *awsjson.Error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

// constraints collects the violations of the API model. AWS reports all of them at once, before any other check:
// "2 validation errors detected: Value 'x' at 'limit' failed to satisfy constraint: …; Value …".
type constraints struct{ violations []string }

func (k *constraints) violate(value, at, constraint string) {
	k.violations = append(k.violations, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, at, constraint))
}

func (k *constraints) required(present bool, at string) {
	if !present {
		k.violate("null", at, "Member must not be null")
	}
}

// oneOf accepts "", which means an absent member.
func (k *constraints) oneOf(value, at string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		k.violate("'"+value+"'", at, "Member must satisfy enum value set: ["+strings.Join(allowed, ", ")+"]")
	}
}

// between checks a number unless it is absent. A most of 0 means no upper bound.
func (k *constraints) between(value *int, at string, least, most int) {
	if value == nil {
		return
	}
	switch v := *value; {
	case v < least:
		k.violate(fmt.Sprintf("'%d'", v), at, fmt.Sprintf("Member must have value greater than or equal to %d", least))
	case most > 0 && v > most:
		k.violate(fmt.Sprintf("'%d'", v), at, fmt.Sprintf("Member must have value less than or equal to %d", most))
	}
}

// length checks a number of characters or members; value is shown in the message. A most of 0 means no upper bound.
func (k *constraints) length(n int, value, at string, least, most int) {
	switch {
	case n < least:
		k.violate("'"+value+"'", at, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	case most > 0 && n > most:
		k.violate("'"+value+"'", at, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

const namePattern = "[a-zA-Z0-9_.-]+"

var nameShape = regexp.MustCompile("^" + namePattern + "$")

// Table and index names. Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
func (k *constraints) name(value, at string) {
	if value == "" {
		k.required(false, at)
		return
	}
	if !nameShape.MatchString(value) {
		k.violate("'"+value+"'", at, "Member must satisfy regular expression pattern: "+namePattern)
	}
	k.length(len(value), value, at, 3, 255)
}

// table checks a TableName, which may be an ARN.
func (k *constraints) table(value string) { k.name(tableName(value), "tableName") }

func (k *constraints) err() error {
	switch len(k.violations) {
	case 0:
		return nil
	case 1:
		return invalid("1 validation error detected: %s", k.violations[0])
	default:
		return invalid("%d validation errors detected: %s", len(k.violations), strings.Join(k.violations, "; "))
	}
}

// tableName returns the name in a table's ARN, or the name itself; every operation accepts both.
func tableName(nameOrARN string) string {
	if strings.HasPrefix(nameOrARN, "arn:") {
		if _, name, ok := strings.Cut(nameOrARN, ":table/"); ok {
			return name
		}
	}
	return nameOrARN
}
