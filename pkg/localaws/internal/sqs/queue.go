package sqs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

const (
	// dedupSpan is the deduplication interval. It begins with the first send; a duplicate does not prolong it.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
	dedupSpan = 5 * time.Minute
	// attemptSpan is how long a ReceiveRequestAttemptId is valid.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html
	attemptSpan = 5 * time.Minute
	// maxInFlight is the limit of standard and FIFO queues.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
	maxInFlight = 120_000
)

// state is a message's state. A deleted message has none; it is in no list.
type state int

const (
	visible  state = iota // can be received, in the order of its group
	delayed               // becomes visible at dueAt; not received yet
	inFlight              // received; becomes visible again at dueAt
)

// message is guarded by its queue's lock, except for fields that never change after the send.
type message struct {
	content
	id          string
	groupID     string
	dedupID     string
	sourceARN   string // of the queue from which it came as a dead letter
	firstGotAt  time.Time
	sentAt      time.Time
	receivedAll int    // in all queues
	number      uint64 // its key and sequence number in this queue
	received    int    // in this queue; part of its latest receipt
	receivedAt  time.Time
	changed     bool // whether its visibility was changed since the last receive
	state       state
	dueAt       time.Time
	dueIndex    int
	group       *group
	inGroup     place[*message]
	inQueue     place[*message]
}

// group holds the messages of one message group, oldest first. It is in the queue's line if and only if its first message is
// visible. That is the FIFO rule: messages after an invisible one cannot be received.
type group struct {
	id       string
	messages list[*message]
	inLine   place[*group]
}

type dedupKey struct{ group, id string }

// sent is the result of a send and of each of its duplicates.
type sent struct {
	messageID string
	number    uint64
}

// queue is one queue. Callers of its methods hold its lock, which is taken by lock and released by unlock.
type queue struct {
	name, arn string
	id        string // distinguishes its receipts from those of a deleted queue of the same name
	fifo      bool
	now       func() time.Time
	sequence  *atomic.Uint64
	journal   *journal.Journal
	entities  entities
	createdAt time.Time
	settings  atomic.Pointer[settings] // replaced under the lock, never modified

	mu         sync.Mutex
	modifiedAt time.Time
	purgedAt   time.Time
	deleted    bool
	tags       map[string]string
	newest     uint64 // the greatest number of a message so far
	messages   map[uint64]*message
	arrival    list[*message] // oldest first, for retention
	groups     map[string]*group
	line       list[*group] // groups to receive from, round robin
	due        dueHeap      // all invisible messages
	counts     [inFlight + 1]int
	sent       recent[dedupKey, sent]
	attempts   recent[string, []receipt]
	wake       chan struct{} // closed when waiting receives must retry
	waited     bool          // whether a receive may be waiting for wake
	unsaved    unsaved

	inbox inbox
}

// inbox takes dead letters from other queues. Its lock is taken under any queue's lock and never around another, so that two
// queues can be each other's dead-letter queue.
type inbox struct {
	mu      sync.Mutex
	letters []letter
}

// letter is a dead letter and the key under which it is stored until it is in the queue.
type letter struct {
	*message
	key journal.Key
}

// lock takes the queue's lock and updates the queue: it moves in dead letters, expires messages and shows those that are due.
func (q *queue) lock() time.Time {
	q.mu.Lock()
	now := q.now()
	q.openInbox(now)
	q.expire(now)
	for len(q.due) > 0 && !q.due[0].dueAt.After(now) {
		m := q.due[0]
		q.place(m, visible, time.Time{})
		q.realign(m.group)
	}
	return now
}

func (q *queue) openInbox(now time.Time) {
	q.inbox.mu.Lock()
	letters := q.inbox.letters
	q.inbox.letters = nil
	q.inbox.mu.Unlock()
	for _, l := range letters {
		if q.fifo { // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
			l.sentAt = now
		}
		q.add(l.message, 0, now)
		q.opened(l)
	}
}

// expire removes messages older than the retention period, in flight or not. Messages keep their age in a standard
// dead-letter queue; an older one behind a younger one is removed together with that.
func (q *queue) expire(now time.Time) {
	oldest := now.Add(-q.settings.Load().retention)
	for p := q.arrival.front; p != nil && !p.value.sentAt.After(oldest); p = q.arrival.front {
		q.remove(p.value)
	}
}

// add numbers a new message and puts it in its group.
func (q *queue) add(m *message, delay time.Duration, now time.Time) {
	m.number = q.sequence.Add(1)
	q.newest = m.number
	q.insert(m)
	if delay > 0 {
		q.place(m, delayed, now.Add(delay))
	}
	q.realign(m.group)
}

