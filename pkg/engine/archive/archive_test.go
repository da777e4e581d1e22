package archive_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// at is the time of all writers; events are recorded an hour before.
var at = time.Date(2026, 11, 28, 10, 31, 4, 5e6, time.FixedZone("elsewhere", 3600)) //nolint:gochecknoglobals // read only

func event(id string, version eventsourcing.Version) eventsourcing.Record {
	return eventsourcing.Record{
		ID: fmt.Sprintf("%s-%d", id, version), Stream: eventsourcing.StreamID{Category: "bank/account", ID: id}, Version: version,
		Name: "bank/account/moved", Schema: 1, Data: json.RawMessage(fmt.Sprintf("{\n  \"amount\": %d\n}", version)),
		RecordedAt: at.Add(-time.Hour).UTC(),
	}
}

func line(t require.TestingT, r eventsourcing.Record) []byte {
	b, err := envelope.Encode(r)
	require.NoError(t, err)
	return b
}

// log is an event log in memory.
type log struct {
	mu     sync.Mutex
	events map[string]eventsourcing.Record
	bad    error        // what All yields besides
	append func() error // called before each Append; nil: nothing
	writes []string     // the keys that were appended
}

func newLog(records ...eventsourcing.Record) *log {
	l := &log{events: map[string]eventsourcing.Record{}}
	for _, r := range records {
		l.events[key(r.Stream.String(), fmt.Sprint(r.Version))] = r
	}
	return l
}

func key(stream, version string) string { return stream + "#" + version }

func (l *log) All(context.Context, int) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for _, r := range l.events {
			if !yield(r, nil) {
				return
			}
		}
		if l.bad != nil {
			yield(eventsourcing.Record{}, l.bad)
		}
	}
}

func (l *log) Item(_ context.Context, stream, version string) (eventsourcing.Record, error) {
	return l.events[key(stream, version)], nil
}

// Append is as strict as a Store.
func (l *log) Append(_ context.Context, c eventsourcing.Commit) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.append != nil {
		if err := l.append(); err != nil {
			return err
		}
	}
	if err := c.Validate(); err != nil {
		return err
	}
	stream := c.Stream.String()
	for _, r := range c.Records {
		before, own := key(stream, fmt.Sprint(r.Version-1)), key(stream, fmt.Sprint(r.Version))
		stored, taken := l.events[own]
		if _, ok := l.events[before]; r.Version > 1 && !ok || taken && stored.ID != r.ID {
			return eventsourcing.ErrConflict
		}
		l.events[own] = r
		l.writes = append(l.writes, own)
	}
	return nil
}

// folder is an archive in a new folder, with these events.
func folder(t *testing.T, records ...eventsourcing.Record) archive.Folder {
	t.Helper()
	f := archive.Folder(filepath.Join(t.TempDir(), "archive"))
	write(t, f, records...)
	return f
}

// write archives records as a reader of the stream does.
func write(t *testing.T, storage archive.Storage, records ...eventsourcing.Record) {
	t.Helper()
	var in []shards.Record[[]byte]
	for _, r := range records {
		in = append(in, shards.Record[[]byte]{Value: line(t, r)})
	}
	require.NoError(t, newWriter(storage).Handle(t.Context(), "shard-0", in))
}

func newWriter(storage archive.Storage) archive.Writer {
	return archive.Writer{Storage: storage, Now: func() time.Time { return at }}
}

// put stores a file with these lines.
func put(t *testing.T, storage archive.Storage, name string, lines ...[]byte) {
	t.Helper()
	require.NoError(t, storage.Put(t.Context(), name, zipped(lines...)))
}

func zipped(lines ...[]byte) []byte {
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	for _, l := range lines {
		_, _ = gz.Write(append(l, '\n'))
	}
	_ = gz.Close()
	return b.Bytes()
}

// read returns the archive's events by key, how many there are of each, and what cannot be read.
func read(t *testing.T, storage archive.Storage) (events map[string]eventsourcing.Record, copies map[string]int, unreadable []string) {
	t.Helper()
	events, copies = map[string]eventsourcing.Record{}, map[string]int{}
	for r, err := range archive.Events(t.Context(), storage, 3) {
		if u, ok := errors.AsType[*archive.UnreadableError](err); ok {
			unreadable = append(unreadable, u.Error())
			continue
		}
		require.NoError(t, err)
		k := key(r.Stream.String(), fmt.Sprint(r.Version))
		events[k] = r
		copies[k]++
	}
	slices.Sort(unreadable)
	return events, copies, unreadable
}

