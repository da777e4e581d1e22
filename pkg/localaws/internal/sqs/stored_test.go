package sqs

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// memory is a journal's store.
type memory map[string][]byte

func (m memory) Each(prefix []byte, f func(key, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(key, string(prefix)) {
			if err := f([]byte(key), m[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m memory) Write(changes []journal.Change) error {
	for _, c := range changes {
		if m[string(c.Key)] = c.Value; c.Value == nil {
			delete(m, string(c.Key))
		}
	}
	return nil
}

// TestAMessageOnItsWayToTheDeadLettersIsKept ends the process after each step of the way.
func TestAMessageOnItsWayToTheDeadLettersIsKept(t *testing.T) {
	t.Parallel()
	store := memory{}
	j := journal.New(store)
	options := Options{Region: "r", AccountID: "1", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }, Journal: j}
	s := New(options)
	bodies := func(queue string) (out []string) {
		restarted := New(Options{Region: "r", AccountID: "1", Now: options.Now, Journal: journal.New(maps.Clone(store))})
		require.NoError(t, restarted.Load())
		got, err := restarted.receiveMessage(t.Context(), &receiveInput{QueueURL: queue})
		require.NoError(t, err)
		for _, m := range got.Messages {
			out = append(out, m.Body)
		}
		return out
	}
	_, err := s.createQueue(t.Context(), &createQueueInput{QueueName: "dead"})
	require.NoError(t, err)
	_, err = s.createQueue(t.Context(), &createQueueInput{QueueName: "q", Attributes: map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:r:1:dead","maxReceiveCount":1}`,
	}})
	require.NoError(t, err)
	_, err = s.sendMessage(t.Context(), &sendInput{QueueURL: "q", sendEntry: sendEntry{MessageBody: "m"}})
	require.NoError(t, err)
	now := 0
	_, err = s.receiveMessage(t.Context(), &receiveInput{QueueURL: "q", VisibilityTimeout: &now})
	require.NoError(t, err)
	q, dead := s.queues["q"], s.queues["dead"]
	_, _, err = q.tryReceive(request{max: 1}, dead, "1")
	require.NoError(t, err)
	require.NoError(t, j.Flush())
	assert.Empty(t, bodies("q"))
	assert.Equal(t, []string{"m"}, bodies("dead"), "in the inbox")

	dead.collect()
	require.NoError(t, j.Flush())
	assert.Equal(t, []string{"m"}, bodies("dead"), "in the queue, and not in the inbox")
	_, err = s.receiveMessage(t.Context(), &receiveInput{QueueURL: "dead"})
	require.NoError(t, err)
	require.NoError(t, j.Flush())
	assert.Empty(t, bodies("dead"), "it is there once")
}
