package httpapi

import (
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Reading is what reads of one aggregate take beside its id, so that clients see what they wrote. Inputs embed it.
type Reading struct {
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

// ETag returns a version as an entity tag.
func ETag(v eventsourcing.Version) string { return fmt.Sprintf("\"%d\"", v) }
