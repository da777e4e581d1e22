package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/engine/projection"
)

// Paging is what every list takes. A list's answer is a JSON array; the next page, if there is one, is in its Link header.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"rows of a page; every page but the last is full" example:"20"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"from the Link of the page before"`
}

// After returns where the page begins, or projection.ErrBadCursor.
func (in *Paging) After() (projection.Cursor, error) { return projection.ParseCursor(in.Cursor) }

// Page is the answer of a list.
type Page[T any] struct {
	Link string `header:"Link" doc:"the next page; absent on the last" example:"</users?limit=20&cursor=eyJpZCI6IjEifQ>; rel=\"next\""`
	Body []T    `nullable:"false" maxItems:"100"`
}

// NewPage returns rows, never a JSON null, and a link to the page at next, if there is one. filter is the list's other
// parameter, by name; an empty one is left out.
func NewPage[T any](rows []T, path string, in *Paging, next projection.Cursor, filter ...string) *Page[T] {
	page := &Page[T]{Body: rows}
	if rows == nil {
		page.Body = []T{}
	}
	if next.IsZero() {
		return page
	}
	query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {next.String()}}
	for pair := range slices.Chunk(filter, 2) {
		if pair[1] != "" {
			query.Set(pair[0], pair[1])
		}
	}
	page.Link = fmt.Sprintf("<%s?%s>; rel=\"next\"", path, query.Encode())
	return page
}

// ParseContains returns a parser of "attribute:text", where the attribute is one of allowed. Those that are stored in
// lower case find text in any case.
func ParseContains(lowerCased string, allowed ...string) func(string) (projection.Filter, error) {
	return func(text string) (projection.Filter, error) {
		attr, part, ok := strings.Cut(text, ":")
		if !ok || part == "" || !slices.Contains(allowed, attr) || !utf8.ValidString(part) {
			return projection.Filter{}, fmt.Errorf("want attribute:text, the attribute one of %s", strings.Join(allowed, ", "))
		}
		if attr == lowerCased {
			part = strings.ToLower(part)
		}
		return projection.Filter{Attr: attr, Contains: part}, nil
	}
}
