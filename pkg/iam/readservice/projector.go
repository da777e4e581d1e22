// Package readservice builds a projector service: it applies a queue's messages to one projection, heals gaps from the
// log, and serves the reads and the operators' requests.
package readservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// CacheConfig is the configuration of the rows that a projector service keeps in memory, or of the fences that the processor does.
type CacheConfig struct {
	_     struct{} `group:"Cache of read models"`
	Bytes int      `envconfig:"PROJECTION_CACHE" default:"33554432" desc:"bytes of memory for rows or fences that were written lately, which saves reading them before the next write; 0: none"`
}

// Validate is called by service.LoadConfig.
func (c *CacheConfig) Validate() error {
	if c.Bytes < 0 {
		return fmt.Errorf("PROJECTION_CACHE=%d: want 0 or more", c.Bytes)
	}
	return nil
}

// Config configures a projector service.
type Config struct {
	// Name is the projection's, such as "users".
	Name string
	// EventLog is the table that gaps are healed from: missing events are read from it.
	EventLog string
	// Table is the projection's.
	Table string
	// Queue feeds it.
	Queue string
	// Shapes are the projection's folds, the newest last. Routes can read the rows of each.
	Shapes []generation.Shape
	// Generations is the table that says which tables are read and fed.
	Generations string
	// Visibility is how long a group of the queue waits after a crash.
	Visibility time.Duration
	// Cache says how much of the read model is kept in memory.
	Cache CacheConfig
	// Audit says when the read model is compared with the log.
	Audit AuditConfig
	// API and Routes serve the reads, of the rows and of the log.
	API    service.API
	Routes func(huma.API, Reader, history.Log)
}

// Reader reads the rows of a projection; projection.Reader reads those of one table, generation.Reader those of the current one.
type Reader interface {
	Get(ctx context.Context, id, row string, out any) (found bool, err error)
	BatchGet(ctx context.Context, keys []projection.Key, out any) error
	Rows(ctx context.Context, id, prefix string, limit int, cursor projection.Cursor, out any) (next projection.Cursor, err error)
	List(ctx context.Context, f projection.Filter, limit int, cursor projection.Cursor, out any) (next projection.Cursor, err error)
	Latest(ctx context.Context, ids []string, from, before string, limit int, out any) (more bool, err error)
	Await(
		ctx context.Context, id, row string, least eventsourcing.Version, wait time.Duration, out any,
	) (found bool, err error)
}

// New wires the service. The queues must exist.
func New(ctx context.Context, c Config, p service.Platform) (service.App, error) {
	db, queues := dynamodb.NewFromConfig(p.AWS), sqs.NewFromConfig(p.AWS)
	backoff := retry.Backoff{Jitter: p.Jitter}
	tables := dynamostore.Tables{Events: c.EventLog}
	log := dynamostore.NewStore(db, dynamostore.Config{Tables: tables, Now: p.Now, Backoff: backoff})
	past := dynamostore.NewStore(db, dynamostore.Config{Tables: tables, Now: p.Now, Backoff: backoff, FirstPage: history.FirstPage})
	model, err := generation.NewModel(generation.Config{
		Projection: projection.Config{
			Name: c.Name, Table: c.Table, DB: db, EventLog: log, Now: p.Now, Backoff: backoff, Logger: p.Logger, Metrics: p.Metrics,
			Cache: c.Cache.Bytes, Journey: p.Journey,
		},
		Shapes: c.Shapes, States: c.Generations,
	})
	if err != nil {
		return service.App{}, err
	}
	consumer, err := NewConsumer(ctx, c.Name, c.Queue, model, model.Open, c.Visibility, p)
	if err != nil {
		return service.App{}, err
	}
	catchUps := NewCatchUps(c.Name, NewWholeLog(c.EventLog, p), model.CatchUp, p.Now, p.Logger)
	steps := newStepsOf(c, p)
	audits := NewAudits(c.Name, c.Audit, func(ctx context.Context, audit projectionaudit.Config) (projectionaudit.Result, error) {
		audit.Log = log
		return model.Audit(ctx, audit)
	}, p)
	reads := model.Reader()
	return service.App{
		Parts: []service.Part{
			{Name: "projector of " + c.Name, Run: consumer.Run},
			{Name: "catch-up of " + c.Name, Run: catchUps.Run},
			{Name: "redrive of " + c.Name, Run: func(ctx context.Context) error {
				return RedriveKnown(ctx, model.RedriveKnown, p)
			}},
			{Name: "audits of " + c.Name, Run: audits.Run},
			{Name: "generations of " + c.Name, Run: steps.Run},
		},
		First: []health.Check{
			{Name: "receive from " + c.Queue, Probe: func(ctx context.Context) error {
				if errors.Is(model.Open(ctx), generation.ErrUnknownShape) { // it leaves the messages to the newer build
					return nil
				}
				return consumer.Ready(ctx)
			}},
			{Name: "read of " + c.Table, Probe: func(ctx context.Context) error {
				_, err := reads.Get(ctx, "none", "none", &struct{}{})
				return err
			}},
		},
		Checks: []health.Check{
			awsconfig.TableCheck(db, c.EventLog), awsconfig.TableCheck(db, c.Table), awsconfig.TableCheck(db, c.Generations),
			awsconfig.QueueCheck(queues, c.Queue),
		},
		API:    c.API,
		Info:   problems.Info(),
		Routes: func(api huma.API) { c.Routes(api, reads, past) },
		Admin: func(api huma.API) {
			RegisterParked(api, c.Name, model, RedriveTimeout, p.Logger)
			RegisterRebuild(api, c.Name, model, RedriveTimeout, p.Logger)
			RegisterGenerations(api, c.Name, c.Table, model.Status, p.Logger)
			catchUps.Register(api)
			audits.Register(api)
			steps.Register(api)
		},
	}, nil
}

