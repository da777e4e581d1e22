package dynamodb

import (
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// kept is where the state is stored: a journal, nil to store nothing, and the keys of the entities, by kind.
type kept struct {
	journal *journal.Journal
	tables  journal.Key // name
	items   journal.Key // table, partition key, sort key
	streams journal.Key // table, label
	trimmed journal.Key // table, label, start of the shard
	records journal.Key // table, label, sequence number
	tokens  journal.Key // name
}

func keptIn(j *journal.Journal, region string) kept {
	all := journal.Key(nil).With(region, "dynamodb")
	return kept{
		journal: j, tables: all.With("table"), items: all.With("item"), streams: all.With("stream"),
		trimmed: all.With("trimmed"), records: all.With("record"), tokens: all.With("token"),
	}
}

type storedTable struct {
	ID          string
	CreatedAt   time.Time
	Keys        storedKeys
	Definitions definitions
	Indexes     []storedIndex
	Stream      string // label of the newest, enabled or not; "" if there was none
	TTL         string // attribute; "" while it is disabled
	Tags        map[string]string
	OnDemand    bool
	OnDemandAt  time.Time
	Throughput  throughput
	Class       string
	Protected   bool
	Encryption  *encryption
	Recovery    int `json:",omitempty"` // days
}

type storedKeys struct{ Hash, Sort string }

type storedIndex struct {
	Name       string
	Keys       storedKeys
	Local      bool
	Projection projection
	Throughput *throughput
}

type storedStream struct {
	View                  string
	Keys                  storedKeys
	CreatedAt, DisabledAt time.Time
	LastStamp             int64
	Shards                []storedShard
	Open                  []uint64 // start of the shard in each slot
}

type storedShard struct {
	ID, Parent string
	Start, End uint64
	ClosedAt   time.Time
}

type storedRecord struct {
	Shard               uint64 // its start
	CreatedAt           time.Time
	Keys, Before, After []byte
	ByService           bool
}

type storedToken struct {
	Request []byte
	DoneAt  time.Time
	Cost    map[string]float64 // read units by table
}

func (k keySchema) stored() storedKeys { return storedKeys{k.hash, k.sort} }

func (k storedKeys) schema() keySchema { return keySchema{k.Hash, k.Sort} }

// save journals a table without its items. It requires the gate exclusively.
func (t *table) save() {
	if t.kept.journal == nil {
		return
	}
	stored := storedTable{
		ID: t.id, CreatedAt: t.createdAt, Keys: t.keys.stored(), Definitions: t.defs,
		Stream: strings.TrimPrefix(t.lastARN, t.arn+streamInfix), TTL: t.expiry.attribute, Tags: t.tags,
		OnDemand: t.settings.onDemand, OnDemandAt: t.settings.onDemandAt, Throughput: t.settings.throughput,
		Class: t.settings.class, Protected: t.settings.protected, Encryption: t.settings.encryption,
		Recovery: t.settings.recovery,
	}
	for _, ix := range t.indexes {
		stored.Indexes = append(stored.Indexes, storedIndex{ix.name, ix.keys.stored(), ix.local, ix.projection, ix.throughput})
	}
	var b journal.Batch
	b.Put(t.kept.tables.With(t.name), stored)
	t.kept.journal.Add(b)
}

// saveDeleted journals that a table and its items are deleted. It requires the gate exclusively, and db.mu, so that this comes
// before the creation of a table of the same name.
func (t *table) saveDeleted() {
	if t.kept.journal == nil {
		return
	}
	var b journal.Batch
	b.Delete(t.kept.tables.With(t.name))
	t.each(func(item attr.Item) { t.saveItem(t.keys.bytes(item), nil, &b) })
	t.kept.journal.Add(b)
}

// saveItem adds an item to a batch, if there is one; nil removes it.
func (t *table) saveItem(id primaryKey, item attr.Item, b *journal.Batch) {
	switch key := t.kept.items; {
	case b == nil:
	case item == nil:
		b.Delete(key.With(t.name, id.hash, id.sort))
	default:
		b.Put(key.With(t.name, id.hash, id.sort), item.Binary())
	}
}

// save journals a stream without its records. It requires the stream exclusively.
func (s *stream) save() {
	if s.kept.journal == nil {
		return
	}
	stored := storedStream{
		View: s.view, Keys: s.keys.stored(), CreatedAt: s.createdAt, DisabledAt: s.disabledAt, LastStamp: s.lastStamp,
	}
	for _, sh := range s.shards {
		stored.Shards = append(stored.Shards, storedShard{sh.id, sh.parent, sh.start, sh.end, sh.closedAt})
	}
	for _, sh := range s.open {
		stored.Open = append(stored.Open, sh.start)
	}
	var b journal.Batch
	b.Put(s.key(s.kept.streams), stored)
	s.kept.journal.Add(b)
}

// saveGone journals that a stream and its records are removed. It requires db.mu.
func (s *stream) saveGone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		sh.saveDropped()
	}
	if s.kept.journal != nil {
		var b journal.Batch
		b.Delete(s.key(s.kept.streams))
		s.kept.journal.Add(b)
	}
}

