package sqs

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// dedupSpan is the deduplication interval, counted from the first send; a repeated one does not prolong it.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
	dedupSpan = 5 * time.Minute
	// attemptSpan is how long a ReceiveRequestAttemptId can be used.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html
	attemptSpan = 5 * time.Minute
	// maxInFlight holds for standard and FIFO queues alike.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
	maxInFlight = 120_000
)

// state is where a message stands. A deleted message is in no list any more.
type state int

const (
	visible  state = iota // its turn depends on its group
	delayed               // visible at dueAt, never received yet
	inFlight              // received, visible again at dueAt
)

// message is guarded by its queue's lock, but for what never changes once it was sent.
type message struct {
	content
	id          string
	groupID     string
	dedupID     string
	sourceARN   string // of the queue that gave it up as a dead letter
	firstGotAt  time.Time
	sentAt      time.Time
	receivedAll int    // in all queues
	number      uint64 // its key, sequence number and age in this queue
	received    int    // in this queue; names its latest receipt
	receivedAt  time.Time
	changed     bool // its visibility, since it was received
	state       state
	dueAt       time.Time
	dueIndex    int
	group       *group
	inGroup     place[*message]
	inQueue     place[*message]
}

// group holds the undeleted messages of one message group, oldest first. It is in the queue's line if and only if its
// first message is visible: that alone is the FIFO rule, for what lies behind a hidden message is out of reach.
type group struct {
	id       string
	messages list[*message]
	inLine   place[*group]
}

type dedupKey struct{ group, id string }

// sent is the answer to a send, and to each of its duplicates.
type sent struct {
	messageID string
	number    uint64
}

// queue is one queue. Whoever calls its unexported methods holds its lock, taken by lock.
type queue struct {
	name, arn, url string
	id             string // tells its receipts from those of a namesake
	fifo           bool
	now            func() time.Time
	sequence       *atomic.Uint64
	createdAt      time.Time
	settings       atomic.Pointer[settings] // replaced as a whole, under the lock

	mu         sync.Mutex
	modifiedAt time.Time
	purgedAt   time.Time
	deleted    bool
	tags       map[string]string
	messages   map[uint64]*message
	arrival    list[*message] // oldest first, for retention
	groups     map[string]*group
	line       list[*group] // groups to receive from; a group goes to its end after its turn, so none starves
	due        dueHeap      // all that is not visible
	counts     [inFlight + 1]int
	sent       recent[dedupKey, sent]
	attempts   recent[string, []receipt]
	wake       chan struct{} // closed when a waiting receive should look again
	waited     bool          // whether anybody may wait for stirred

	inbox inbox
}

// inbox takes dead letters from other queues. Its lock is held for moments only and under any queue's lock, so that two
// queues may be each other's dead-letter queue.
type inbox struct {
	mu      sync.Mutex
	letters []*message
}

// lock takes the queue's lock and brings the queue up to the present.
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
	for _, m := range letters {
		if q.fifo { // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
			m.sentAt = now
		}
		q.add(m, 0, now)
	}
}

// expire drops what is older than the retention period, in flight or not. Letters in a standard dead-letter queue keep
// their age; they go with the messages that arrived before them.
func (q *queue) expire(now time.Time) {
	oldest := now.Add(-q.settings.Load().retention)
	for p := q.arrival.front; p != nil && !p.value.sentAt.After(oldest); p = q.arrival.front {
		q.remove(p.value)
	}
}

// add gives a new message its number and place.
func (q *queue) add(m *message, delay time.Duration, now time.Time) {
	m.number = q.sequence.Add(1)
	m.inGroup, m.inQueue = place[*message]{value: m}, place[*message]{value: m}
	q.messages[m.number] = m
	q.arrival.push(&m.inQueue)
	m.group = q.groupOf(m)
	m.group.messages.push(&m.inGroup)
	m.state = visible
	q.counts[visible]++
	if delay > 0 {
		q.place(m, delayed, now.Add(delay))
	}
	q.realign(m.group)
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

// place moves a message to a state. Its group must be realigned afterwards.
func (q *queue) place(m *message, s state, dueAt time.Time) {
	if m.state != visible {
		q.due.remove(m)
	}
	q.counts[m.state]--
	q.counts[s]++
	m.state, m.dueAt = s, dueAt
	if s != visible {
		q.due.add(m)
		if m.dueIndex == 0 {
			q.wakeReceivers() // who waits for a later time would sleep too long
		}
	}
}

// realign keeps the rule of group after any change of its messages.
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

// stir wakes all waiting receives.
func (q *queue) wakeReceivers() {
	if q.waited {
		close(q.wake)
		q.wake, q.waited = make(chan struct{}), false
	}
}

// take receives up to n messages: as many as possible of the group at the head of the line, then of the next.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
// A message received often enough goes to the dead-letter queue instead, if there is one.
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

// bury moves a message to the dead-letter queue, which keeps the group's order: the inbox is filled under our lock.
func (q *queue) moveToDeadLetters(m *message, dead *queue) {
	q.remove(m)
	m.received, m.sourceARN = 0, q.arn
	dead.inbox.mu.Lock()
	defer dead.inbox.mu.Unlock()
	dead.inbox.letters = append(dead.inbox.letters, m)
}

// hide sets a received message's visibility timeout anew, from now on.
func (q *queue) hide(m *message, now time.Time, visibility time.Duration) {
	if visibility == 0 {
		q.place(m, visible, time.Time{})
	} else {
		q.place(m, inFlight, now.Add(visibility))
	}
	q.realign(m.group)
}

// setDelay makes a changed delay hold for the delayed messages too, as FIFO queues do.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
func (q *queue) setDelay(delay time.Duration) {
	for _, m := range q.due {
		if m.state == delayed {
			m.dueAt = m.sentAt.Add(delay)
		}
	}
	q.due.order()
	q.wakeReceivers()
}

// purge drops all messages. What was sent stays known for deduplication.
func (q *queue) purge() {
	for q.arrival.front != nil {
		q.remove(q.arrival.front.value)
	}
}