// NewConsumer returns what applies the messages of a queue, which must exist, to the model of that name. It receives while open returns
// nil; without open, always.
func NewConsumer(
	ctx context.Context, name, queue string, model Model, open func(context.Context) error, visibility time.Duration, p service.Platform,
) (*fifoqueue.Consumer, error) {
	client := sqs.NewFromConfig(p.AWS)
	url, err := fifoqueue.QueueURL(ctx, client, queue)
	if err != nil {
		return nil, err
	}
	deadLetters, err := fifoqueue.QueueURL(ctx, client, topology.DeadLetters(queue))
	if err != nil {
		return nil, err
	}
	operation := "project " + name
	return fifoqueue.NewConsumer(fifoqueue.Config{
		Client: client, QueueURL: url, DeadLetterURL: deadLetters,
		Handler: Handler(model, eventtrace.Tracer(p.Traces, "pkg/iam/readservice"), operation, received(p.Journey, operation, queue)),
		Open:    open, Visibility: visibility, StopTimeout: p.Drain, Backoff: retry.Backoff{Jitter: p.Jitter},
		Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Loops: p.Loops,
	})
}

// Model applies records of one stream in order and says how many, from the front, are done; *projection.Projector is one.
type Model interface {
	Apply(ctx context.Context, records []eventsourcing.Record) (done int, err error)
}

// received remembers that a queue has delivered an event.
func received(j *journey.Recorder, operation, queue string) func(fifoqueue.Message, eventsourcing.Record) {
	return func(m fifoqueue.Message, r eventsourcing.Record) {
		j.Add(journey.Step{
			Operation: operation, Outcome: journey.Received, Stream: r.Stream, Version: r.Version, EventID: r.ID,
			From: queue, Receives: m.ReceiveCount,
		})
	}
}

// Handler applies a group's messages to a projection, in a span of that name, and calls seen with each before. What cannot be decoded is
// rejected.
func Handler(m Model, tracer trace.Tracer, span string, seen func(fifoqueue.Message, eventsourcing.Record)) fifoqueue.Handler {
	return func(ctx context.Context, group string, messages []fifoqueue.Message) (int, error) {
		records := make([]eventsourcing.Record, 0, len(messages))
		var undecodable error
		for _, msg := range messages {
			rec, err := envelope.Decode(msg.Body)
			if err == nil && rec.Stream.String() != group {
				err = errors.New("event of another stream than its group's")
			}
			if err != nil {
				undecodable = fifoqueue.Reject(err)
				break
			}
			seen(msg, rec)
			records = append(records, rec)
		}
		if len(records) == 0 {
			return 0, undecodable
		}
		last := records[len(records)-1].Metadata
		ctx = telemetry.WithCorrelation(ctx, telemetry.Correlation{
			CorrelationID: last.CorrelationID, CausationID: last.CausationID,
		})
		ctx, span := eventtrace.StartBatch(ctx, tracer, span, trace.SpanKindConsumer, records,
			func(r eventsourcing.Record) string { return r.Metadata.Traceparent })
		done, err := m.Apply(ctx, records)
		eventtrace.End(span, err)
		if err != nil {
			return done, err
		}
		return done, undecodable
	}
}