// What is archived is read as it was, whitespace and lines in its data included, from files in the layout of Firehose.
func TestWhatIsArchivedIsReadAsItWas(t *testing.T) {
	t.Parallel()
	odd := event("a", 2)
	odd.Data = json.RawMessage("[\n\n{\"text\": \"\ufffe line\\nbreak\"},\r\n 12345678901234567890.10 ]")
	odd.Metadata = eventsourcing.Metadata{Actor: "dan", Extra: map[string]string{"tenant": "t"}}
	odd.Enrichment = []eventsourcing.Enrichment{{Aggregate: "bank/owner", ID: "o", Data: json.RawMessage(`{"a": 1}`)}}
	f := folder(t, event("a", 1), odd)
	write(t, f, odd)

	events, copies, unreadable := read(t, f)
	assert.Empty(t, unreadable)
	assert.Equal(t, map[string]int{"bank/account/a#1": 1, "bank/account/a#2": 2}, copies)
	odd.Data = bytes.ReplaceAll(odd.Data, []byte("\ufffe"), []byte(`\ufffe`)) // as package envelope says
	assert.Equal(t, newLog(event("a", 1), odd).events, events)

	for _, name := range names(t.Context(), t, f, "") {
		assert.Regexp(t,
			`^events/year=2026/month=11/day=28/hour=09/leftfold-archive-2026-11-28-09-31-04-[A-Z0-9]{26}\.gz$`, name, "in UTC")
	}
}

// When the stream has lost records, the writer archives the whole log.
func TestTheWholeLogIsArchivedWhenTheStreamHasLostRecords(t *testing.T) {
	t.Parallel()
	w := newWriter(folder(t))
	large := event("large", 1)
	large.Data = json.RawMessage(`"` + strings.Repeat("x", 300<<10) + `"`)
	l := newLog(event("a", 1), event("a", 2))
	for v := range eventsourcing.Version(30) {
		large.Version = v + 1
		l.events[key(large.Stream.String(), fmt.Sprint(v+1))] = large
	}
	l.bad = eventsourcing.ErrLogHole // an item that is no event
	w.EventLog = l
	require.NoError(t, w.Republish(t.Context(), "shard-0"))
	events, _, unreadable := read(t, w.Storage)
	assert.Empty(t, unreadable)
	assert.Equal(t, l.events, events)
	assert.Len(t, names(t.Context(), t, w.Storage, "events/"), 2, "files of some 8 MiB")
	l.bad = errors.New("throttled")
	require.ErrorContains(t, w.Republish(t.Context(), "shard-0"), "throttled")
}

// One file that cannot be read hides no other, and is named. A record that is no event hides no other either.
func TestWhatCannotBeReadIsNamedAndHidesNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content []byte
		want    []string
		reads   int // events of the file
	}{
		"empty":    {nil, []string{"events/x: EOF"}, 0},
		"not gzip": {line(t, event("b", 1)), []string{"events/x: gzip: invalid header"}, 0},
		"cut off": {
			zipped(line(t, event("b", 1)), line(t, event("b", 2)))[:60],
			[]string{"events/x: record 1: and all behind it: unexpected EOF"},
			0,
		},
		"a bit changed": {flipped(zipped(line(t, event("b", 1)))), []string{"events/x: record 2: and all behind it: gzip: invalid checksum"}, 1},
		"text between": {
			zipped(line(t, event("b", 1)), []byte(`secret {"`), line(t, event("b", 2))),
			[]string{"events/x: record 2: not JSON"},
			2,
		},
		"text first and last": {
			zipped([]byte("secret"), line(t, event("b", 1)), []byte("{")),
			[]string{"events/x: record 1: not JSON", "events/x: record 3: not JSON"},
			1,
		},
		"JSON that is no event": {
			zipped([]byte(`{"secret":1}`), line(t, event("b", 1))), []string{`events/x: record 1: decode envelope: field "id": missing`}, 1,
		},
		"longer than any record": {
			zipped([]byte(`"`+strings.Repeat("x", 5<<20)+`"`), line(t, event("b", 1))), []string{"events/x: record 1: not JSON"}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := folder(t, event("a", 1), event("a", 2))
			require.NoError(t, f.Put(t.Context(), "events/x", c.content))
			require.NoError(t, f.Put(t.Context(), "errors/processing-failed/y", []byte("Firehose's own")))
			events, _, unreadable := read(t, f)
			assert.Equal(t, c.want, unreadable)
			assert.Len(t, events, 2+c.reads)
		})
	}
}

