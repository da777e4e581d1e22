package user_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func fold(history ...user.Event) user.State {
	return aggregatetest.Fold(user.Aggregate(), user.State{}, history...)
}

func TestParseIDs(t *testing.T) {
	t.Parallel()
	id, err := user.ParseID("01920B7C-5E3A-7C4D-9B1E-3F2A6D8C0E57")
	require.NoError(t, err)
	assert.Equal(t, user.ID("01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"), id)
	roleID, err := user.ParseRoleID("01920B7C-5E3A-7C4D-9B1E-3F2A6D8C0E57")
	require.NoError(t, err)
	assert.Equal(t, user.RoleID("01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"), roleID)
	_, err = user.ParseID("u1")
	assert.Same(t, value.ErrInvalidID, err)
	_, err = user.ParseRoleID("r1")
	assert.Same(t, value.ErrInvalidID, err)
}

func TestClaims(t *testing.T) {
	t.Parallel()
	email := func(value string) []eventsourcing.Claim {
		return []eventsourcing.Claim{{Category: "org/iam/user", Name: "email", Value: value}}
	}
	for name, c := range map[string]struct {
		given events
		want  []eventsourcing.Claim
	}{
		"unregistered": {},
		"registered":   {events{registered}, email("dan@example.com")},
		"disabled":     {events{registered, user.Disabled{}}, email("dan@example.com")},
		"changed":      {events{registered, user.EmailChanged{Email: "dan@example.org"}}, email("dan@example.org")},
		"lower cases of one letter": {
			events{user.Registered{Email: "\u017Fί\u03C2@x.y"}}, email("sί\u03C3@x.y"),
		},
		"not composed, as former builds kept it": {
			events{user.Registered{Email: "\u1100\u1161\u1F71@x.y"}}, append(email("\uac00\u03ac@x.y"), email("\u1100\u1161\u1F71@x.y")...),
		},
		"domain of U-labels": {
			events{user.Registered{Email: "dan@bücher.example"}}, append(email("dan@xn--bcher-kva.example"), email("dan@bücher.example")...),
		},
		"domain of A-labels": {events{user.Registered{Email: "dan@xn--bcher-kva.example"}}, email("dan@xn--bcher-kva.example")},
		"domain of a final sigma": {
			events{user.Registered{Email: "dan@βόλος.example"}}, append(email("dan@xn--nxasmq6b.example"), email("dan@βόλοσ.example")...),
		},
		"the same in A-labels": {
			events{user.Registered{Email: "dan@xn--nxasmm1c.example"}},
			append(email("dan@xn--nxasmq6b.example"), email("dan@xn--nxasmm1c.example")...),
		},
		"an A-label that is none": {events{user.Registered{Email: "dan@xn--0.example"}}, email("dan@xn--0.example")},
		"no address":              {events{user.Registered{Email: "Dan"}}, email("dan")},
	} {
		assert.Equal(t, c.want, user.Aggregate().Claims(fold(c.given...)), name)
	}
	assert.Equal(t, "org/iam/user#email:dan@example.com", user.Claims(fold(registered))[0].Key())
}

func TestEvolveDoesNotModifyItsArgument(t *testing.T) {
	t.Parallel()
	s := fold(holding(3)...) // grown one by one: leaves spare capacity behind
	withA := user.Evolve(s, user.RoleAdded{RoleID: "a"})
	withB := user.Evolve(s, user.RoleAdded{RoleID: "b"})
	without := user.Evolve(s, user.RoleRemoved{RoleID: "1"})
	ending := user.Evolve(s, user.RoleUntilChanged{RoleID: "2", Until: noon})
	expired := user.Evolve(ending, user.RoleExpired{RoleID: "2", Until: noon})
	assert.Equal(t, []user.Grant{{RoleID: "1"}, {RoleID: "2"}, {RoleID: "3"}}, s.Roles)
	assert.Equal(t, append(slices.Clone(s.Roles), user.Grant{RoleID: "a"}), withA.Roles)
	assert.Equal(t, append(slices.Clone(s.Roles), user.Grant{RoleID: "b"}), withB.Roles)
	assert.Equal(t, []user.Grant{{RoleID: "2"}, {RoleID: "3"}}, without.Roles)
	assert.Equal(t, []user.Grant{{RoleID: "1"}, {RoleID: "2", Until: noon}, {RoleID: "3"}}, ending.Roles)
	assert.Equal(t, []user.Grant{{RoleID: "1"}, {RoleID: "3"}}, expired.Roles)
}

