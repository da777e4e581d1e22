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
	ErrRetiring = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_retiring", Reason: "the role is being retired",
		Remedy: "wait until it is retired, or cancel the retirement",
	}
	ErrRetired = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_retired", Reason: "the role is retired for good", Remedy: "create another role",
	}
	ErrNotRetiring = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_not_retiring", Reason: "the role is not being retired", Remedy: "nothing",
	}
)

// Refusals of rules, and of commands that a rule forbids.
var (
	ErrInvalidLimit = &eventsourcing.Refusal{
		Kind: eventsourcing.Invalid, Code: "invalid_max_members",
		Reason: "the most members of a role are 1 to 1,000,000,000, or 0 for any number", Remedy: "send another number",
	}
	ErrEssential = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "role_essential", Reason: "the role is essential",
		Remedy: "change its rules first",
	}
	ErrNoHolder = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "no_holder", Reason: "no enabled user holds the role without an end",
		Remedy: "grant it first",
	}
	ErrTooManyMembers = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "too_many_members", Reason: "more users hold the role than that",
		Remedy: "remove it from some first, or allow more",
	}
	ErrMembersLeft = &eventsourcing.Refusal{
		Kind: eventsourcing.FailedPrecondition, Code: "members_left", Reason: "somebody holds the role", Remedy: "remove it first",
	}
	// ErrScopeNotReady answers where members must be counted that a build before scopes has granted.
	ErrScopeNotReady = &eventsourcing.Refusal{
		Kind: eventsourcing.NotReady, Code: "scope_not_ready", Reason: "the role's members are not counted yet",
		Remedy: "have an operator run `leftfold scopes audit --repair`, once for all roles",
	}
)