func (s *stream) key(kind journal.Key) journal.Key { return kind.With(s.table, s.label) }

func (sh *shard) trimmedKey() journal.Key {
	return sh.stream.key(sh.stream.kept.trimmed).With(journal.Number(sh.start))
}

func (s *stream) recordKey(r *record) journal.Key {
	return s.key(s.kept.records).With(journal.Number(r.sequence))
}

// saveRecord adds a record to a batch, if there is one.
func (sh *shard) saveRecord(r *record, b *journal.Batch) {
	if b != nil {
		b.Put(sh.stream.recordKey(r), storedRecord{
			sh.start, r.createdAt, r.keys.Binary(), r.before.Binary(), r.after.Binary(), r.by == byService,
		})
	}
}

// saveReordered journals records that have changed places. It requires the shard's lock.
func (sh *shard) saveReordered(records []*record) {
	if sh.stream.kept.journal == nil {
		return
	}
	var b journal.Batch
	for _, r := range records {
		sh.saveRecord(r, &b)
	}
	sh.stream.kept.journal.Add(b)
}

// saveTrimmed journals that records are removed. It requires the shard's lock.
func (sh *shard) saveTrimmed(records []*record) {
	if sh.stream.kept.journal == nil {
		return
	}
	var b journal.Batch
	b.Put(sh.trimmedKey(), sh.trimmed)
	for _, r := range records {
		b.Delete(sh.stream.recordKey(r))
	}
	sh.stream.kept.journal.Add(b)
}

// saveDropped journals that a shard has no record any more. It requires the stream exclusively.
func (sh *shard) saveDropped() {
	if sh.stream.kept.journal == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var b journal.Batch
	b.Delete(sh.trimmedKey())
	for _, r := range sh.records {
		b.Delete(sh.stream.recordKey(r))
	}
	sh.stream.kept.journal.Add(b)
}

// save adds a token to the batch of the transaction that is done, unless either is absent.
func (ts *tokens) save(t *token, cost bill, now time.Time, b *journal.Batch) {
	if t == nil || b == nil {
		return
	}
	units := map[string]float64{}
	for table, c := range cost {
		units[table] = c.table
	}
	b.Put(ts.kept.tokens.With(t.name), storedToken{t.request[:], now, units})
}

// forget journals that a token has expired.
func (ts *tokens) forget(name string) {
	if ts.kept.journal != nil {
		var b journal.Batch
		b.Delete(ts.kept.tokens.With(name))
		ts.kept.journal.Add(b)
	}
}

// Load restores what the journal's store has. It is called before the first operation.
func (db *DB) Load() error {
	now := db.options.Now()
	l := loading{db: db, shards: map[*stream]map[uint64]*shard{}}
	j, k := db.kept.journal, db.kept
	for _, load := range []func() error{
		func() error { return journal.Each(j, k.tables, l.table) },
		func() error { return journal.Each(j, k.items, l.item) },
		func() error { return journal.Each(j, k.streams, l.stream) },
		func() error { return journal.Each(j, k.trimmed, l.trimmed) },
		func() error { return journal.Each(j, k.records, l.record) },
		func() error { return journal.Each(j, k.tokens, l.token) },
	} {
		if err := load(); err != nil {
			return err
		}
	}
	j.Add(l.orphans)
	slices.SortFunc(db.tokens.ended, func(a, b *token) int { return a.doneAt.Compare(b.doneAt) })
	for _, s := range db.streams {
		s.settle(now)
	}
	db.dropGone(now)
	return nil
}

// loading is a DB that is being restored.
type loading struct {
	db      *DB
	shards  map[*stream]map[uint64]*shard // by start
	orphans journal.Batch                 // removes what a call that was cut off by the end of the process has left
}

