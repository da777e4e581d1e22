// Package problems lists every refusal of the product's services, and describes the REST API to its clients.
package problems

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Refusals of services; those of users and roles are declared in their packages.
var (
	// ErrKeyReused is returned if an Idempotency-Key was used for another request.
	ErrKeyReused = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "idempotency_key_reused",
		Reason: "another request came with this Idempotency-Key",
		Remedy: "take a new key for each new request; a key is remembered for 24 hours",
	}
	// ErrStillParked answers a redrive that met the same obstacle again.
	ErrStillParked = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "still_parked",
		Reason: "an event still cannot be applied; the list of parked aggregates says which and why",
		Remedy: "remove the cause, then redrive again",
	}
	// ErrStepNotPossible answers a step between generations that does not follow from the phase that a projection is in.
	ErrStepNotPossible = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "step_not_possible",
		Reason: "the projection is in a phase in which this step is not possible",
		Remedy: "look at its generations: what is possible follows from their phase",
	}
	// ErrNoRetirement answers for a role of which no retirement is known.
	ErrNoRetirement = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "no_retirement",
		Reason: "the retirement of this role was never requested, or was a moment ago",
		Remedy: "request it; if it is requested, ask again",
	}
	// ErrNoSuchVersion answers a read as of a version that the aggregate has not come to.
	ErrNoSuchVersion = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "no_such_version",
		Reason: "it has not come to that version",
		Remedy: "read it without `as_of` to see its version; to wait for a version that you wrote, use `min_version`",
	}
)

// Info describes the REST API, and lists every refusal that one of its services answers with.
func Info() httpapi.Info {
	return httpapi.Info{
		Title: "Leftfold",
		Description: `The REST API of Leftfold, an event-sourced identity and access service.

A command (POST, PUT, DELETE) is answered 202 once it is in the log, with the version that the user or role has come to.
What is read trails the log by a moment: ask for that version by ` + "`min_version`" + ` to read what you wrote.
Every error is a problem as of RFC 9457, whose type has a page that says what to do. A query parameter that an operation
does not know is an error, and so is one that is repeated.`,
		Walk: `curl -s http://{address}/users -H 'Content-Type: application/json' \
  -d '{"id":"11111111-1111-4111-8111-111111111111","email":"dan@example.com"}'
curl -s -X PUT -H 'Content-Type: application/json' \
  http://{address}/users/11111111-1111-4111-8111-111111111111 \
  -d '{"firstName":"Dan","lastName":"Lee"}'
curl -s -G http://{address}/users/11111111-1111-4111-8111-111111111111 \
  -d min_version=2 -d wait=5s
curl -s 'http://{address}/users?contains=lastName:Lee'`,
		License:    &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"},
		ExampleIDs: exampleIDs(),
		Unique:     []string{"email", "name"},
		Refusals: []*eventsourcing.Refusal{
			value.ErrInvalidID, user.ErrInvalidEmail, user.ErrInvalidName, role.ErrInvalidName,
			user.ErrNotFound, user.ErrExists, user.ErrEmailTaken, user.ErrDisabled, user.ErrEnabled,
			user.ErrRoleHeld, user.ErrRoleNotHeld, user.ErrTooManyRoles,
			user.ErrUntilPassed, user.ErrGrantChanged, user.ErrGrantNotEnded, user.ErrLastHolder, user.ErrNoSeatLeft,
			role.ErrNotFound, role.ErrExists, role.ErrNameTaken, role.ErrDisabled, role.ErrEnabled,
			role.ErrInvalidLimit, role.ErrEssential, role.ErrNoHolder, role.ErrTooManyMembers, role.ErrScopeNotReady,
			role.ErrRetiring, role.ErrRetired, role.ErrNotRetiring, role.ErrMembersLeft,
			ErrKeyReused, ErrStillParked, ErrStepNotPossible,
			ErrNoSuchVersion, ErrNoRetirement,
		},
	}
}

// exampleIDs are the ids that the documentation shows, by collection.
func exampleIDs() map[string]string {
	ids := map[string]string{}
	for _, p := range (topology.Names{}).Projections() {
		ids[p.Collection] = p.ExampleID
	}
	return ids
}
