// Package projection writes read models to DynamoDB: each is a left fold of the event log in one table. Every event takes
// effect exactly once and in version order per stream, although deliveries may be repeated, reordered or lost.
//
// A table has Sources, each a category of streams. Every stream of a source has its own row, (stream ID, Source.Row), with
// the state folded so far. Related rows, such as a member in a group's collection, are derived from that state and are
// written with it in one transaction. So each row is written by exactly one stream, and events of different streams can be
// applied in any order. Entries, such as the lines of a trail, are derived from one event alone and never change: a stream may have
// any number of them, since the state need not know them.
//
//   - The fence is the version up to which a stream is applied. It is stored in the own row, and every write is conditional on
//     it: only the next version is applied, and an older one is acknowledged as a duplicate.
//   - To heal is to read missing events from the log, when an event beyond the next version arrives.
//   - To park is to set an aggregate aside whose event cannot be applied. Its later events are acknowledged but not applied,
//     and delay no other aggregate. Redrive applies them from the log when the cause is fixed. If the cause is that the build
//     does not know the event, RedriveKnown of a build that does is enough.
//   - To rebuild is to write the rows of a stream anew, folded from the log, whatever is stored. It happens by itself when
//     an own row cannot be read: lists leave such a row out until then.
//
// The source of an Effect has no rows but the fence: its events bring something about elsewhere, in a transaction that moves the fence.
// A fence that is not there is derived from what the effects have left, so a lost table costs reads and repeats no effect.
//
// Own rows that a Projector wrote lately are kept in memory, up to Config.Cache bytes, so that the next event of their stream
// needs no read. A kept row is a guess, as is that there is no row before a stream's first event: it serves to fold the next write
// and for nothing else, and that write is conditional on the stored row being the very one that was guessed. If it is not, nothing
// was written, acknowledged or parked; the row is read, and the event decided as if nothing had been guessed.
//
// # Table
//
// CreateTableInput declares the table: partition key "id" (S), sort key "row" (S), no stream, no time to live, and two
// sparse global secondary indexes: "listing" with the key "listed" (S), and "parking" with the key "parked" (S).
//
// # Permissions
//
//   - Projector: dynamodb:GetItem, dynamodb:BatchGetItem, dynamodb:PutItem, dynamodb:DeleteItem and
//     dynamodb:ConditionCheckItem on the table, dynamodb:Scan on its index parking, and those of the event log; for Stored
//     also dynamodb:Scan on the table.
//   - Reader: dynamodb:GetItem, dynamodb:BatchGetItem and dynamodb:Query on the table, dynamodb:Scan on its index listing.
package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Errors of a Projector.
var (
	// ErrNoSource: this projection has no Source of the stream's category.
	ErrNoSource = errors.New("no source of that category")
	// ErrNoStream: neither the log nor the projection has the stream.
	ErrNoStream = errors.New("no such stream")
	// ErrMixedStreams: Apply was called with records of several streams.
	ErrMixedStreams = errors.New("records of several streams")
	// ErrContended: too many races for one row were lost. It is an eventsourcing.ErrUnavailable.
	ErrContended = fmt.Errorf("%w: row contended", eventsourcing.ErrUnavailable)
	// ErrParked: an event cannot be applied; its aggregate is parked.
	ErrParked = errors.New("aggregate parked")
	// ErrTooManyRows: one event changes more rows than fit into a transaction.
	ErrTooManyRows = fmt.Errorf("more than %d rows in one transaction", maxTransaction)
	// ErrNotOwner: a related row belongs to another stream.
	ErrNotOwner = errors.New("row of another stream")
	// ErrInvalidRow: a Source derived a row that cannot be stored.
	ErrInvalidRow = errors.New("invalid row")
	// ErrBadRow: a stored row is not one that a projection writes. Something else changed it; Rebuild writes it anew.
	ErrBadRow = errors.New("row unreadable")
	// ErrMoved: a row changed while it was judged. Judge it again.
	ErrMoved = errors.New("row moved")
	// ErrUnfoldable: the log has an event that this build cannot fold, although it was applied. Use the build that did.
	ErrUnfoldable = errors.New("applied event cannot be folded")
)

// DynamoDBAPI is the part of *dynamodb.Client that a projection uses.
type DynamoDBAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(
		context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options),
	) (*dynamodb.TransactWriteItemsOutput, error)
}

