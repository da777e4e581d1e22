package httpapi

import (
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// maxWait bounds how long a reader may make the server wait for its own writes.
const maxWait = 10 * time.Second

// AggregateID is the {id} of a path.
type AggregateID struct {
	ID string `path:"id" pattern:"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" patternDescription:"a UUID of 36 characters" doc:"its id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
}

// Resolve implements huma.Resolver.
func (in *AggregateID) Resolve(huma.Context) []error {
	return Faults(Parse("path.id", &in.ID, in.ID, value.ParseID))
}

// Reading is what reads of one aggregate take, so that clients see what they wrote.
type Reading struct {
	AggregateID
	MinVersion uint64 `query:"min_version" maximum:"9007199254740991" doc:"the version to show at least, as a command's answer named it" example:"1"`
	WaitFor    string `query:"wait" pattern:"^([0-9]{1,4}ms|[0-9](\\.[0-9]{1,3})?s|10s)?$" patternDescription:"a time in s or ms, at most 10s" doc:"how long to wait for it, at most 10s" example:"2s"`

	// Least and Wait are what was asked for, parsed.
	Least eventsourcing.Version `json:"-"`
	Wait  time.Duration         `json:"-"`
}

// Resolve implements huma.Resolver.
func (in *Reading) Resolve(c huma.Context) []error {
	in.Least = eventsourcing.Version(in.MinVersion)
	errs := in.AggregateID.Resolve(c)
	if in.WaitFor == "" {
		return errs
	}
	return append(errs, Faults(Parse("query.wait", &in.Wait, in.WaitFor, func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > maxWait {
			return 0, fmt.Errorf("want a duration from 0s to %s", maxWait)
		}
		return d, nil
	}))...)
}

// Parse puts what parser makes of text into target, or says what is wrong at that location.
func Parse[T any](location string, target *T, text string, parser func(string) (T, error)) error {
	v, err := parser(text)
	if err != nil {
		return &huma.ErrorDetail{Location: location, Message: err.Error()}
	}
	*target = v
	return nil
}

// Faults drops the nils.
func Faults(errs ...error) []error {
	var out []error
	for _, err := range errs {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// ETag is a version as an entity tag.
func ETag(v eventsourcing.Version) string { return fmt.Sprintf("\"%d\"", v) }