// flipped changes the checksum.
func flipped(content []byte) []byte {
	content[len(content)-8] ^= 1
	return content
}

// An archive that cannot be listed or read is an error, not one with fewer events.
func TestAStorageThatFailsEndsTheReading(t *testing.T) {
	t.Parallel()
	f := folder(t, event("a", 1))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var err error
	for _, err = range archive.Events(gone, f, 1) {
	}
	require.ErrorIs(t, err, context.Canceled)
	for _, err = range archive.Events(t.Context(), vanishing{f}, 1) {
	}
	require.ErrorIs(t, err, os.ErrNotExist)
	_, unreadable := errors.AsType[*archive.UnreadableError](err)
	assert.False(t, unreadable)
	for _, err := range archive.Events(t.Context(), f, 4) {
		require.NoError(t, err)
		break // a caller may stop
	}
}

// vanishing loses its files between List and Get.
type vanishing struct{ archive.Folder }

func (vanishing) Get(context.Context, string) ([]byte, error) { return nil, os.ErrNotExist }

// verified returns the findings as text, sorted.
func verified(t *testing.T, storage archive.Storage, l archive.LiveLog, with ...func(*archive.VerifyConfig)) (archive.Verified, []string) {
	t.Helper()
	c := archive.VerifyConfig{
		Storage: storage, EventLog: l, Delay: time.Minute, Now: func() time.Time { return at }, Parallel: 2, TempDir: t.TempDir(),
	}
	found := []string{}
	c.OnFinding = func(f archive.Finding) { found = append(found, f.String()) }
	for _, change := range with {
		change(&c)
	}
	result, err := archive.Verify(t.Context(), c)
	require.NoError(t, err)
	assert.Len(t, found, result.Findings)
	left, err := os.ReadDir(c.TempDir)
	require.NoError(t, err)
	assert.Empty(t, left, "nothing is left behind")
	slices.Sort(found)
	return result, found
}

func repair(c *archive.VerifyConfig) { c.Repair = true }

func TestAnArchiveOfTheWholeLogHasNoFindings(t *testing.T) {
	t.Parallel()
	events := []eventsourcing.Record{event("a", 1), event("a", 2), event("b", 1)}
	f := folder(t, events...)
	write(t, f, events[2], events[0]) // again
	result, found := verified(t, f, newLog(events...))
	assert.Empty(t, found)
	assert.Equal(t, archive.Verified{Archived: 5, Logged: 3, Repeated: 2}, result)
}

func TestEachDifferenceIsFound(t *testing.T) {
	t.Parallel()
	changed := func(r eventsourcing.Record, data string) eventsourcing.Record {
		r.Data = json.RawMessage(data)
		return r
	}
	later := func(r eventsourcing.Record, by time.Duration) eventsourcing.Record {
		r.RecordedAt = r.RecordedAt.Add(by)
		return r
	}
	whole := []eventsourcing.Record{event("a", 1), event("a", 2), event("a", 3), event("b", 1)}
	without := func(i ...int) (out []eventsourcing.Record) {
		for n, r := range whole {
			if !slices.Contains(i, n) {
				out = append(out, r)
			}
		}
		return out
	}
	settled := at.Add(-time.Minute).Sub(at.Add(-time.Hour))
	for name, c := range map[string]struct {
		archived, logged []eventsourcing.Record
		want             []string
	}{
		"the archive lacks events":          {without(0, 1, 3), whole, []string{"missing: a versions 1 to 2", "missing: b version 1"}},
		"the archive has one stream":        {without(0, 1, 2), whole, []string{"missing: a versions 1 to 3"}},
		"the log lacks events":              {whole, without(2, 3), []string{"lost: a version 3", "lost: b version 1"}},
		"both lack one":                     {without(1), without(1), []string{"hole: a version 2"}},
		"both lack the first":               {without(0, 1), without(0, 1), []string{"hole: a versions 1 to 2"}},
		"the content differs":               {append(without(1), changed(whole[1], "{}")), whole, []string{"changed: a version 2"}},
		"the spelling differs":              {append(without(1), changed(whole[1], `{"amount":2}`)), whole, []string{"changed: a version 2"}},
		"the time differs":                  {append(without(1), later(whole[1], time.Millisecond)), whole, []string{"changed: a version 2"}},
		"archived twice, once another one":  {append(without(), changed(whole[1], "{}")), whole, []string{"contradictory: a version 2"}},
		"not there, older than the delay":   {without(3), append(without(3), later(event("b", 1), settled)), []string{"missing: b version 1"}},
		"not there, younger than the delay": {without(3), append(without(3), later(event("b", 1), settled+time.Millisecond)), []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, found := verified(t, folder(t, c.archived...), newLog(c.logged...))
			for i := range found {
				found[i] = strings.ReplaceAll(found[i], "bank/account/", "")
			}
			assert.Equal(t, c.want, found)
			assert.Equal(t, len(c.want), result.Left)
			if strings.Contains(name, "younger") {
				assert.Equal(t, 1, result.Young)
			}
		})
	}
}

