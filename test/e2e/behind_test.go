package e2e_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestAProjectionThatIsDaysBehindHealsFromTheLog stops a projector for longer than its queue keeps messages, here minutes. The
// other projection misses nothing.
func TestAProjectionThatIsDaysBehindHealsFromTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"})
		const users, missed = 30, 5
		w := newWriter(sys.Inspector)
		ids := make([]string, users)
		write := func(version, n int, ids ...string) {
			t.Helper()
			for _, id := range ids {
				require.NoError(t, w.Append(t.Context(), id, eventsourcing.Version(version), n))
			}
		}
		for i := range ids {
			ids[i] = newID()
		}
		write(0, 1, ids...)
		settled(t, sys.Inspector, 1, ids...)
		require.NoError(t, sys.ProjectorUser.Stop())
		waiting := retain(t, sys, sys.Names.UserQueue, time.Minute)

		write(1, missed, ids...)
		await(t, sys.Broker, "leftfold_shards_records_total", users*(1+missed))
		assert.Equal(t, strconv.Itoa(users*missed), waiting(), "before the retention ends")
		time.Sleep(2 * time.Minute)
		require.Equal(t, "0", waiting(), "after the retention")
		require.NoError(t, sys.ProjectorUser.Start(t.Context()))
		loud, quiet := ids[:users/2], ids[users/2:]
		write(1+missed, 1, loud...)
		settled(t, sys.Inspector, 2+missed, loud...)
		assert.InDelta(t, len(loud)*missed, sum(t, sys.ProjectorUser, "leftfold_projection_healed_total"), 0)
		assert.Zero(t, sum(t, sys.ProjectorRole, "leftfold_projection_healed_total"))

		for _, id := range quiet {
			_, err := sys.Users().Await(t.Context(), id, "user", 2, time.Millisecond, &struct{}{})
			require.ErrorIs(t, err, projection.ErrNotYet, "no message is left about the change of user %s", id)
		}
		started := catchUp(t, sys.ProjectorUser, http.MethodPost)
		assert.Equal(t, "running", started.State)
		settled(t, sys.Inspector, 1+missed, quiet...)
		synctest.Wait()
		was := catchUp(t, sys.ProjectorUser, http.MethodGet)
		for was.State == "running" {
			time.Sleep(time.Millisecond)
			was = catchUp(t, sys.ProjectorUser, http.MethodGet)
		}
		assert.Equal(t, caughtUp{
			State: "done", Records: int64(users*(1+missed) + len(loud)), Behind: int64(len(quiet)), Applied: int64(len(quiet) * missed),
		}, was)
	})
}

// caughtUp is a projector's answer about a catch-up.
type caughtUp struct {
	State                            string
	Records, Behind, Applied, Parked int64
}

func catchUp(t *testing.T, projector *systemtest.Service, method string) (out caughtUp) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "/projections/users/catch-up", http.NoBody)
	require.NoError(t, err)
	answer := projector.Admin(r)
	defer func() { _ = answer.Body.Close() }() // of a recorder
	require.Less(t, answer.StatusCode, 300)
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&out))
	return out
}

// retain sets the retention of a queue, and returns a function that returns the number of its messages.
func retain(t *testing.T, sys *systemtest.System, queue string, period time.Duration) (waiting func() string) {
	t.Helper()
	client := sqs.NewFromConfig(sys.AWS.Config())
	found, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	require.NoError(t, err)
	_, err = client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: found.QueueUrl, Attributes: map[string]string{"MessageRetentionPeriod": strconv.Itoa(int(period.Seconds()))},
	})
	require.NoError(t, err)
	return func() string {
		count := types.QueueAttributeNameApproximateNumberOfMessages
		out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: found.QueueUrl, AttributeNames: []types.QueueAttributeName{count},
		})
		require.NoError(t, err)
		return out.Attributes[string(count)]
	}
}
