package role

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// ErrInvalidName answers a name that no role may have.
var ErrInvalidName = &eventsourcing.Refusal{
	Kind: eventsourcing.Invalid, Code: "invalid_role_name",
	Reason: "a role's name has 1 to 30 characters: letters with their marks, - and _, at least one of them a letter",
	Remedy: "send 1 to 30 letters, `-` and `_`",
}

// Refusals of commands.
var (
	ErrExists = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_exists", Reason: "the role exists already", Remedy: "choose another id, or none",
	}
	ErrNameTaken = eventsourcing.ClaimTaken("name",
		"choose another; upper and lower case count as the same, and so do all spellings in Unicode")
	ErrNotFound = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "role_not_found", Reason: "there is no such role",
		Remedy: "correct the id; if the role is new, read with `min_version` and `wait`",
	}
	ErrDisabled = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_disabled", Reason: "the role is disabled", Remedy: "enable it first",
	}
	ErrEnabled = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_enabled", Reason: "the role is enabled already", Remedy: "nothing",
	}
)
