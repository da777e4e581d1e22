package user

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// Refusals of values.
var (
	ErrInvalidEmail = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "invalid_email",
		Reason: "an e-mail is local@domain of at most 255 characters, such as dan@example.com",
	}
	ErrInvalidName = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "invalid_name",
		Reason: "a name has 1 to 50 characters: letters, spaces, ' - and ., at least one of them a letter",
	}
)

// Refusals of commands.
var (
	ErrExists = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "user_exists", Reason: "the user exists already",
	}
	ErrNotFound = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "user_not_found", Reason: "there is no such user",
	}
	ErrDisabled = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "user_disabled", Reason: "the user is disabled",
	}
	ErrEnabled = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "user_enabled", Reason: "the user is enabled already",
	}
	ErrRoleHeld = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "role_already_held", Reason: "the user holds the role already",
	}
	ErrRoleNotHeld = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "role_not_held", Reason: "the user does not hold the role",
	}
	ErrTooManyRoles = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "too_many_roles", Reason: "the user holds as many roles as a user may",
	}
	ErrRoleNotFound = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "role_not_found", Reason: "there is no such role",
	}
	ErrRoleDisabled = &eventsourcing.Refusal{
		Kind: eventsourcing.Denied, Code: "role_disabled", Reason: "the role is disabled",
	}
)
