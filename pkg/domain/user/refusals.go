package user

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// Refusals of values.
var (
	ErrInvalidEmail = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "invalid_email",
		Reason: "an e-mail is local@domain of at most 255 characters, such as dan@example.com",
		Remedy: "send `local@domain` of at most 255 characters",
	}
	ErrInvalidName = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "invalid_name",
		Reason: "a name has 1 to 50 characters: " + NameRule,
		Remedy: "send 1 to 50 letters, spaces, `'`, `-` and `.`; `·` and joiners between letters",
	}
)

// Refusals of commands.
var (
	ErrExists = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "user_exists", Reason: "the user exists already", Remedy: "choose another id, or none",
	}
	ErrEmailTaken = eventsourcing.ClaimTaken("email",
		"choose another; upper and lower case count as the same, and so do all spellings in Unicode")
	ErrNotFound = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "user_not_found", Reason: "there is no such user",
		Remedy: "correct the id; if the user is new, read with `min_version` and `wait`",
	}
	ErrDisabled = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "user_disabled", Reason: "the user is disabled", Remedy: "enable it first",
	}
	ErrEnabled = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "user_enabled", Reason: "the user is enabled already", Remedy: "nothing",
	}
	ErrRoleHeld = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_already_held", Reason: "the user holds the role already", Remedy: "nothing",
	}
	ErrRoleNotHeld = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_not_held", Reason: "the user does not hold the role", Remedy: "nothing",
	}
	ErrTooManyRoles = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "too_many_roles",
		Reason: "the user holds as many roles as a user may", Remedy: "remove one first",
	}
	ErrUntilPassed = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "until_passed", Reason: "the time has passed", Remedy: "send a time in the future, or none",
	}
	ErrGrantChanged = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "grant_changed", Reason: "the grant ends at another time, or never", Remedy: "nothing",
	}
	ErrGrantNotEnded = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "grant_not_ended", Reason: "the grant has not ended yet", Remedy: "wait until it has",
	}
	ErrLastHolder = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "last_holder",
		Reason: "the user is the last enabled one that holds an essential role without an end", Remedy: "grant the role to another user first",
	}
	ErrNoSeatLeft = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "no_seat_left", Reason: "as many users hold the role as may",
		Remedy: "remove it from one first, or change its rules",
	}
	// ErrRoleNotFound and those below are the role's own refusals, as AddRole meets them.
	ErrRoleNotFound = &eventsourcing.Refusal{
		Kind: eventsourcing.NotFound, Code: "role_not_found", Reason: "there is no such role",
	}
	ErrRoleDisabled = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_disabled", Reason: "the role is disabled",
	}
	ErrRoleRetiring = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_retiring", Reason: "the role is being retired",
	}
	ErrRoleRetired = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_retired", Reason: "the role is retired for good",
	}
)
