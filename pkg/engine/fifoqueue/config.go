package fifoqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/retry"
)

// ConsumerAPI is the part of *sqs.Client that a Consumer calls.
type ConsumerAPI interface {
	PublisherAPI
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(
		context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options),
	) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// Config configures a Consumer.
type Config struct {
	// Client calls SQS. Required.
	Client ConsumerAPI
	// QueueURL names the queue; see QueueURL. Required.
	QueueURL string
	// DeadLetterURL names the FIFO queue for messages that Handler rejects. Required.
	DeadLetterURL string
	// Handler is called with the messages. Required.
	Handler Handler
	// Open is asked before each receive. While it returns an error nothing is received: the messages are left to other consumers
	// as they are. Defaults to always open.
	Open func(context.Context) error

	// Concurrency is the most groups handled at once. Defaults to 32.
	Concurrency int
	// Receivers is the number of concurrent receives. Defaults to 1.
	Receivers int
	// Visibility is for how long SQS hides a received message from other consumers, in whole seconds. It is extended while the
	// message is in flight. After a crash a group waits that long. Defaults to 30 s.
	Visibility time.Duration
	// StopTimeout is how long handlers may take to finish after a stop. Defaults to 10 s.
	StopTimeout time.Duration
	// Backoff spaces retries of calls to SQS. Defaults to 50 ms, doubled up to 5 s.
	Backoff retry.Backoff

	// Now is the clock. Required.
	Now func() time.Time
	// Logger gets failures and rejected messages, but never their bodies. Defaults to one that discards.
	Logger *slog.Logger
	// Loops watches the loops of the consumer. Optional.
	Loops *progress.Loops
	// Metrics registers the metrics, which Run unregisters at its end. Optional.
	Metrics prometheus.Registerer
}

// NewConsumer returns a Consumer, which Run starts, or an error that joins all mistakes of cfg.
func NewConsumer(cfg Config) (*Consumer, error) {
	cfg.Concurrency = cmp.Or(cfg.Concurrency, 32)
	cfg.Receivers = cmp.Or(cfg.Receivers, 1)
	cfg.Visibility = cmp.Or(cfg.Visibility, DefaultVisibility)
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, 10*time.Second)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	queue := path.Base(cfg.QueueURL)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)).With(slog.String("queue", queue))
	c := &Consumer{
		cfg: cfg, queue: queue, slots: semaphore.NewWeighted(int64(cfg.Concurrency)),
		dead:     NewPublisher(cfg.Client, cfg.DeadLetterURL, cfg.Backoff),
		inFlight: newInFlight(), finished: make(chan []*delivery),
	}
	c.polledAt.Store(cfg.Now().UnixNano())
	c.counts = newCounters(queue, c.inFlight)
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(c)
	}
	return c, nil
}

// DefaultVisibility is that of Config and of the queues that Attributes declares.
const DefaultVisibility = 30 * time.Second

// MaxVisibility is the longest SQS allows:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
const MaxVisibility = 12 * time.Hour

func (c Config) validate() error {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("fifoqueue: "+what))
		}
	}
	require(c.Client != nil, "Client is required")
	require(c.QueueURL != "", "QueueURL is required")
	require(c.DeadLetterURL != "", "DeadLetterURL is required")
	require(c.Handler != nil, "Handler is required")
	require(c.Now != nil, "Now is required")
	require(c.Concurrency > 0, "Concurrency must be positive")
	require(c.Receivers > 0, "Receivers must be positive")
	require(c.StopTimeout > 0, "StopTimeout must be positive")
	require(c.Visibility >= time.Second && c.Visibility <= MaxVisibility && c.Visibility%time.Second == 0,
		fmt.Sprintf("Visibility must be 1s to %v in whole seconds", MaxVisibility))
	return errors.Join(errs...)
}
