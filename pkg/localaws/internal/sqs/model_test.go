package sqs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model is the simplest FIFO queue: a list per group.
type model struct {
	groups map[string][]*modelMessage
	now    time.Time
}

type modelMessage struct {
	body     string
	handle   string
	hidden   time.Time
	receives int
}

func (m *model) free(msg *modelMessage) bool { return !msg.hidden.After(m.now) }

// available counts the messages in front of the first hidden one, over all groups.
func (m *model) available() int {
	n := 0
	for _, messages := range m.groups {
		for _, msg := range messages {
			if !m.free(msg) {
				break
			}
			n++
		}
	}
	return n
}

// take checks a receive: it returns as many messages as possible, the first of each group, and no hidden ones.
func (m *model) take(t *rapid.T, got []receivedMessage, max int, visibility time.Duration) {
	require.Len(t, got, min(max, m.available()))
	taken := map[string]int{}
	for _, r := range got {
		group := r.Attributes["MessageGroupId"]
		messages := m.groups[group]
		at := taken[group]
		taken[group]++
		require.Less(t, at, len(messages), "group %s has no such message", group)
		msg := messages[at]
		require.Equal(t, msg.body, r.Body, "order of group %s", group)
		require.True(t, m.free(msg), "%s delivered twice within its visibility timeout", msg.body)
		msg.receives++
		require.Equal(t, strconv.Itoa(msg.receives), r.Attributes["ApproximateReceiveCount"])
		msg.handle = r.ReceiptHandle
	}
	for group, n := range taken {
		for _, msg := range m.groups[group][:n] {
			msg.hidden = m.now.Add(visibility)
		}
	}
}

func (m *model) all() []*modelMessage {
	var out []*modelMessage
	for _, group := range slices.Sorted(maps.Keys(m.groups)) {
		out = append(out, m.groups[group]...)
	}
	return out
}

func (m *model) remove(msg *modelMessage) {
	for group, messages := range m.groups {
		if i := slices.Index(messages, msg); i >= 0 {
			m.groups[group] = slices.Delete(messages, i, i+1)
		}
	}
}

// After any sends, receives, deletes, changes of visibility and waits, each group is delivered in order, nothing is lost,
// nothing is delivered twice within its visibility timeout, and a stale receipt has no effect.
func TestFIFOQueueBehavesAsItsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := newTestClock()
		s, url := newFIFO(t, clock.read)
		q, err := s.byURL(url)
		require.NoError(t, err)
		m := &model{groups: map[string][]*modelMessage{}, now: clock.read()}
		stale := []string{}
		sends := 0
		visibilities := rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, 30 * time.Second})
		received := func(t *rapid.T) *modelMessage {
			var known []*modelMessage
			for _, msg := range m.all() {
				if msg.handle != "" {
					known = append(known, msg)
				}
			}
			if len(known) == 0 {
				t.Skip("nothing received")
			}
			return rapid.SampledFrom(known).Draw(t, "message")
		}
		t.Repeat(map[string]func(*rapid.T){
			"send": func(t *rapid.T) {
				group := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "group")
				body := fmt.Sprintf("%s-%d", group, sends)
				sends++
				send(t, s, url, group, body)
				send(t, s, url, group, body) // a duplicate adds nothing
				m.groups[group] = append(m.groups[group], &modelMessage{body: body})
			},
			"receive": func(t *rapid.T) {
				n, visibility := rapid.IntRange(1, 10).Draw(t, "max"), visibilities.Draw(t, "visibility")
				for _, msg := range m.all() {
					if msg.handle != "" && m.free(msg) {
						stale = append(stale, msg.handle)
					}
				}
				m.take(t, receive(t, s, url, n, visibility), n, visibility)
			},
			"delete": func(t *rapid.T) {
				msg := received(t)
				if err := q.delete(msg.handle); m.free(msg) {
					require.ErrorIs(t, err, errStale)
				} else {
					require.NoError(t, err)
					m.remove(msg)
				}
			},
			"change visibility": func(t *rapid.T) {
				msg, visibility := received(t), visibilities.Draw(t, "visibility")
				seconds := int(visibility.Seconds())
				if err := q.changeVisibility(changeVisibility{msg.handle, &seconds}); m.free(msg) {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
					msg.hidden = m.now.Add(visibility)
				}
			},
			"stale receipt": func(t *rapid.T) {
				if len(stale) == 0 {
					t.Skip("none")
				}
				handle := rapid.SampledFrom(stale).Draw(t, "handle")
				if slices.ContainsFunc(m.all(), func(msg *modelMessage) bool { return msg.handle == handle && !m.free(msg) }) {
					return // it was hidden again, not received again: not stale
				}
				before := q.attributes()
				if err := q.delete(handle); err != nil {
					require.ErrorIs(t, err, errStale)
				}
				require.Equal(t, before, q.attributes())
			},
			"wait": func(t *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 6 * time.Second, time.Minute}).Draw(t, "span")
				clock.advance(d)
				m.now = clock.read()
			},
			"": func(t *rapid.T) {
				hidden := 0
				for _, msg := range m.all() {
					if !m.free(msg) {
						hidden++
					}
				}
				counts := q.attributes()
				require.Equal(t, strconv.Itoa(hidden), counts["ApproximateNumberOfMessagesNotVisible"])
				require.Equal(t, strconv.Itoa(len(m.all())-hidden), counts["ApproximateNumberOfMessages"])
			},
		})
		drain(t, s, q, m, clock)
	})
}