// EventLog yields a stream's records after a version, oldest first and without gaps, at least those that were in the log
// when it was called. The first error ends the sequence.
type EventLog interface {
	Read(ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
}

// Config configures a Projector.
type Config struct {
	// Name identifies the projection in metrics and logs, such as "users".
	Name string
	// Table is the name of the table, which CreateTableInput declares.
	Table    string
	DB       DynamoDBAPI
	EventLog EventLog
	// Sources feed the table. Their categories and own rows must differ.
	Sources []Source
	// MaxAttempts is the number of attempts to apply an event before its aggregate is parked. All but the first use the
	// log's copy of the event. Passing faults, such as throttling, do not count. Defaults to 5.
	MaxAttempts int
	// Cache is how many bytes of memory the own rows may take that are kept to save the next read of them. With 0 every event is
	// applied to a row that was read. Defaults to 0.
	Cache int
	// Backoff is the pause after a lost race, and that of Reader. Defaults to 1 ms, doubled up to 64 ms.
	Backoff retry.Backoff
	// Now is the clock for latencies and parked rows. Defaults to time.Now.
	Now func() time.Time
	// Journey remembers what became of each event. Defaults to nothing.
	Journey *journey.Recorder
	// Logger logs what was healed, parked and redriven. Defaults to none.
	Logger *slog.Logger
	// Metrics registers the projection's metrics. Defaults to none.
	Metrics prometheus.Registerer
	// OnApplied is called with each record right after it was written, in version order per stream; it must be quick. It
	// may be missed if the answer to a write is lost. Optional.
	OnApplied func(eventsourcing.Record)
}

// Projector applies records to one projection. It is safe for concurrent use, also by several processes for one stream.
type Projector struct {
	config  Config
	sources map[string]*Source // by category
	ownRows map[string]bool    // the Row of each source
	recent  *recent            // nil: nothing is guessed
	reader  Reader
	metrics metrics

	operation string // its name in a journey
}

// NewProjector validates c, reports all mistakes at once and returns a Projector.
func NewProjector(c Config) (*Projector, error) {
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 5)
	c.Backoff = c.Backoff.Or(firstPause, longestPause)
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of the option
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler)).With(slog.String("projection", c.Name))
	p := &Projector{
		config: c, sources: map[string]*Source{}, ownRows: map[string]bool{}, recent: newRecent(c.Cache),
		operation: "project " + c.Name,
	}
	if mistakes := p.mistakes(); len(mistakes) > 0 {
		return nil, fmt.Errorf("projection %q: %w", c.Name, errors.Join(mistakes...))
	}
	p.metrics = newMetrics(c.Metrics, c.Name, p.Categories())
	p.reader = Reader{
		DB: c.DB, Table: c.Table, Backoff: c.Backoff, OnBadRow: p.badRow, Waiting: new(Waiting),
		OnPage: func(examined int) { p.metrics.examined.Observe(float64(examined)) },
	}
	return p, nil
}

func (p *Projector) mistakes() (found []error) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			found = append(found, fmt.Errorf(format, args...))
		}
	}
	c := p.config
	wrong(c.Name == "", "name is missing")
	wrong(c.Table == "", "table is missing")
	wrong(c.DB == nil, "db is missing")
	wrong(c.EventLog == nil, "event log is missing")
	wrong(c.MaxAttempts < 0, "max attempts %d is negative", c.MaxAttempts)
	wrong(c.Cache < 0, "cache of %d bytes is negative", c.Cache)
	wrong(len(c.Sources) == 0, "sources are missing")
	for _, src := range c.Sources {
		found = append(found, src.mistakes...)
		wrong(p.sources[src.category] != nil, "two sources of category %q", src.category)
		wrong(p.ownRows[src.row], "two sources with the row %q", src.row)
		p.sources[src.category], p.ownRows[src.row] = &src, true
	}
	return found
}

// Reader returns the projection's reader. All who wait for a row share its reads, and rows that cannot be read are counted
// and logged.
func (p *Projector) Reader() Reader { return p.reader }

func (p *Projector) badRow(ctx context.Context, key Key, err error) {
	p.metrics.badRows.Inc()
	p.config.Logger.ErrorContext(ctx, "row unreadable", slog.String("id", key.ID), slog.String("row", key.Row), slog.Any("error", err))
}

// Categories returns the categories of the sources, sorted.
func (p *Projector) Categories() []string { return slices.Sorted(maps.Keys(p.sources)) }

// derivable reports whether a related row may have this name: it is neither an own row nor a parked row.
func (p *Projector) derivable(row string) bool {
	return !p.ownRows[row] && !strings.HasPrefix(row, parkedPrefix)
}
