package role_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func fold(history ...role.Event) role.State {
	return aggregatetest.Fold(role.Aggregate(), role.State{}, history...)
}

func TestParseID(t *testing.T) {
	t.Parallel()
	id, err := role.ParseID("01920B7C-5E3A-7C4D-9B1E-3F2A6D8C0E58")
	require.NoError(t, err)
	assert.Equal(t, role.ID("01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"), id)
	_, err = role.ParseID("r1")
	assert.Same(t, value.ErrInvalidID, err)
}

func TestClaims(t *testing.T) {
	t.Parallel()
	name := func(value string) []eventsourcing.Claim {
		return []eventsourcing.Claim{{Category: "org/iam/role", Name: "name", Value: value}}
	}
	for what, c := range map[string]struct {
		given events
		want  []eventsourcing.Claim
	}{
		"unknown":            {},
		"created":            {events{created}, name("admin")},
		"disabled":           {events{created, role.Disabled{}}, name("admin")},
		"renamed":            {events{created, role.Renamed{Name: "Auditor"}}, name("auditor")},
		"renamed to a case":  {events{created, role.Renamed{Name: "aDMIN"}}, name("admin")},
		"lower cases of one": {events{role.Created{Name: "ΜΊΣΟ\u03C2"}}, name("μίσο\u03C3")},
		"not composed, as former builds kept it": {
			events{role.Created{Name: "A\u1100\u1161\u1F71"}}, append(name("a\uac00\u03ac"), name("a\u1100\u1161\u1F71")...),
		},
	} {
		assert.Equal(t, c.want, role.Aggregate().Claims(fold(c.given...)), what)
	}
}

// Evolve accepts any event in any state, reachable or not, and is deterministic.
func TestEvolveIsTotalAndPure(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var history events
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			history = append(history, drawEvent(t))
		}
		s := fold(history...)
		if s != fold(history...) {
			t.Fatalf("%+v folds to more than one state", history)
		}
		want := []eventsourcing.Claim(nil)
		if s.Exists {
			want = value.Claims(role.Category, "name", value.Fold(string(s.Name)), value.FoldCase(string(s.Name)))
		}
		if got := role.Claims(s); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v claims %v", s, got)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct {
		refusal *eventsourcing.Refusal
		kind    eventsourcing.Kind
	}{
		"invalid_role_name": {role.ErrInvalidName, eventsourcing.Invalid},
		"role_exists":       {role.ErrExists, eventsourcing.FailedPrecondition},
		"role_not_found":    {role.ErrNotFound, eventsourcing.NotFound},
		"role_disabled":     {role.ErrDisabled, eventsourcing.FailedPrecondition},
		"role_enabled":      {role.ErrEnabled, eventsourcing.FailedPrecondition},
		"role_retiring":     {role.ErrRetiring, eventsourcing.FailedPrecondition},
		"role_retired":      {role.ErrRetired, eventsourcing.FailedPrecondition},
		"role_not_retiring": {role.ErrNotRetiring, eventsourcing.FailedPrecondition},
		"role_essential":    {role.ErrEssential, eventsourcing.FailedPrecondition},
		"no_holder":         {role.ErrNoHolder, eventsourcing.FailedPrecondition},
		"too_many_members":  {role.ErrTooManyMembers, eventsourcing.FailedPrecondition},
		"members_left":      {role.ErrMembersLeft, eventsourcing.FailedPrecondition},
		"scope_not_ready":   {role.ErrScopeNotReady, eventsourcing.NotReady},

		"invalid_max_members": {role.ErrInvalidLimit, eventsourcing.Invalid},
	} {
		assert.Equal(t, code, c.refusal.Code)
		assert.Equal(t, c.kind, c.refusal.Kind, code)
		assert.NotEmpty(t, c.refusal.Reason, code)
	}
}

func TestAReferenceIsFoundByTheRolesID(t *testing.T) {
	t.Parallel()
	enrichment := []eventsourcing.Enrichment{
		{Aggregate: "org/iam/user", ID: "r1", Data: []byte(`{"email":"dan@example.com"}`)}, // written by earlier builds
		{Aggregate: role.Category, ID: "r1", Data: []byte(`[]`)},
		role.NewReference("r2", "Auditor"), role.NewReference("r1", "Admin"),
	}
	assert.JSONEq(t, `{"name":"Auditor"}`, string(enrichment[2].Data))
	got, ok := role.ReferenceIn(enrichment, "r1")
	assert.True(t, ok)
	assert.Equal(t, role.Reference{Name: "Admin"}, got)
	_, ok = role.ReferenceIn(enrichment, "r3")
	assert.False(t, ok)
}