// drain receives and deletes the remaining messages: none may be lost, and the queue must be empty inside.
func drain(t *rapid.T, s *Service, q *queue, m *model, clock *testClock) {
	clock.advance(time.Hour)
	m.now = clock.read()
	for left := len(m.all()); left > 0; left = len(m.all()) {
		got := receive(t, s, q.name, 10, time.Minute)
		require.NotEmpty(t, got, "%d messages lost", left)
		m.take(t, got, 10, time.Minute)
		for _, msg := range m.all() {
			if !m.free(msg) {
				require.NoError(t, q.delete(msg.handle))
				m.remove(msg)
			}
		}
	}
	q.lock()
	defer q.unlock()
	require.Empty(t, q.messages)
	require.Empty(t, q.groups)
	require.Empty(t, q.due)
	require.Nil(t, q.arrival.front)
	require.Nil(t, q.line.front)
	require.Equal(t, [inFlight + 1]int{}, q.counts)
}

// A group that is refilled again and again cannot starve the others.
func TestNoGroupStarves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, url := newFIFO(t, newTestClock().read)
		q, err := s.byURL(url)
		require.NoError(t, err)
		groups := rapid.IntRange(2, 20).Draw(t, "groups")
		for i := range groups * 3 {
			send(t, s, url, strconv.Itoa(i%groups), strconv.Itoa(i))
		}
		seen := map[string]bool{}
		for i := range groups { // each step adds one to the group just served
			got := receive(t, s, url, 1, time.Minute)
			require.Len(t, got, 1)
			group := got[0].Attributes["MessageGroupId"]
			seen[group] = true
			require.NoError(t, q.delete(got[0].ReceiptHandle))
			send(t, s, url, group, "more-"+strconv.Itoa(i))
		}
		require.Len(t, seen, groups, "each group had its turn")
	})
}

func TestAReceiveAttemptReplaysWithinFiveMinutesUnlessItsMessagesChanged(t *testing.T) {
	t.Parallel()
	clock := newTestClock()
	s, url := newFIFO(t, clock.read)
	q, err := s.byURL(url)
	require.NoError(t, err)
	send(t, s, url, "a", "1")
	send(t, s, url, "a", "2")
	send(t, s, url, "b", "3")
	attempt := func(id string) []receivedMessage {
		max, visibility := 2, 30
		out, err := s.receiveMessage(context.Background(), &receiveInput{
			QueueURL: url, MaxNumberOfMessages: &max, VisibilityTimeout: &visibility, ReceiveRequestAttemptID: id,
			MessageSystemAttributeNames: []string{"ApproximateReceiveCount"},
		})
		require.NoError(t, err)
		return out.Messages
	}
	first := attempt("x")
	require.Len(t, first, 2)
	clock.advance(20 * time.Second)
	require.Equal(t, first, attempt("x"), "same messages, receipts and counts")
	clock.advance(20 * time.Second)
	require.Equal(t, first, attempt("x"), "the replay hid them anew")
	require.NoError(t, q.delete(first[0].ReceiptHandle))
	other := attempt("x")
	require.Len(t, other, 1, "a deleted message ends the replay: the next receive is a new one")
	require.Equal(t, "3", other[0].Body)
	require.Equal(t, other, attempt("x"))
	require.NoError(t, q.changeVisibility(changeVisibility{other[0].ReceiptHandle, aws.Int(60)}))
	require.Empty(t, attempt("x"), "and so does a changed visibility")
}
