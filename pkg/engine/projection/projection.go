// Package projection keeps read models: each is a left fold of the log, written to one DynamoDB table in version order
// per stream and with the effect of exactly one application of every event, whatever is repeated, reordered or lost on
// the way.
//
// A table is fed by Sources, each a category of streams. Every source stream has its own row, (stream ID, Source.Row),
// which holds the state folded so far and the fence: the version applied. Related rows, such as a member in a group's
// collection, are derived from that state and move with it in one transaction. So each row has exactly one stream that
// writes it, and the events of different streams may be applied in any order.
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

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Errors of a Projector.
var (
	// ErrNoSource: no Source of this projection has the stream's category.
	ErrNoSource = errors.New("no source of that category")
	// ErrMixedStreams: one Apply was given records of several streams.
	ErrMixedStreams = errors.New("records of several streams")
	// ErrLogBehind: the log does not show an event that must be there. Nothing is skipped.
	ErrLogBehind = errors.New("log does not show the missing events")
	// ErrContended: too many lost races for one row, one after another. It is an eventsourcing.ErrUnavailable.
	ErrContended = fmt.Errorf("%w: row contended", eventsourcing.ErrUnavailable)
	// ErrParked: an event cannot be applied; its aggregate is set aside.
	ErrParked = errors.New("aggregate parked")
	// ErrTooManyRows: one event changes more rows than a transaction takes.
	ErrTooManyRows = fmt.Errorf("more than %d rows in one transaction", maxTransaction)
	// ErrNotOwner: a related row belongs to another stream.
	ErrNotOwner = errors.New("row of another stream")
	// ErrInvalidRow: a Source made a row that cannot be stored.
	ErrInvalidRow = errors.New("invalid row")
)

// DynamoDBAPI is what a projection needs of DynamoDB; *dynamodb.Client is one.
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

// EventLog is where gaps are healed from: it yields a stream's records after a version, oldest first, without gaps, as of a
// moment no earlier than the call. The first error ends the sequence.
type EventLog interface {
	Read(ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
}

// Config is what a Projector is made of.
type Config struct {
	// Name labels the projection's metrics and logs, such as "users".
	Name string
	// Table is declared by CreateTableInput.
	Table    string
	DB       DynamoDBAPI
	EventLog EventLog
	// Sources feed the table: categories and own rows must differ.
	Sources []Source
	// MaxAttempts bounds the tries to apply one event before its aggregate is parked; from the second on, the log's
	// copy of the event is used. Throttling and the like do not count. Defaults to 5.
	MaxAttempts int
	// Backoff spaces attempts after a lost race, and reads as in Reader. Defaults to 1 ms, doubled up to 64 ms.
	Backoff retry.Backoff
	// Now measures latency and stamps parked rows. Defaults to time.Now.
	Now func() time.Time
	// Logger is told of what healed and what was parked. Defaults to silence.
	Logger *slog.Logger
	// Metrics takes the projection's metrics. Defaults to none kept.
	Metrics prometheus.Registerer
	// OnApplied is told of each record right after it was written, in version order per stream; it must be quick. A
	// write whose answer was lost is seen as a duplicate and not told. Defaults to nobody.
	OnApplied func(eventsourcing.Record)
}

// Projector applies records to one projection. Safe for concurrent use, also by many processes and on one stream.
type Projector struct {
	config  Config
	sources map[string]*Source  // by category
	ownRows map[string]struct{} // the Row of each source
	reader  Reader
	metrics metrics
}

// NewProjector checks the configuration and reports everything that is wrong with it at once.
func NewProjector(c Config) (*Projector, error) {
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 5)
	c.Backoff = c.Backoff.Or(firstPause, longestPause)
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default of the option
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Logger = c.Logger.With(slog.String("projection", c.Name))
	p := &Projector{
		config: c, reader: Reader{DB: c.DB, Table: c.Table, Backoff: c.Backoff},
		sources: map[string]*Source{}, ownRows: map[string]struct{}{},
	}
	if mistakes := p.mistakes(); len(mistakes) > 0 {
		return nil, fmt.Errorf("projection %q: %w", c.Name, errors.Join(mistakes...))
	}
	p.metrics = newMetrics(c.Metrics, c.Name, p.Categories())
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
	wrong(len(c.Sources) == 0, "sources are missing")
	for _, src := range c.Sources {
		found = append(found, src.mistakes...)
		_, dup := p.sources[src.category]
		wrong(dup, "two sources of category %q", src.category)
		_, dup = p.ownRows[src.row]
		wrong(dup, "two sources with the row %q", src.row)
		p.sources[src.category], p.ownRows[src.row] = &src, struct{}{}
	}
	return found
}

// Categories are those of the sources, in order.
func (p *Projector) Categories() []string { return slices.Sorted(maps.Keys(p.sources)) }

// ownable says whether a source may derive a row of this name: it is neither an own row nor a parked one.
func (p *Projector) ownable(row string) bool {
	_, own := p.ownRows[row]
	return !own && !strings.HasPrefix(row, parkedPrefix)
}
