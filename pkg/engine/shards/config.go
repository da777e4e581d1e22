package shards

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Defaults of a Config that programs show to their operators.
const (
	DefaultPoll          = 200 * time.Millisecond
	DefaultCheckpoint    = time.Second
	DefaultLeaseDuration = 10 * time.Second
)

// Config configures a Reader.
type Config[T any] struct {
	// Consumer is the name of the group of readers; each group has leases and positions of its own. Required.
	Consumer string
	// Owner is this reader's name among those of the consumer. It must be unique for every start of every reader. Defaults
	// to a random name.
	Owner string
	// Stream is the stream to read. Required.
	Stream Stream[T]
	// Leases stores which reader reads which shard, and its position. Required.
	Leases Leases
	// Handle handles a shard's next records, at least one. It returns nil once all are acknowledged downstream; only then
	// is the position stored. After an error it is called with the same records again, after a pause, for ever. Its context
	// ends when the lease is lost, or StopTimeout after a stop. Calls for one shard do not overlap; those for different shards
	// do. A call that takes longer than LeaseDuration must call progress.Turn(ctx) meanwhile. Handle or Open is required.
	Handle func(ctx context.Context, shard string, records []Record[T]) error
	// Open is for handlers that acknowledge records one by one: it returns the Handler of a shard for as long as this reader
	// holds its lease. ctx ends when the lease is lost, at the shard's end, and at the latest StopTimeout after a stop. The
	// Handler calls held before anything that has an effect elsewhere, and tries again later after an error: the process may
	// have been paused for longer than the lease duration, or positions cannot be stored.
	Open func(ctx context.Context, shard string, held func(context.Context) error) Handler[T]
	// Republish is called when records of the shard may have been trimmed before they were read: it must handle what the
	// stream's source still has. When it returns nil, reading continues at the oldest record; after an error it is called
	// again. It may be called although nothing was lost. Required: no record is lost silently.
	Republish func(ctx context.Context, shard string) error
	// Targets returns what records are written to, by name, each with an identity that it keeps for as long as it exists. If
	// one was replaced, what the former one had is lost with it, and one reader calls Republish. Defaults to none.
	Targets func(ctx context.Context) (map[string]string, error)

	// Poll is the shortest pause after a read that reached the tip of a shard, for streams that do not wait for records
	// themselves. Kinesis allows five reads a second and shard, of all its readers together:
	// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
	// Defaults to 200 ms.
	Poll time.Duration
	// PollIdle is the longest pause: after reads that find nothing, or that the stream refuses, pauses grow up to it. It is also
	// the most by which the first record on an idle shard is delayed. Defaults to one and a half times Poll.
	PollIdle time.Duration
	// Checkpoint is the longest time from handling a record to storing its position: after a crash at most that much work,
	// and the batch in flight, is repeated. If the lease cannot be written, handling pauses after twice that time. A clean
	// stop, a release and a shard's end store the position at once. Renewals of the lease store it too, so values above a
	// third of LeaseDuration have no effect. Defaults to 1 s.
	Checkpoint time.Duration
	// LeaseDuration is the time without renewal after which other readers take a lease. Leases are renewed each third of
	// it. A shard of which nothing is completed for that time, but at least 10 s, neither a poll nor any work, is given up,
	// too; errors count as completed. Defaults to 10 s.
	LeaseDuration time.Duration
	// Round is the pause between two readings of all leases. A released shard is idle for at most that long. Defaults to 500 ms.
	Round time.Duration
	// ListEvery is the pause between two listings of the stream's shards. At the end of a shard they are listed at once.
	// Defaults to 10 s.
	ListEvery time.Duration
	// StopTimeout is how long what was read may take to be handled after a stop or for a hand-off. Defaults to 10 s.
	StopTimeout time.Duration
	// Retention is how long the stream keeps records. Set it for streams that do not report a trimmed position, such as
	// Kinesis: then a shard that was last read longer ago counts as trimmed. Defaults to zero: none does.
	Retention time.Duration
	// Backoff is the pause between retries. Defaults to 50 ms, doubled up to 5 s.
	Backoff retry.Backoff

	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Logger logs take-overs, failures and shards' ends. Defaults to none.
	Logger *slog.Logger
	// Loops gets the reader's loops while they run. Defaults to none.
	Loops *progress.Loops
	// Metrics registers the reader's metrics, named in metrics.go. Defaults to none.
	Metrics prometheus.Registerer
}

// Handler handles the records of one shard during one lease.
type Handler[T any] interface {
	// Handle takes the shard's next records, at least one. It calls done(i) for each once that is acknowledged downstream, in
	// any order, from any goroutine. It returns without waiting for that, but waits for room. It fails only when ctx ends.
	Handle(ctx context.Context, records []Record[T], done func(i int)) error
	// Wait returns when nothing is in flight. It is called at the end, when all is done or the context of Open has ended.
	Wait()
}

// minPatience is longer than a Feed waits for records and than a pause before a retry.
const minPatience = 10 * time.Second

// patience is how long a shard of which nothing is completed is kept.
func (c Config[T]) patience() time.Duration { return max(c.LeaseDuration, minPatience) }

// NewReader validates cfg, reports all mistakes at once and returns a Reader that Run starts.
func NewReader[T any](cfg Config[T]) (*Reader[T], error) {
	cfg.Owner = cmp.Or(cfg.Owner, rand.Text()[:12])
	cfg.Poll = cmp.Or(cfg.Poll, DefaultPoll)
	cfg.PollIdle = cmp.Or(cfg.PollIdle, cfg.Poll+cfg.Poll/2)
	cfg.LeaseDuration = cmp.Or(cfg.LeaseDuration, DefaultLeaseDuration)
	cfg.Checkpoint = cmp.Or(cfg.Checkpoint, DefaultCheckpoint)
	cfg.Round = cmp.Or(cfg.Round, 500*time.Millisecond)
	cfg.ListEvery = cmp.Or(cfg.ListEvery, 10*time.Second)
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, 10*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the documented default
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Checkpoint = min(cfg.Checkpoint, cfg.LeaseDuration/3)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)).With(slog.String("consumer", cfg.Consumer), slog.String("owner", cfg.Owner))
	r := &Reader[T]{
		cfg: cfg, view: newView(cfg.Owner, cfg.LeaseDuration),
		workers: map[string]*worker[T]{}, wake: make(chan struct{}, 1), counts: newCounters(cfg.Consumer),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(r)
	}
	return r, nil
}

func (c Config[T]) validate() error {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("shards: "+what))
		}
	}
	require(c.Consumer != "", "Consumer is required")
	require(c.Stream != nil, "Stream is required")
	require(c.Leases != nil, "Leases is required")
	require((c.Handle != nil) != (c.Open != nil), "either Handle or Open is required")
	require(c.Republish != nil, "Republish is required")
	require(c.Poll >= 0, "Poll must not be negative")
	require(c.PollIdle >= c.Poll, "PollIdle must not be less than Poll")
	require(c.Checkpoint >= 0, "Checkpoint must not be negative")
	require(c.LeaseDuration >= 0, "LeaseDuration must not be negative")
	require(c.Round >= 0, "Round must not be negative")
	require(c.ListEvery >= 0, "ListEvery must not be negative")
	require(c.StopTimeout >= 0, "StopTimeout must not be negative")
	require(c.Retention >= 0, "Retention must not be negative")
	require(c.Round <= c.LeaseDuration/2, "Round must be at most half of LeaseDuration")
	return errors.Join(errs...)
}
