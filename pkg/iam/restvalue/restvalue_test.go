package restvalue_test

import (
	"regexp"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
)

// A schema must not refuse what the parser takes: clients check by it, and so does the API before it parses.
func TestSchemasAcceptWhatTheParsersAccept(t *testing.T) {
	t.Parallel()
	texts := []string{
		"Dan", "O'Neill", "O\u2019Neill", "Gal\u00b7la", "Gal\u0387la", "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
		"\u0915\u094d\u200d\u0937", "Jose\u0301", "प्रिया", "O'Hara-Smith Jr.", "e\u0301diteur", "\u1100\u1161", "\u0958",
		"read-only_users", "Dan 2", "<b>", "·", "dan@example.com", "x@bu\u0308cher.example", "x@xn--bcher-kva.example", "İnfo@x.y",
	}
	for name, c := range map[string]struct {
		schema *huma.Schema
		parse  func(string) error
	}{
		"user name": {restvalue.UserName("").Schema(nil), func(s string) error { _, err := user.ParseName(s); return err }},
		"role name": {restvalue.RoleName("").Schema(nil), func(s string) error { _, err := role.ParseName(s); return err }},
		"e-mail":    {restvalue.Email("").Schema(nil), func(s string) error { _, err := user.ParseEmail(s); return err }},
	} {
		pattern := regexp.MustCompile(c.schema.Pattern)
		accepted := 0
		for _, text := range texts {
			if c.parse(text) == nil {
				accepted++
				assert.Regexp(t, pattern, text, name)
				assert.LessOrEqual(t, utf8.RuneCountInString(text), *c.schema.MaxLength)
			}
		}
		require.GreaterOrEqual(t, accepted, 4, name)
		assert.NotRegexp(t, pattern, "<b>", name)
	}
}

func TestAnInstantIsKeptInMilliseconds(t *testing.T) {
	t.Parallel()
	at := func(text string) (time.Time, []error) {
		i := restvalue.Instant(text)
		errs := i.Resolve(nil, huma.NewPathBuffer(nil, 0))
		return i.Time(), errs
	}
	for text, want := range map[string]time.Time{
		"2030-01-31T18:00:00Z":                time.Date(2030, 1, 31, 18, 0, 0, 0, time.UTC),
		"2030-01-31T18:00:00.123456789+01:00": time.Date(2030, 1, 31, 17, 0, 0, 123e6, time.UTC),
		"9999-12-31T23:59:59.9999Z":           time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
	} {
		got, errs := at(text)
		assert.Empty(t, errs, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "tomorrow", "2030-01-31", "2030-01-31T18:00:00", "2030-02-30T18:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00",
	} {
		_, errs := at(text)
		assert.NotEmpty(t, errs, text)
	}
	assert.Zero(t, (*restvalue.Instant)(nil).Time())
}