// insert puts a message behind all others, visible. The caller must realign its group afterwards.
func (q *queue) insert(m *message) {
	m.inGroup, m.inQueue = place[*message]{value: m}, place[*message]{value: m}
	q.messages[m.number] = m
	q.arrival.push(&m.inQueue)
	m.group = q.groupOf(m)
	m.group.messages.push(&m.inGroup)
	m.state = visible
	q.counts[visible]++
	q.changed(m)
}

func (q *queue) groupOf(m *message) *group {
	if !q.fifo {
		return newGroup("")
	}
	g := q.groups[m.groupID]
	if g == nil {
		g = newGroup(m.groupID)
		q.groups[m.groupID] = g
	}
	return g
}

func newGroup(id string) *group {
	g := &group{id: id}
	g.inLine.value = g
	return g
}

func (q *queue) remove(m *message) {
	q.place(m, visible, time.Time{})
	q.counts[visible]--
	delete(q.messages, m.number)
	q.arrival.remove(&m.inQueue)
	m.group.messages.remove(&m.inGroup)
	q.realign(m.group)
}

// place moves a message to a state. The caller must realign its group afterwards.
func (q *queue) place(m *message, s state, dueAt time.Time) {
	if m.state != visible {
		q.due.remove(m)
	}
	q.counts[m.state]--
	q.counts[s]++
	m.state, m.dueAt = s, dueAt
	q.changed(m)
	if s != visible {
		q.due.add(m)
		if m.dueIndex == 0 {
			q.wakeReceivers() // they may wait for a later time
		}
	}
}

// realign restores the rule of group after a change of its messages.
func (q *queue) realign(g *group) {
	first := g.messages.front
	ready := first != nil && first.value.state == visible
	switch {
	case ready && !g.inLine.in:
		q.line.push(&g.inLine)
		q.wakeReceivers()
	case !ready && g.inLine.in:
		q.line.remove(&g.inLine)
	}
	if first == nil && q.groups[g.id] == g {
		delete(q.groups, g.id)
	}
}

// wakeReceivers makes all waiting receives retry.
func (q *queue) wakeReceivers() {
	if q.waited {
		close(q.wake)
		q.wake, q.waited = make(chan struct{}), false
	}
}

// take receives up to n messages: as many as possible of the group at the head of the line, then of the next.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
// If dead is not nil, messages that were received too often are moved there instead.
func (q *queue) take(now time.Time, n int, visibility time.Duration, dead *queue) []*message {
	limit := q.settings.Load().redrive.MaxReceiveCount
	n = min(n, maxInFlight-q.counts[inFlight])
	var taken []*message
	for len(taken) < n && q.line.front != nil {
		g := q.line.front.value
		q.line.remove(&g.inLine)
		for p := g.messages.front; p != nil && p.value.state == visible && len(taken) < n; {
			m := p.value
			p = p.next
			if dead != nil && m.received >= limit {
				q.moveToDeadLetters(m, dead)
				continue
			}
			q.receive(m, now, visibility)
			taken = append(taken, m)
		}
		q.realign(g)
	}
	return taken
}

func (q *queue) receive(m *message, now time.Time, visibility time.Duration) {
	q.place(m, inFlight, now.Add(visibility))
	m.received++
	m.receivedAll++
	m.receivedAt, m.changed = now, false
	if m.firstGotAt.IsZero() {
		m.firstGotAt = now
	}
}

// moveToDeadLetters moves a message to the dead-letter queue. It keeps the group's order, since q's lock is held.
func (q *queue) moveToDeadLetters(m *message, dead *queue) {
	q.remove(m)
	m.received, m.sourceARN = 0, q.arn
	dead.inbox.mu.Lock()
	defer dead.inbox.mu.Unlock()
	dead.inbox.letters = append(dead.inbox.letters, letter{m, q.saveLetter(m, dead)})
}

// hide restarts a received message's visibility timeout; zero makes it visible.
func (q *queue) hide(m *message, now time.Time, visibility time.Duration) {
	if visibility == 0 {
		q.place(m, visible, time.Time{})
	} else {
		q.place(m, inFlight, now.Add(visibility))
	}
	q.realign(m.group)
}

// setDelay applies a changed delay to the messages that are already delayed, as FIFO queues do.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
func (q *queue) setDelay(delay time.Duration) {
	for _, m := range q.due {
		if m.state == delayed {
			m.dueAt = m.sentAt.Add(delay)
			q.changed(m)
		}
	}
	q.due.order()
	q.wakeReceivers()
}

// purge removes all messages and deduplication ids: https://github.com/localstack/localstack/pull/8218
func (q *queue) purge() {
	q.sent.clear()
	for q.arrival.front != nil {
		q.remove(q.arrival.front.value)
	}
}
