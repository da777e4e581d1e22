package sqs

import (
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// entities are the keys of what is stored, by kind. The keys of what a queue has begin with its id, which is never used again.
type entities struct {
	queues    journal.Key // name
	deletions journal.Key // name
	newest    journal.Key // queue, or "" for all that were deleted
	messages  journal.Key // queue, number
	letters   journal.Key // dead-letter queue, source queue, number there
	sent      journal.Key // queue, group, deduplication id
	attempts  journal.Key // queue, attempt
}

func entitiesOf(region string) entities {
	all := journal.Key(nil).With(region, "sqs")
	return entities{
		queues: all.With("queue"), deletions: all.With("deleted"), newest: all.With("newest"), messages: all.With("message"),
		letters: all.With("letter"), sent: all.With("sent"), attempts: all.With("attempt"),
	}
}

type storedQueue struct {
	ID                              string
	FIFO                            bool
	CreatedAt, ModifiedAt, PurgedAt time.Time
	Attributes, Tags                map[string]string
}

type storedMessage struct {
	ID, Group, Dedup, Source   string
	Body, BodyMD5, TraceHeader string
	Attributes                 map[string]messageAttribute
	SentAt, FirstGotAt         time.Time
	ReceivedAll, Received      int
	ReceivedAt                 time.Time
	Changed                    bool
	State                      int
	DueAt                      time.Time
}

type storedSent struct {
	MessageID string
	Number    uint64
	At        time.Time
}

type storedAttempt struct {
	Receipts []storedReceipt
	At       time.Time
}

type storedReceipt struct {
	Number  uint64
	Receive int
}

// unsaved is what was changed since the queue was locked.
type unsaved struct {
	self     bool
	messages map[uint64]struct{}
	opened   []journal.Key // letters that are messages now
	newest   uint64        // as it was saved last
}

// changed notes that a message was changed or removed.
func (q *queue) changed(m *message) {
	if q.journal == nil {
		return
	}
	if q.unsaved.messages == nil {
		q.unsaved.messages = map[uint64]struct{}{}
	}
	q.unsaved.messages[m.number] = struct{}{}
}

// opened notes that a letter has become a message.
func (q *queue) opened(l letter) {
	if q.journal != nil {
		q.unsaved.opened = append(q.unsaved.opened, l.key)
	}
}

// unlock journals what was changed since lock, as a whole, and releases the lock.
func (q *queue) unlock() {
	if q.journal != nil {
		q.save()
	}
	q.mu.Unlock()
}

func (q *queue) save() {
	var b journal.Batch
	if q.unsaved.self {
		q.saveSelf(&b)
	}
	if q.unsaved.newest != q.newest {
		b.Put(q.entities.newest.With(q.id), q.newest)
	}
	for _, number := range slices.Sorted(maps.Keys(q.unsaved.messages)) {
		if m := q.messages[number]; m != nil {
			b.Put(q.messageKey(number), m.stored())
		} else {
			b.Delete(q.messageKey(number))
		}
	}
	for _, key := range q.unsaved.opened {
		b.Delete(key)
	}
	for _, k := range q.sent.changed {
		key := q.entities.sent.With(q.id, k.group, k.id)
		if e, ok := q.sent.byKey[k]; ok {
			b.Put(key, storedSent{e.value.messageID, e.value.number, e.at})
		} else {
			b.Delete(key)
		}
	}
	for _, k := range q.attempts.changed {
		key := q.entities.attempts.With(q.id, k)
		if e, ok := q.attempts.byKey[k]; ok {
			b.Put(key, storedAttempt{storedReceipts(e.value), e.at})
		} else {
			b.Delete(key)
		}
	}
	if !q.deleted {
		q.journal.Add(b)
	}
	clear(q.unsaved.messages)
	q.unsaved = unsaved{messages: q.unsaved.messages, newest: q.newest}
	q.sent.changed, q.attempts.changed = nil, nil
}

func (q *queue) saveSelf(b *journal.Batch) {
	b.Put(q.entities.queues.With(q.name), storedQueue{
		q.id, q.fifo, q.createdAt, q.modifiedAt, q.purgedAt, q.settings.Load().attributes, q.tags,
	})
}

// saveNew journals a queue that has just been created. The caller holds the service's lock.
func (q *queue) saveNew() {
	if q.journal == nil {
		return
	}
	var b journal.Batch
	b.Delete(q.entities.deletions.With(q.name))
	q.saveSelf(&b)
	q.journal.Add(b)
}

// saveDeleted journals that a queue and everything in it is deleted. The caller holds the service's lock and the queue's.
func (q *queue) saveDeleted(at time.Time) {
	if q.journal == nil || q.deleted {
		return
	}
	var b journal.Batch
	b.Delete(q.entities.queues.With(q.name))
	b.Put(q.entities.deletions.With(q.name), at)
	b.Delete(q.entities.newest.With(q.id))
	b.Put(q.entities.newest.With(""), q.sequence.Load())
	for number := range q.messages {
		b.Delete(q.messageKey(number))
	}
	for k := range q.sent.byKey {
		b.Delete(q.entities.sent.With(q.id, k.group, k.id))
	}
	for k := range q.attempts.byKey {
		b.Delete(q.entities.attempts.With(q.id, k))
	}
	q.journal.Add(b) // letters that were not opened are removed by load
}

// saveLetter journals that a message has moved to the inbox of a dead-letter queue, and returns its key there. The caller holds
// the lock of the inbox, so this comes before the opening of the letter.
func (q *queue) saveLetter(m *message, dead *queue) journal.Key {
	if q.journal == nil {
		return nil
	}
	key := q.entities.letters.With(dead.id, q.id, journal.Number(m.number))
	var b journal.Batch
	b.Delete(q.messageKey(m.number))
	b.Put(key, m.stored())
	q.journal.Add(b)
	return key
}

func (q *queue) messageKey(number uint64) journal.Key {
	return q.entities.messages.With(q.id, journal.Number(number))
}

func (m *message) stored() storedMessage {
	return storedMessage{
		ID: m.id, Group: m.groupID, Dedup: m.dedupID, Source: m.sourceARN,
		Body: m.body, BodyMD5: m.bodyMD5, TraceHeader: m.traceHeader, Attributes: m.attributes,
		SentAt: m.sentAt, FirstGotAt: m.firstGotAt, ReceivedAll: m.receivedAll, Received: m.received, ReceivedAt: m.receivedAt,
		Changed: m.changed, State: int(m.state), DueAt: m.dueAt,
	}
}

func (s storedMessage) message(number uint64) *message {
	return &message{
		content: content{body: s.Body, bodyMD5: s.BodyMD5, attributes: s.Attributes, traceHeader: s.TraceHeader},
		id:      s.ID, groupID: s.Group, dedupID: s.Dedup, sourceARN: s.Source, number: number,
		sentAt: s.SentAt, firstGotAt: s.FirstGotAt, receivedAll: s.ReceivedAll, received: s.Received, receivedAt: s.ReceivedAt,
		changed: s.Changed,
	}
}

func storedReceipts(receipts []receipt) []storedReceipt {
	out := make([]storedReceipt, len(receipts))
	for i, r := range receipts {
		out[i] = storedReceipt{r.number, r.receive}
	}
	return out
}

// Load restores what the journal's store has. It is called before the first operation.
func (s *Service) Load() error {
	l := loading{s: s, queues: map[string]*queue{}}
	j, e := s.options.Journal, s.entities
	for _, load := range []func() error{
		func() error { return journal.Each(j, e.queues, l.queue) },
		func() error { return journal.Each(j, e.deletions, l.deletion) },
		func() error { return journal.Each(j, e.newest, l.newest) },
		func() error { return journal.Each(j, e.messages, l.message) },
		func() error { return journal.Each(j, e.letters, l.letter) },
		func() error { return journal.Each(j, e.sent, l.sent) },
		func() error { return journal.Each(j, e.attempts, l.attempt) },
	} {
		if err := load(); err != nil {
			return err
		}
	}
	j.Add(l.orphans)
	for _, q := range l.queues {
		q.sent.sort()
		q.attempts.sort()
		q.unsaved = unsaved{newest: q.newest}
	}
	return nil
}

// loading is a Service that is being restored.
type loading struct {
	s       *Service
	queues  map[string]*queue // by id
	orphans journal.Batch     // removes what is of no use any more
}

func (l *loading) queue(id []string, v storedQueue) error {
	set, err := parseSettings(v.Attributes)
	if err != nil {
		return err
	}
	q := l.s.newQueue(id[0], v.FIFO, v.CreatedAt, v.Tags)
	q.id, q.modifiedAt, q.purgedAt = v.ID, v.ModifiedAt, v.PurgedAt
	q.settings.Store(set)
	l.s.queues[q.name], l.queues[q.id] = q, q
	return nil
}

func (l *loading) deletion(id []string, at time.Time) error {
	if l.s.options.Now().Sub(at) < cooldown {
		l.s.deletedAt[id[0]] = at
	} else {
		l.orphans.Delete(l.s.entities.deletions.With(id...))
	}
	return nil
}

// owner returns the queue of an entity. If there is none, the entity is removed.
func (l *loading) owner(kind journal.Key, id []string) *queue {
	q := l.queues[id[0]]
	if q == nil {
		l.orphans.Delete(kind.With(id...))
	}
	return q
}

func (l *loading) newest(id []string, number uint64) error {
	if q := l.queues[id[0]]; q != nil {
		q.newest = number
	}
	l.s.sequence.Store(max(l.s.sequence.Load(), number))
	return nil
}

func (l *loading) message(id []string, v storedMessage) error {
	q := l.owner(l.s.entities.messages, id)
	if q == nil {
		return nil
	}
	m := v.message(journal.ParseNumber(id[1]))
	q.insert(m)
	if kept := state(v.State); kept != visible {
		q.place(m, kept, v.DueAt)
	}
	q.realign(m.group)
	return nil
}

func (l *loading) letter(id []string, v storedMessage) error {
	if q := l.owner(l.s.entities.letters, id); q != nil {
		q.inbox.letters = append(q.inbox.letters, letter{v.message(0), l.s.entities.letters.With(id...)})
	}
	return nil
}

func (l *loading) sent(id []string, v storedSent) error {
	if q := l.owner(l.s.entities.sent, id); q != nil {
		q.sent.restore(dedupKey{id[1], id[2]}, sent{v.MessageID, v.Number}, v.At)
	}
	return nil
}

func (l *loading) attempt(id []string, v storedAttempt) error {
	q := l.owner(l.s.entities.attempts, id)
	if q == nil {
		return nil
	}
	receipts := make([]receipt, len(v.Receipts))
	for i, r := range v.Receipts {
		receipts[i] = receipt{q.id, r.Number, r.Receive}
	}
	q.attempts.restore(id[1], receipts, v.At)
	return nil
}
