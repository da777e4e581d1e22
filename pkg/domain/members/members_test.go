package members_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

var auditor = eventsourcing.StreamID{Category: "org/iam/role", ID: "1"}

// The names are stored.
func TestWhatIsStored(t *testing.T) {
	t.Parallel()
	scope := members.Of(auditor)
	assert.Equal(t, "org/iam/role/1#members", scope.Key())
	share := func(counter string) eventsourcing.Share {
		return eventsourcing.Share{Scope: scope, Counter: counter, Amount: 1}
	}
	assert.Equal(t, []eventsourcing.Share{share("seats"), share("holders")}, members.OfUser(auditor, true))
	assert.Equal(t, []eventsourcing.Share{share("seats")}, members.OfUser(auditor, false))
	assert.Equal(t, []eventsourcing.Share{share("complete")}, members.OfRole(auditor, false))
	assert.Equal(t, []eventsourcing.Share{share("complete"), share("essential")}, members.OfRole(auditor, true))
}

func TestMembersAreCountedFromWhatUsersAndTheRoleShare(t *testing.T) {
	t.Parallel()
	assert.Zero(t, members.Counted(nil, auditor))
	sums := eventsourcing.Sums{}
	counted := func() members.Count {
		return members.Counted(eventsourcing.ScopeStates{members.Of(auditor): {Counters: sums[members.Of(auditor)]}}, auditor)
	}
	sums.Add(members.OfUser(auditor, true), 1)
	assert.Equal(t, members.Count{Seats: 1, Holders: 1}, counted(), "a role of a former build")
	assert.False(t, counted().IsLast())
	sums.Add(members.OfRole(auditor, true), 1)
	sums.Add(members.OfUser(auditor, false), 1)
	assert.Equal(t, members.Count{Complete: true, Seats: 2, Holders: 1, Essential: true}, counted())
	assert.True(t, counted().IsLast())
	sums.Add(members.OfUser(auditor, true), 1)
	assert.False(t, counted().IsLast())
}
