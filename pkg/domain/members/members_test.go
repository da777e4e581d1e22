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
	assert.Equal(t, []eventsourcing.Share{share("complete")}, members.OfRole(auditor))
}
