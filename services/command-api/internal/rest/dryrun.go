package rest

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/service/auth"
)

// Trial has a command tried instead of carried out. The type is exported as Sending is.
type Trial struct {
	DryRun bool `query:"dry_run" doc:"say what the command would do, or why it would be refused, and do nothing; an Idempotency-Key is not looked at" example:"true"`
	At     at   `query:"at" example:"1"`
}

// at is the version that a dry run decides on.
type at eventsourcing.Version

// Schema implements huma.SchemaProvider.
func (at) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeInteger, Format: "int64", Minimum: new(1.0), Maximum: new(float64(1 << 53)),
		Description: "with dry_run: decide as if the user or role were still at this version, and all else as it is; needs the scope events:data",
	}
}

// Resolve implements huma.ResolverWithPath.
func (v *at) Resolve(c huma.Context, path *huma.PathBuffer) []error {
	if *v > 0 && c.Query("dry_run") != "true" {
		return []error{&huma.ErrorDetail{Location: path.String(), Message: "is for dry runs; send dry_run=true with it"}}
	}
	return nil
}

// tried says what a command would do.
type tried struct {
	ID       string                `json:"id" format:"uuid" doc:"the id of the user or role" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Decision string                `json:"decision" enum:"append,nothing" doc:"nothing: it is already as the command wants it" example:"append"`
	Expected eventsourcing.Version `json:"expected" doc:"the version that it was decided on; at any other one it would be decided again" example:"3"`
	Version  eventsourcing.Version `json:"version" doc:"the version after the command" example:"4"`
	Events   []triedEvent          `json:"events" nullable:"false" doc:"what would be recorded"`
	Taken    []triedClaim          `json:"taken" nullable:"false" doc:"unique values that it would have from then on"`
	Released []triedClaim          `json:"released" nullable:"false" doc:"unique values that it would no longer have"`
	Guards   []triedGuard          `json:"guards" nullable:"false" doc:"what must not change before it is written"`
	Scopes   []triedScope          `json:"scopes,omitempty" nullable:"false" doc:"counters that it was decided on or would change; absent without the scope to read the collection"`
}

type triedEvent struct {
	Version    eventsourcing.Version `json:"version" doc:"its number among the events of the user or role" example:"4"`
	Name       string                `json:"name" doc:"what would have happened" example:"org/iam/user/roleAdded"`
	Schema     int                   `json:"schema" doc:"the version of the shape of its data" example:"1"`
	Data       triedData             `json:"data"`
	Enrichment []triedEnrichment     `json:"enrichment" nullable:"false" doc:"what is known of others, which is kept with it"`
}

type triedEnrichment struct {
	Aggregate string    `json:"aggregate" doc:"what it is of" example:"org/iam/role"`
	ID        string    `json:"id" doc:"of which" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	Data      triedData `json:"data"`
}

// triedData is JSON as it would be stored.
type triedData struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (triedData) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Description: "as docs/events.md has it for the name and schema",
		Examples: []any{map[string]any{"roleId": "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"}},
	}
}

type triedClaim struct {
	Constraint string `json:"constraint" doc:"what of is unique" example:"org/iam/user#email"`
	Value      string `json:"value,omitempty" doc:"absent in released without the scope to read the collection" example:"dan@example.com"`
}

type triedGuard struct {
	Stream  string                `json:"stream" doc:"what the command depends on" example:"org/iam/role/01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	Version eventsourcing.Version `json:"version" doc:"the version that it must still be at" example:"2"`
}

type triedScope struct {
	Scope    string         `json:"scope" doc:"what is counted" example:"org/iam/role/01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90#members"`
	Checked  bool           `json:"checked" doc:"it was decided on: if it moves before the command is written, it is decided again" example:"true"`
	Counters []triedCounter `json:"counters" nullable:"false" doc:"those that it has or that would change"`
}

type triedCounter struct {
	Name string `json:"name" doc:"which of its numbers" example:"all"`
	Now  int64  `json:"now" doc:"what it is" example:"2"`
	Then int64  `json:"then" doc:"what it would be" example:"3"`
}

// dryRunAnswer describes the answer to a dry run.
func (c collection) dryRunAnswer() *huma.Response {
	return &huma.Response{
		Description: "OK: a dry run, which would be accepted. One that would be refused is answered as the command would be",
		Content: map[string]*huma.MediaType{
			"application/json": {Schema: c.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[tried](), true, "")},
		},
	}
}

// would is the answer to a dry run. What it tells of others than the sender's own values is for those that may read them.
func (c collection) would(ctx context.Context, id string, after eventsourcing.Version, o dryrun.Outcome) *accepted {
	may := auth.May(ctx, c.name+":read")
	t := tried{
		ID: id, Decision: "append", Expected: o.Commit.Expected, Version: after,
		Events: []triedEvent{}, Taken: claims(o.Commit.Take, true), Released: claims(o.Commit.Release, may), Guards: []triedGuard{},
	}
	if len(o.Commit.Records) == 0 {
		t.Decision, t.Expected = "nothing", after
	}
	for _, r := range o.Commit.Records {
		e := triedEvent{Version: r.Version, Name: r.Name, Schema: r.Schema, Data: triedData{r.Data}, Enrichment: []triedEnrichment{}}
		for _, with := range r.Enrichment {
			e.Enrichment = append(e.Enrichment, triedEnrichment{with.Aggregate, with.ID, triedData{with.Data}})
		}
		t.Events = append(t.Events, e)
	}
	for _, g := range o.Commit.Guards {
		t.Guards = append(t.Guards, triedGuard{g.Stream.String(), g.Version})
	}
	if may {
		t.Scopes = scopes(o)
	}
	return &accepted{Status: http.StatusOK, Body: encoded{mustEncode(t)}}
}

func claims(of []eventsourcing.Claim, withValues bool) []triedClaim {
	all := []triedClaim{}
	for _, claim := range of {
		t := triedClaim{Constraint: claim.Constraint()}
		if withValues {
			t.Value = claim.Value
		}
		all = append(all, t)
	}
	return all
}

func scopes(o dryrun.Outcome) (all []triedScope) {
	for _, move := range o.Commit.Scopes {
		now := o.Scopes[move.Scope].Counters
		t := triedScope{Scope: move.Scope.Key(), Checked: move.Read != nil, Counters: []triedCounter{}}
		names := slices.Concat(slices.Collect(maps.Keys(now)), slices.Collect(maps.Keys(move.Add)))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			t.Counters = append(t.Counters, triedCounter{Name: name, Now: now[name], Then: now[name] + move.Add[name]})
		}
		all = append(all, t)
	}
	return all
}
