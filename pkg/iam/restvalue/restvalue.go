// Package restvalue defines the string types of request fields. Each has a schema and a parser, which replaces the text by
// its canonical form or reports what is wrong with it.
package restvalue

import (
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// canonical replaces text by what parse makes of it.
func canonical[T, V ~string](at *huma.PathBuffer, text *T, parse func(string) (V, error)) []error {
	return httpapi.Parse(at.String(), text, string(*text), func(s string) (T, error) {
		v, err := parse(s)
		return T(v), err
	})
}

const (
	uuidPattern = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
	uuidMeaning = "a UUID of 36 characters"
)

// ID is the id of an aggregate that exists already.
type ID string

// Schema implements huma.SchemaProvider.
func (ID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^" + uuidPattern, PatternDescription: uuidMeaning}
}

// Resolve implements huma.ResolverWithPath.
func (id *ID) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return canonical(at, id, value.ParseID)
}

// NewID is the ID for a new aggregate. If the client leaves it empty, a UUIDv7 is made, which sorts by time.
type NewID string

// Schema implements huma.SchemaProvider.
func (NewID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: "^$|^" + uuidPattern, PatternDescription: uuidMeaning,
		Description: "an id of your choice; made for you if left out",
	}
}

// Resolve implements huma.ResolverWithPath.
func (id *NewID) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if *id == "" {
		*id = NewID(uuid.Must(uuid.NewV7()).String())
	}
	return canonical(at, id, value.ParseID)
}

// Email is a user's e-mail address.
type Email string

// Schema implements huma.SchemaProvider.
func (Email) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MaxLength: new(255), Pattern: `^\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*$`,
		PatternDescription: "an e-mail address: local@domain",
		Description:        "unique ignoring case and spelling in Unicode; a domain is shown in letters, bücher for xn--bcher-kva",
	}
}

// Resolve implements huma.ResolverWithPath.
func (e *Email) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return canonical(at, e, user.ParseEmail)
}

// inName is what user.NameRule lists, and U+0387, which is composed to ·. What may only be between letters is checked by the
// parser.
const inName = `\p{L}\p{M}' .’·` + "\u0387\u200c\u200d-"

// UserName is a user's first or last name.
type UserName string

// Schema implements huma.SchemaProvider.
func (UserName) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MinLength: new(1), MaxLength: new(50), Pattern: "^[" + inName + "]*\\p{L}[" + inName + "]*$",
		PatternDescription: user.NameRule, Description: user.NameRule + "; ’ becomes '",
	}
}

// Resolve implements huma.ResolverWithPath.
func (n *UserName) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return canonical(at, n, user.ParseName)
}

// RoleName is a role's name.
type RoleName string

// Schema implements huma.SchemaProvider.
func (RoleName) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MinLength: new(1), MaxLength: new(30), Pattern: `^\s*[\p{L}\p{M}_-]*\p{L}[\p{L}\p{M}_-]*\s*$`,
		PatternDescription: "letters with their marks, - and _, at least one of them a letter",
		Description:        "letters of any script with their marks, - and _; unique ignoring case and spelling in Unicode",
	}
}

// Resolve implements huma.ResolverWithPath.
func (n *RoleName) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return canonical(at, n, role.ParseName)
}

// MaxMembers is a role's limit.
type MaxMembers int64

// Schema implements huma.SchemaProvider.
func (MaxMembers) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: new(0.0), Maximum: new(float64(role.MaxLimit))}
}

// Instant is a time, kept in milliseconds.
type Instant string

// Schema implements huma.SchemaProvider.
func (Instant) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// Resolve implements huma.ResolverWithPath.
func (i *Instant) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return canonical(at, i, func(text string) (string, error) {
		t, err := time.Parse(time.RFC3339, text)
		t = t.UTC().Truncate(time.Millisecond)
		if err != nil || t.Year() < 1970 || t.Year() > 9999 { // JSON has no other years, and the zero time means none
			return "", errors.New("want a time as of RFC 3339, from 1970 to 9999, such as 2030-01-31T18:00:00Z")
		}
		return t.Format(time.RFC3339Nano), nil
	})
}

// Time is the zero time if there is none.
func (i *Instant) Time() time.Time {
	if i == nil {
		return time.Time{}
	}
	t, _ := time.Parse(time.RFC3339, string(*i)) // Resolve has checked it
	return t
}

// Target is the {id} of a path. Inputs embed it.
type Target struct {
	ID ID `path:"id" doc:"its id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
}