func (l *loading) table(id []string, v storedTable) error {
	name := id[0]
	t := &table{
		kept: l.db.kept, name: name, arn: l.db.tableARN(name), id: v.ID, createdAt: v.CreatedAt, keys: v.Keys.schema(),
		defs: v.Definitions, tags: map[string]string{},
		settings: settings{
			onDemand: v.OnDemand, onDemandAt: v.OnDemandAt, throughput: v.Throughput, class: v.Class, protected: v.Protected,
			encryption: v.Encryption, recovery: v.Recovery,
		},
	}
	if v.Tags != nil {
		t.tags = v.Tags
	}
	if v.Stream != "" {
		t.lastARN = t.arn + streamInfix + v.Stream
	}
	for _, ix := range v.Indexes {
		t.indexes = append(t.indexes, &index{
			name: ix.Name, keys: ix.Keys.schema(), table: t.keys, local: ix.Local, projection: ix.Projection, throughput: ix.Throughput,
		})
	}
	if v.TTL != "" {
		t.startExpiry(v.TTL)
	}
	l.db.tables[name] = t
	return nil
}

func (l *loading) item(id []string, stored []byte) error {
	t := l.db.tables[id[0]]
	if t == nil {
		l.orphans.Delete(l.db.kept.items.With(id...))
		return nil
	}
	item, err := attr.ParseBinary(stored)
	if err != nil {
		return err
	}
	t.insert(primaryKey{id[1], id[2]}, item)
	for _, ix := range t.indexes {
		t.fill(ix, item)
	}
	return nil
}

func (l *loading) stream(id []string, v storedStream) error {
	t := l.db.tables[id[0]]
	arn := l.db.tableARN(id[0]) + streamInfix + id[1]
	if v.DisabledAt.IsZero() && (t == nil || t.lastARN != arn) { // its table was not created any more
		l.orphans.Delete(l.db.kept.streams.With(id...))
		return nil
	}
	s := &stream{
		kept: l.db.kept, arn: arn, label: id[1], table: id[0], view: v.View, keys: v.Keys.schema(), createdAt: v.CreatedAt,
		disabledAt: v.DisabledAt, lastStamp: v.LastStamp,
	}
	byStart := map[uint64]*shard{}
	for _, one := range v.Shards {
		sh := &shard{
			stream: s, id: one.ID, parent: one.Parent, start: one.Start, end: one.End, closedAt: one.ClosedAt, keys: s.keys,
		}
		s.shards = append(s.shards, sh)
		byStart[sh.start] = sh
		s.used(max(sh.start, sh.end))
	}
	for _, start := range v.Open {
		s.open = append(s.open, byStart[start])
	}
	if v.DisabledAt.IsZero() {
		t.stream = s
	}
	l.db.streams[arn], l.shards[s] = s, byStart
	return nil
}

// used notes that a sequence number was given out.
func (s *stream) used(sequence uint64) { s.last.Store(max(s.last.Load(), sequence)) }

// shard returns the shard with a start in the stream of an entity, or nil.
func (l *loading) shard(id []string, start uint64) *shard {
	s := l.db.streams[l.db.tableARN(id[0])+streamInfix+id[1]]
	return l.shards[s][start]
}

func (l *loading) trimmed(id []string, sequence uint64) error {
	sh := l.shard(id, journal.ParseNumber(id[2]))
	if sh == nil {
		l.orphans.Delete(l.db.kept.trimmed.With(id...))
		return nil
	}
	sh.trimmed = sequence
	sh.stream.used(sequence)
	return nil
}

func (l *loading) record(id []string, v storedRecord) error {
	sequence := journal.ParseNumber(id[2])
	sh := l.shard(id, v.Shard)
	if sh == nil || sequence <= sh.trimmed {
		l.orphans.Delete(l.db.kept.records.With(id...))
		return nil
	}
	r := &record{sequence: sequence, createdAt: v.CreatedAt}
	if v.ByService {
		r.by = byService
	}
	for to, stored := range map[*attr.Item][]byte{&r.keys: v.Keys, &r.before: v.Before, &r.after: v.After} {
		item, err := attr.ParseBinary(stored)
		if err != nil {
			return err
		}
		*to = item
		r.size += item.Size()
	}
	sh.records = append(sh.records, r)
	sh.stream.used(sequence)
	return nil
}

func (l *loading) token(id []string, v storedToken) error {
	t := &token{name: id[0], done: true, doneAt: v.DoneAt, cost: bill{}}
	copy(t.request[:], v.Request)
	for table, units := range v.Cost {
		t.cost[table] = &consumption{table: units}
	}
	l.db.tokens.entries[t.name] = t
	l.db.tokens.ended = append(l.db.tokens.ended, t)
	return nil
}

// settle trims the shards, which only happens while they are used, and counts all records as seen by a client.
func (s *stream) settle(now time.Time) {
	for _, sh := range s.list(now) {
		sh.mu.Lock()
		sh.trim(now)
		sh.seen = s.last.Load()
		sh.mu.Unlock()
	}
}
