package archive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/archive/internal/spill"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// LiveLog is a log that has events by their key. *dynamostore.Store is one.
type LiveLog interface {
	EventLog
	// Item returns one event.
	Item(ctx context.Context, stream, version string) (eventsourcing.Record, error)
}

// VerifyConfig configures Verify.
type VerifyConfig struct {
	Storage  Storage
	EventLog LiveLog
	// Delay is how long an event may take to arrive in the archive. Required: it depends on who writes the archive.
	Delay time.Duration
	Now   func() time.Time
	// Repair adds the events that are missing to the archive. Defaults to false.
	Repair bool
	// Parallel is how many files, and segments of the log, are read at once. Defaults to 1.
	Parallel int
	// TempDir is where events are sorted: some 150 bytes of each, without personal data. Defaults to that of the system.
	TempDir string
	// OnFinding is called with each finding. Optional.
	OnFinding func(Finding)
	// OnProgress is called with the events that were read, every now and then. Optional.
	OnProgress func(archived, logged int)
}

// Verified is what Verify has found.
type Verified struct {
	// Archived and Logged are the events that were read; Repeated of the archived ones are copies.
	Archived, Logged, Repeated int
	// Young events are not in the archive and may still arrive.
	Young int
	// Findings are those that were reported. Added events were missing and are in the archive now.
	Findings, Added int
	// Left are the findings but those of events that were added.
	Left int
}

// Verify compares an archive with the log it is of, which may be in use. The archive is read first: whatever is in it was in
// the log before, and the log only grows, so an event that the log does not show then is lost. An event of the log that is not in
// the archive is missing if it was recorded earlier than Delay before the start; if later, it is young. A finding is not an
// error; an error means that nothing is proved. Where there is no archive it is an ErrNone, unless Repair makes one.
func Verify(ctx context.Context, c VerifyConfig) (result Verified, err error) {
	settled := c.Now().Add(-c.Delay)
	sorter, err := spill.New(c.TempDir, memory)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, sorter.Close()) }()
	found := &findings{report: c.OnFinding}
	compared := &comparison{sorter: sorter, value: digest, found: found, progress: c.OnProgress}
	if err := compared.addAll(ofSource, Events(ctx, c.Storage, c.Parallel)); err != nil && (!c.Repair || !errors.Is(err, ErrNone)) {
		return result, err
	}
	if err := compared.addAll(ofLog, c.EventLog.All(ctx, c.Parallel)); err != nil {
		return result, fmt.Errorf("read the log: %w", err)
	}
	result.Archived, result.Logged = compared.read, compared.logged
	added := &file{storage: c.Storage, now: c.Now}
	for p, err := range compared.pairs(ctx) {
		if err != nil {
			return result, err
		}
		result.Repeated += p.repeated
		kind := verdict(p)
		if kind == Missing && recordedAt(p.log).After(settled) {
			result.Young++
			kind = ""
		}
		if p.version != p.follows+1 {
			found.add(p.hole())
		}
		if kind != "" {
			found.add(p.finding(kind))
		}
		if kind == Missing && c.Repair {
			if err := c.add(ctx, added, p); err != nil {
				return result, err
			}
			result.Added++
		}
	}
	found.flush()
	result.Findings, result.Left = found.count, found.count
	if c.Repair {
		result.Left -= found.of[Missing]
	}
	return result, added.close(ctx)
}

// verdict is what the two sides tell of an event; "": they agree.
func verdict(p pair) Kind {
	switch {
	case p.contradicted:
		return Contradictory
	case p.source == nil:
		return Missing
	case p.log == nil:
		return Lost
	case string(p.source) != string(p.log):
		return Changed
	default:
		return ""
	}
}

// add archives an event of the log.
func (c VerifyConfig) add(ctx context.Context, to *file, p pair) error {
	r, err := c.EventLog.Item(ctx, p.stream, fmt.Sprint(p.version))
	if err != nil {
		return fmt.Errorf("read %s version %d: %w", p.stream, p.version, err)
	}
	line, err := envelope.Encode(r)
	if err != nil {
		return err
	}
	return to.append(ctx, line)
}

// digest is what Verify keeps of an event: when it was recorded, and a hash of its envelope.
func digest(r eventsourcing.Record, body []byte) []byte {
	sum := sha256.Sum256(body)
	at := binary.BigEndian.AppendUint64(nil, uint64(r.RecordedAt.UnixMilli()))
	return append(at, sum[:]...)
}

func recordedAt(digest []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(digest))) //nolint:gosec // the inverse is in digest
}
