package topology_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// TestEachProjectionSubscribesToWholeCategories: a fence that misses versions would heal for ever.
func TestEachProjectionSubscribesToWholeCategories(t *testing.T) {
	t.Parallel()
	both := []string{user.Category, role.Category}
	subscriptions := topology.QueueNames{
		UserQueueName: topology.UserQueueName{UserQueue: "users.fifo"}, RoleQueueName: topology.RoleQueueName{RoleQueue: "roles.fifo"},
	}.Subscriptions()
	require.Len(t, subscriptions, 2)
	for i, queue := range []string{"users.fifo", "roles.fifo"} {
		assert.Equal(t, queue, subscriptions[i].Queue)
		assert.ElementsMatch(t, both, subscriptions[i].Categories)
	}
}

func TestADeadLetterQueueIsNamedAfterItsQueue(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "IamUserQueue-dlq.fifo", topology.DeadLetters("IamUserQueue.fifo"))
}
