package localaws_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// sqsWait receives in a long poll and returns when it ended.
func sqsWait(ctx context.Context, c *sqs.Client, url *string) <-chan []string {
	done := make(chan []string, 1)
	go func() {
		out, err := c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20, MaxNumberOfMessages: 10})
		if err != nil {
			done <- []string{"error: " + err.Error()}
			return
		}
		done <- sqsBodies(out.Messages)
	}()
	return done
}

// sqsGuide + sqs-short-and-long-polling.html: a long poll ends as soon as there is a message, and empty after its time.
func TestSQSLongPollsEndWithAMessageOrTheirTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		setUp func(*testing.T, *sqs.Client, *string) (wake func())
		after time.Duration // from the start of the poll
		got   []string
	}{
		{"a send", func(t *testing.T, c *sqs.Client, url *string) func() {
			return func() { sqsSend(t, c, url, "g", "m") }
		}, 3 * time.Second, []string{"m"}},
		{"a visibility that ends by itself", func(t *testing.T, c *sqs.Client, url *string) func() {
			sqsSend(t, c, url, "g", "m")
			sqsTake(t, c, url, 1)
			return func() {}
		}, 10 * time.Second, []string{"m"}},
		{"a visibility set to zero", func(t *testing.T, c *sqs.Client, url *string) func() {
			sqsSend(t, c, url, "g", "m")
			m := sqsTake(t, c, url, 1)[0]
			return func() { require.NoError(t, sqsChange(t, c, url, m, 0)) }
		}, 3 * time.Second, []string{"m"}},
		{"a visibility made shorter", func(t *testing.T, c *sqs.Client, url *string) func() {
			sqsSend(t, c, url, "g", "m")
			m := sqsTake(t, c, url, 1)[0]
			require.NoError(t, sqsChange(t, c, url, m, 100))
			return func() { require.NoError(t, sqsChange(t, c, url, m, 2)) }
		}, 5 * time.Second, []string{"m"}},
		{"a deletion that unlocks the group", func(t *testing.T, c *sqs.Client, url *string) func() {
			sqsSend(t, c, url, "g", "m1")
			sqsSend(t, c, url, "g", "m2")
			m := sqsTake(t, c, url, 1)[0]
			return func() { sqsDelete(t, c, url, m) }
		}, 3 * time.Second, []string{"m2"}},
		{"nothing", func(*testing.T, *sqs.Client, *string) func() { return func() {} }, 20 * time.Second, []string{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := newSQS(t)
				url := sqsCreate(t, c, "q.fifo", "VisibilityTimeout", "10")
				wake := row.setUp(t, c, url)
				started := time.Now()
				done := sqsWait(t.Context(), c, url)
				time.Sleep(3 * time.Second)
				synctest.Wait()
				wake()
				assert.Equal(t, row.got, <-done)
				assert.Equal(t, row.after, time.Since(started))
			})
		})
	}
}

func TestSQSLongPollsEndWithTheServerTheQueueAndTheClient(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		end  func(t *testing.T, s *localaws.Server, c *sqs.Client, url *string, cancel func())
		want string
	}{
		{"Close", func(_ *testing.T, s *localaws.Server, _ *sqs.Client, _ *string, _ func()) { s.Close() }, "[]"},
		{"cancel", func(_ *testing.T, _ *localaws.Server, _ *sqs.Client, _ *string, cancel func()) { cancel() }, "context canceled"},
		{"DeleteQueue", func(t *testing.T, _ *localaws.Server, c *sqs.Client, url *string, _ func()) {
			_, err := c.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: url})
			require.NoError(t, err)
		}, "NonExistentQueue"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, c := newSQS(t)
				url := sqsCreate(t, c, "q.fifo")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				started := time.Now()
				done := sqsWait(ctx, c, url)
				synctest.Wait()
				row.end(t, s, c, url, cancel)
				assert.Contains(t, fmt.Sprint(<-done), row.want)
				assert.Equal(t, started, time.Now(), "at once")
				if row.name != "DeleteQueue" {
					sqsSend(t, c, url, "g", "m")
					assert.Equal(t, []string{"m"}, sqsBodies(sqsTake(t, c, url, 1)), "a poll that ended takes nothing")
				}
			})
		})
	}
}