func TestWhatIsMissingIsAddedOnRequest(t *testing.T) {
	t.Parallel()
	whole := []eventsourcing.Record{event("a", 1), event("a", 2), event("b", 1)}
	l := newLog(whole...)
	f := folder(t, event("a", 2), event("lost", 1))
	result, found := verified(t, f, l, repair)
	assert.Equal(t, []string{
		"lost: bank/account/lost version 1", "missing: bank/account/a version 1", "missing: bank/account/b version 1",
	}, found)
	assert.Equal(t, archive.Verified{Archived: 2, Logged: 3, Findings: 3, Added: 2, Left: 1}, result)
	_, found = verified(t, f, l)
	assert.Equal(t, []string{"lost: bank/account/lost version 1"}, found)
}

// The log is read after the archive, so what is logged and archived meanwhile is no difference.
func TestALiveSystemCausesNoFinding(t *testing.T) {
	t.Parallel()
	l := newLog(event("a", 1))
	live := &busy{Folder: folder(t, event("a", 1)), t: t, log: l}
	_, found := verified(t, live, l)
	assert.Empty(t, found)
	assert.Len(t, l.events, 2)
}

// busy gets one more event before it is listed.
type busy struct {
	archive.Folder

	t   *testing.T
	log *log
}

func (b *busy) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	r := event("a", 2)
	b.log.events[key(r.Stream.String(), "2")] = r
	write(b.t, b.Folder, r) //nolint:contextcheck // a test's
	return b.Folder.List(ctx, prefix)
}

func TestAnItemOrAFileThatCannotBeReadIsAFinding(t *testing.T) {
	t.Parallel()
	f := folder(t, event("a", 1))
	put(t, f, "events/x", []byte("{}"))
	l := newLog(event("a", 1))
	l.bad = fmt.Errorf("event ? version 1: %w", eventsourcing.ErrLogHole)
	result, found := verified(t, f, l)
	assert.Equal(t, []string{
		"unreadable: event ? version 1: log lacks an event", `unreadable: events/x: record 1: decode envelope: field "id": missing`,
	}, found)
	assert.Equal(t, 2, result.Left)
	l.bad = errors.New("throttled")
	_, err := archive.Verify(t.Context(), archive.VerifyConfig{Storage: f, EventLog: l, Now: time.Now})
	require.ErrorContains(t, err, "throttled")
}

// A name that was mistyped is no proof of anything, and nothing is restored from it. A repair makes the archive that was lost.
func TestAPlaceWithoutAnArchiveIsRefused(t *testing.T) {
	t.Parallel()
	l := newLog(event("a", 1))
	for name, storage := range map[string]archive.Storage{
		"no folder": archive.Folder(filepath.Join(t.TempDir(), "none")),
		"no object": newBucket(t, &fakeS3{}, "prefix/"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for r, err := range archive.Events(t.Context(), storage, 2) {
				require.ErrorIs(t, err, archive.ErrNone, r)
			}
			c := archive.VerifyConfig{Storage: storage, EventLog: l, Now: func() time.Time { return at }}
			_, err := archive.Verify(t.Context(), c)
			require.ErrorIs(t, err, archive.ErrNone)
			require.ErrorContains(t, err, fmt.Sprintf("no archive at %v", storage))
			_, err = archive.Restore(t.Context(), archive.RestoreConfig{Source: archive.Events(t.Context(), storage, 1), EventLog: l})
			require.ErrorIs(t, err, archive.ErrNone)

			c.Repair = true
			result, err := archive.Verify(t.Context(), c)
			require.NoError(t, err)
			assert.Equal(t, 1, result.Added)
			_, err = archive.Verify(t.Context(), c)
			require.NoError(t, err)
		})
	}
}
