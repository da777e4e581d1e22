package role

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// ErrInvalidName answers a name that no role may have.
var ErrInvalidName = &eventsourcing.Refusal{
	Kind: eventsourcing.Invalid, Code: "invalid_role_name",
	Reason: "a role's name has 1 to 30 characters: letters, - and _, at least one of them a letter",
}

// Refusals of commands.
var (
	ErrExists = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "role_exists", Reason: "the role exists already",
	}
	ErrNotFound = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "role_not_found", Reason: "there is no such role",
	}
	ErrDisabled = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "role_disabled", Reason: "the role is disabled",
	}
	ErrEnabled = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "role_enabled", Reason: "the role is enabled already",
	}
)
