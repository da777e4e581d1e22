package httpapi

import (
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Reading is what reads of one aggregate take beside its id, so that clients see what they wrote. Inputs embed it.
type Reading struct {
	MinVersion uint64 `query:"min_version" maximum:"9007199254740991" doc:"show this version or a later one" example:"1"`
	Wait       Wait   `query:"wait" doc:"how long to wait for it, at most 10s" example:"2s"`
}

// Least is the version to show at least.
func (in *Reading) Least() eventsourcing.Version { return eventsourcing.Version(in.MinVersion) }

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
	if *w == "" {
		return nil
	}
	return Parse(at.String(), w, string(*w), func(text string) (Wait, error) {
		if d, err := time.ParseDuration(text); err != nil || d < 0 || d > maxWait {
			return "", fmt.Errorf("want a duration from 0s to %s", maxWait)
		}
		return Wait(text), nil
	})
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
