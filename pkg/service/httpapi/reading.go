package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/text/unicode/norm"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Reading is what every read of one aggregate takes: by its query parameters clients see what they wrote, by its header they get only
// what they do not have. Inputs embed it.
type Reading struct {
	Known

	MinVersion eventsourcing.Version `query:"min_version" maximum:"9007199254740991" doc:"show this version or a later one" example:"1"`
	Wait       Wait                  `query:"wait" doc:"how long to wait for it, at most 10s" example:"2s"`
}

// Wait is how long a read waits for a version; empty: not at all.
type Wait string

// maxWait bounds how long a reader may make the server wait for its own writes.
const maxWait = 10 * time.Second

// Schema implements huma.SchemaProvider.
func (Wait) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^([0-9]{1,4}ms|[0-9](\.[0-9]{1,3})?s|10s)?$`,
		PatternDescription: "a time in s or ms, at most 10s",
	}
}

// Resolve implements huma.ResolverWithPath.
func (w *Wait) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if d, err := time.ParseDuration(string(*w)); *w != "" && (err != nil || d < 0 || d > maxWait) {
		return []error{&huma.ErrorDetail{Location: at.String(), Message: fmt.Sprintf("want a duration from 0s to %s", maxWait)}}
	}
	return nil
}

// Duration returns the wait as a duration.
func (w Wait) Duration() time.Duration {
	d, _ := time.ParseDuration(string(w)) // Resolve has checked it
	return d
}

// Parse stores what parse makes of text in target, or returns what is wrong at that location of the request.
func Parse[T any](location string, target *T, text string, parse func(string) (T, error)) []error {
	v, err := parse(text)
	if err != nil {
		return []error{&huma.ErrorDetail{Location: location, Message: err.Error()}}
	}
	*target = v
	return nil
}

// Paging is what every list takes. A list's answer is a JSON array; the next page, if there is one, is in its Link header.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"rows of a page at most; it may have fewer, or none, before the last one" example:"20"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"from the Link of the page before"`
}

// After returns where the page begins, or projection.ErrBadCursor.
func (in *Paging) After() (projection.Cursor, error) { return projection.ParseCursor(in.Cursor) }

// Page is the answer of a list.
type Page[T any] struct {
	Link string `header:"Link" doc:"the next page; absent on the last" example:"</users?limit=20&cursor=eyJpZCI6IjEifQ>; rel=\"next\""`
	Body []T    `nullable:"false" maxItems:"100"`
}

// NewPage returns rows, never a JSON null, and a link to the page at next, the text of a cursor, unless that is empty. filter is the
// list's other parameter, by name; an empty one is left out.
func NewPage[T any](rows []T, path string, in *Paging, next fmt.Stringer, filter ...string) *Page[T] {
	page := &Page[T]{Body: rows}
	if rows == nil {
		page.Body = []T{}
	}
	cursor := next.String()
	if cursor == "" {
		return page
	}
	query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {cursor}}
	for pair := range slices.Chunk(filter, 2) {
		if pair[1] != "" {
			query.Set(pair[0], pair[1])
		}
	}
	page.Link = fmt.Sprintf("<%s?%s>; rel=\"next\"", path, query.Encode())
	return page
}

// NextPage returns the address of the next page from the header of a list's answer; "": there is none.
func NextPage(header http.Header) string {
	path, rel, ok := strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
	if !ok || !strings.Contains(rel, `rel="next"`) {
		return ""
	}
	return path
}

// ParseContains returns a parser of "attribute:text", where the attribute is one of allowed. Text finds what is stored in NFC
// or in NFD, whichever form it has itself. spellings has, by attribute, functions that return the texts to search for in place
// of the one given; the texts of other attributes are searched for as they are.
func ParseContains(spellings map[string]func(string) []string, allowed ...string) func(string) (projection.Filter, error) {
	return func(text string) (projection.Filter, error) {
		attr, part, ok := strings.Cut(text, ":")
		if !ok || part == "" || !slices.Contains(allowed, attr) || !utf8.ValidString(part) {
			return projection.Filter{}, fmt.Errorf("want attribute:text, the attribute one of %s", strings.Join(allowed, ", "))
		}
		parts := []string{part}
		if spell, ok := spellings[attr]; ok {
			parts = spell(part)
		}
		filter := projection.Filter{Attr: attr}
		for _, part := range parts {
			for _, form := range []string{part, norm.NFC.String(part), norm.NFD.String(part)} {
				if !slices.Contains(filter.AnyOf, form) {
					filter.AnyOf = append(filter.AnyOf, form)
				}
			}
		}
		return filter, nil
	}
}
