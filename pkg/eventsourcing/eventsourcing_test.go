package eventsourcing_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestParseStreamIDIsTheInverseOfString(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]eventsourcing.StreamID{
		"org/iam/user/u1": {Category: "org/iam/user", ID: "u1"},
		"user/u1":         {Category: "user", ID: "u1"},
	} {
		got, err := eventsourcing.ParseStreamID(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
		assert.Equal(t, text, got.String())
	}
	for _, text := range []string{"", "/", "u1", "/u1", "org/iam/user/"} {
		got, err := eventsourcing.ParseStreamID(text)
		require.Error(t, err, text)
		assert.Zero(t, got, text)
	}
}

func TestCategoryOf(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "org/iam/user", eventsourcing.CategoryOf("org/iam/user/registered"))
	for _, name := range []string{"", "registered", "/registered", "org/iam/user/"} {
		assert.Empty(t, eventsourcing.CategoryOf(name), name)
	}
}

func TestClaimTextsWithAndWithoutTheValue(t *testing.T) {
	t.Parallel()
	claim := eventsourcing.Claim{Category: "org/iam/user", Name: "email", Value: "dan@example.com"}
	assert.Equal(t, "org/iam/user#email:dan@example.com", claim.Key())
	assert.Equal(t, "org/iam/user#email", claim.Constraint())
	err := error(&eventsourcing.ClaimTakenError{Claim: claim})
	require.ErrorIs(t, err, eventsourcing.ErrClaimTaken)
	require.NotErrorIs(t, err, eventsourcing.ErrConflict)
	assert.Equal(t, "claim taken: org/iam/user#email", err.Error())
}

func TestRefusalReadsAsItsReason(t *testing.T) {
	t.Parallel()
	assert.EqualError(t, &eventsourcing.Refusal{Code: "user_disabled", Reason: "the user is disabled"}, "the user is disabled")
}