func drawEvent(t *rapid.T) user.Event {
	draw := rapid.SampledFrom([]func(*rapid.T) user.Event{
		func(t *rapid.T) user.Event { return user.Registered{UserID: "u1", Email: drawEmail(t)} },
		func(t *rapid.T) user.Event { return user.Updated{FirstName: drawName(t), LastName: drawName(t)} },
		func(t *rapid.T) user.Event { return user.EmailChanged{Email: drawEmail(t)} },
		func(*rapid.T) user.Event { return user.Disabled{} },
		func(*rapid.T) user.Event { return user.Enabled{} },
		func(t *rapid.T) user.Event { return user.RoleAdded{RoleID: drawRoleID(t)} },
		func(t *rapid.T) user.Event { return user.RoleGranted{RoleID: drawRoleID(t), Until: noon} },
		func(t *rapid.T) user.Event { return user.RoleUntilChanged{RoleID: drawRoleID(t), Until: drawUntil(t)} },
		func(t *rapid.T) user.Event { return user.RoleExpired{RoleID: drawRoleID(t), Until: drawUntil(t)} },
		func(t *rapid.T) user.Event { return user.RoleRemoved{RoleID: drawRoleID(t)} },
	}).Draw(t, "event")
	return draw(t)
}

// Evolve accepts any event in any state, reachable or not, is deterministic, and does not modify its arguments.
func TestEvolveIsTotalAndPure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var history events
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			history = append(history, drawEvent(t))
		}
		s := fold(history...)
		before := fmt.Sprint(s)
		next := drawEvent(t)
		after := user.Evolve(s, next)
		_ = user.Evolve(s, drawEvent(t))
		if fmt.Sprint(s) != before {
			t.Fatalf("%+v changed %+v into %+v", next, before, s)
		}
		if again := fold(append(history, next)...); !reflect.DeepEqual(after, again) {
			t.Fatalf("%+v once, then %+v", after, again)
		}
		want := []eventsourcing.Claim(nil)
		if s.Registered {
			want = []eventsourcing.Claim{{Category: user.Category, Name: "email", Value: value.FoldCase(string(s.Email))}}
		}
		if got := user.Claims(s); len(got) < len(want) || len(want) > 0 && got[len(got)-1] != want[0] {
			t.Fatalf("%+v claims %v", s, got)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	codes := map[string]bool{}
	for _, c := range []struct {
		refusal *eventsourcing.Refusal
		kind    eventsourcing.Kind
		code    string
	}{
		{user.ErrInvalidEmail, eventsourcing.Invalid, "invalid_email"},
		{user.ErrInvalidName, eventsourcing.Invalid, "invalid_name"},
		{user.ErrExists, eventsourcing.FailedPrecondition, "user_exists"},
		{user.ErrNotFound, eventsourcing.NotFound, "user_not_found"},
		{user.ErrDisabled, eventsourcing.FailedPrecondition, "user_disabled"},
		{user.ErrEnabled, eventsourcing.FailedPrecondition, "user_enabled"},
		{user.ErrRoleHeld, eventsourcing.FailedPrecondition, "role_already_held"},
		{user.ErrRoleNotHeld, eventsourcing.FailedPrecondition, "role_not_held"},
		{user.ErrTooManyRoles, eventsourcing.FailedPrecondition, "too_many_roles"},
		{user.ErrRoleNotFound, eventsourcing.NotFound, "role_not_found"},
		{user.ErrRoleDisabled, eventsourcing.FailedPrecondition, "role_disabled"},
		{user.ErrRoleRetiring, eventsourcing.FailedPrecondition, "role_retiring"},
		{user.ErrRoleRetired, eventsourcing.FailedPrecondition, "role_retired"},
		{user.ErrUntilPassed, eventsourcing.Invalid, "until_passed"},
		{user.ErrGrantChanged, eventsourcing.FailedPrecondition, "grant_changed"},
		{user.ErrGrantNotEnded, eventsourcing.FailedPrecondition, "grant_not_ended"},
		{user.ErrLastHolder, eventsourcing.FailedPrecondition, "last_holder"},
		{user.ErrNoSeatLeft, eventsourcing.FailedPrecondition, "no_seat_left"},
	} {
		assert.Equal(t, c.code, c.refusal.Code)
		assert.Equal(t, c.kind, c.refusal.Kind, c.code)
		assert.NotEmpty(t, c.refusal.Reason, c.code)
		assert.False(t, codes[c.code], "%s twice", c.code)
		codes[c.code] = true
	}
	assert.Contains(t, fmt.Sprint(user.ErrNotFound), "no such user")
}
