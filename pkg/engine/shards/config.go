package shards

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/retry"
)

// Config configures a Reader.
type Config[T any] struct {
	// Consumer names what reads: each consumer has leases and positions of its own. Required.
	Consumer string
	// Owner names this reader among those of the consumer. Every start of every reader needs a name of its own, or
	// leases cannot tell them apart. Defaults to a random one.
	Owner string
	// Stream is what is read. Required.
	Stream Stream[T]
	// Leases keeps who reads what and how far. Required.
	Leases Leases
	// Handle takes a shard's next records, never none. It returns nil once all are acknowledged downstream; only then is the
	// position kept. After an error the same records come again, after a pause, for ever. Its context ends when the
	// lease is lost, or StopTimeout after a stop. Calls for one shard do not overlap, those of different shards do. Required.
	Handle func(ctx context.Context, shard string, records []Record[T]) error
	// Republish is told that records of the shard were trimmed away unread: catch up from where they came from. The
	// shard goes on, at the oldest record kept, once it returns nil; after an error it is called again. It may be told
	// more often than records were lost. Required: what is lost is never lost silently.
	Republish func(ctx context.Context, shard string) error

	// Poll is the pause after a read that left nothing behind, of a stream that does not wait for records itself. Kinesis
	// allows five reads a second of a shard. Defaults to 200 ms.
	Poll time.Duration
	// Checkpoint is the longest time for which the position of a handled record is not kept: so much a crash repeats, beside
	// the batch in hand. While the lease cannot be written, handling stops after twice that. A clean stop, a shard given
	// away and a shard's end keep it at once. Renewals of the lease carry the position, so that a third of LeaseDuration is
	// the most. Defaults to 1 s.
	Checkpoint time.Duration
	// LeaseDuration is how long a lease may stay unrenewed before others take it; it is renewed three times as often.
	// Defaults to 10 s.
	LeaseDuration time.Duration
	// Round is the pause between two looks at the leases: it bounds how long a released shard lies idle. Defaults to
	// 500 ms.
	Round time.Duration
	// ListEvery is the pause between two listings of the stream's shards; the end of a shard lists them at once.
	// Defaults to 10 s.
	ListEvery time.Duration
	// StopTimeout is how long batches in hand may take to finish after a stop. Defaults to 10 s.
	StopTimeout time.Duration
	// Retention is how long the stream keeps records, for streams that pass over what they trimmed without a word, as
	// Kinesis does: a shard read no further than that long ago counts as trimmed. Defaults to zero: never.
	Retention time.Duration
	// Backoff spaces retries. Defaults to 50 ms, doubled up to 5 s.
	Backoff retry.Backoff

	// Now is the clock. Required.
	Now func() time.Time
	// Log is told of take-overs, failures and shards' ends. Defaults to nobody.
	Logger *slog.Logger
	// Metrics takes the reader's metrics; see the metric names in metrics.go. Defaults to none.
	Metrics prometheus.Registerer
}

// NewReader validates cfg, reports all mistakes at once and returns a Reader that Run starts.
func NewReader[T any](cfg Config[T]) (*Reader[T], error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Owner = cmp.Or(cfg.Owner, rand.Text()[:12])
	cfg.Poll = cmp.Or(cfg.Poll, 200*time.Millisecond)
	cfg.LeaseDuration = cmp.Or(cfg.LeaseDuration, 10*time.Second)
	cfg.Checkpoint = min(cmp.Or(cfg.Checkpoint, time.Second), cfg.LeaseDuration/3)
	cfg.Round = cmp.Or(cfg.Round, 500*time.Millisecond)
	cfg.ListEvery = cmp.Or(cfg.ListEvery, 10*time.Second)
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, 10*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("consumer", cfg.Consumer), slog.String("owner", cfg.Owner))
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
	require(c.Handle != nil, "Handle is required")
	require(c.Republish != nil, "Republish is required")
	require(c.Now != nil, "Now is required")
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Poll", c.Poll},
		{"Checkpoint", c.Checkpoint},
		{"LeaseDuration", c.LeaseDuration},
		{"Round", c.Round},
		{"ListEvery", c.ListEvery},
		{"StopTimeout", c.StopTimeout},
		{"Retention", c.Retention},
	} {
		require(d.value >= 0, d.name+" must not be negative")
	}
	lease, round := cmp.Or(c.LeaseDuration, 10*time.Second), cmp.Or(c.Round, 500*time.Millisecond)
	require(round <= lease/2, "Round must be at most half of LeaseDuration")
	return errors.Join(errs...)
}
