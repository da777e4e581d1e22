package simulation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/simulation/pipelines"
)

// Names of what the variants have of their own.
const (
	variantRows  = "variant-rows"
	variantDone  = "variant-done"
	variantQueue = "variant-queue"
	consuming    = "consumer" // a process
	managed      = "managed"  // a service of AWS: it is neither killed nor paused
)

// Leftfold is the variant that replaces nothing.
const Leftfold = "Leftfold"

// variant is a read side as it is usually built, in place of Leftfold's, or of a part of it.
type variant struct {
	name string
	// behind are the services of Leftfold that feed it.
	behind []string
	// parts are what runs in its processes, by kind.
	parts func(w *world) map[string]wire
}

// wire returns what a process does.
type wire func(context.Context, service.Platform) (func(context.Context) error, error)

// variants are all of them, the one that replaces nothing first.
func variants() []variant {
	return []variant{
		{name: Leftfold, behind: Services()},
		{name: "FIFO queue, no fence", behind: []string{streaming, brokering}, parts: (*world).fifoConsumer},
		{name: "Kinesis, no fence", behind: []string{streaming}, parts: (*world).kinesisConsumer},
		{name: "Lambda, defaults", parts: lambdas(pipelines.Mapping{Retries: -1})},
		{name: "Lambda, 10 retries of a batch", parts: lambdas(pipelines.Mapping{Retries: 10})},
		{name: "Lambda, partial failures, bisect", parts: lambdas(pipelines.Mapping{Retries: 10, Bisect: true, Partial: true})},
		{name: "standard queue, idempotency table", parts: (*world).standardConsumer},
	}
}

// Variants returns the names of the variants.
func Variants() (names []string) {
	for _, v := range variants() {
		names = append(names, v.name)
	}
	return names
}

// As returns the plan for a variant: with the faults, kills, pauses and reshards that every read side has to live with. What only Leftfold
// can meet is left out: its operators, upgrades and rights, items in the log that are no events, and the loss of a stream or of more than
// a stream keeps.
func (p Plan) As(variant string) Plan {
	p = p.WithoutOperators()
	p.Variant, p.Rebuilds, p.Upgrade, p.Denied, p.Outage, p.Busy, p.Crowd = variant, false, "", nil, 0, false, false
	p.Moves = slices.DeleteFunc(p.Moves, func(move string) bool {
		return slices.Contains([]string{moveUnacceptable, moveKinesisAnew, moveTableAnew}, move)
	})
	p.Faults = slices.DeleteFunc(slices.Clone(p.Faults), func(f localaws.Fault) bool { // its rows are in no transaction
		return f.Kind == localaws.FaultTransactionConflict && f.Operation == "DynamoDB.PutItem"
	})
	for _, f := range slices.Clone(p.Faults) {
		if f.Operation == "DynamoDB.PutItem" { // by which Leftfold writes a row
			f.Operation = "DynamoDB.UpdateItem"
			p.Faults = append(p.Faults, f)
		}
	}
	return p
}

// variant returns the plan's variant, or nil.
func (p Plan) variant() *variant {
	for _, v := range variants() {
		if v.name == p.Variant {
			return &v
		}
	}
	return nil
}

// replaced reports whether a variant has another service in the place of this one.
func (v *variant) replaced(service string) bool {
	return v != nil && service != commandAPI && !slices.Contains(v.behind, service)
}

// addVariant creates what the plan's variant consists of.
func (w *world) addVariant() {
	if w.variant == nil || w.variant.parts == nil {
		return
	}
	for _, table := range []string{variantRows, variantDone} {
		_, err := w.db.CreateTable(w.ctx, pipelines.CreateTableInput(table))
		must(err)
	}
	parts := w.variant.parts(w)
	for _, each := range []struct {
		kind string
		n    int
	}{{consuming, 2}, {managed, 1}} {
		if build := parts[each.kind]; build != nil {
			w.addReplica(each.kind, each.n, func(ctx context.Context, p service.Platform) (out service.App, err error) {
				run, err := build(ctx, p)
				if err != nil {
					return out, err
				}
				out.Parts = []service.Part{{Name: each.kind, Run: run}}
				return out, nil
			})
		}
	}
}

func (w *world) fifoConsumer() map[string]wire {
	return map[string]wire{consuming: func(ctx context.Context, p service.Platform) (func(context.Context) error, error) {
		client := sqs.NewFromConfig(p.AWS)
		url, err := fifoqueue.QueueURL(ctx, client, w.everything())
		return pipelines.Queue{SQS: client, URL: url, Handle: pipelines.InOrder(rowsOf(p).Apply), Pause: pauseOf(p)}.Run, err
	}}
}

// everything is a queue of Leftfold that has all events.
func (w *world) everything() string {
	for _, s := range w.names.Subscriptions() {
		if len(s.Categories) == 2 {
			return s.Queue
		}
	}
	panic("no queue has users and roles")
}

func (w *world) kinesisConsumer() map[string]wire {
	return map[string]wire{consuming: func(_ context.Context, p service.Platform) (func(context.Context) error, error) {
		r, err := shards.NewReader(readerConfig(w, p, shards.NewKinesisStream(kinesis.NewFromConfig(p.AWS), w.names.Stream),
			pipelines.Records(rowsOf(p).Apply)))
		if err != nil {
			return nil, err
		}
		return r.Run, nil
	}}
}

// lambdas returns a mapping and the environments of its function.
func lambdas(m pipelines.Mapping) func(*world) map[string]wire {
	return func(w *world) map[string]wire {
		invocations := make(chan pipelines.Invocation)
		return map[string]wire{
			consuming: func(_ context.Context, p service.Platform) (func(context.Context) error, error) {
				rows := rowsOf(p)
				rows.NewerOnly = true
				return func(ctx context.Context) error { return pipelines.Function(ctx, invocations, rows.Apply) }, nil
			},
			managed: func(_ context.Context, p service.Platform) (func(context.Context) error, error) {
				m := m
				m.Function, m.Backoff = invocations, retry.Backoff{Jitter: p.Jitter}
				return w.logReader(p, m.Handle)
			},
		}
	}
}

func (w *world) standardConsumer() map[string]wire {
	admin := sqs.NewFromConfig(w.aws.Config())
	url := w.createQueue(admin)
	return map[string]wire{
		consuming: func(_ context.Context, p service.Platform) (func(context.Context) error, error) {
			once := pipelines.Once{DB: dynamodb.NewFromConfig(p.AWS), Table: variantDone}
			return pipelines.Queue{
				SQS: sqs.NewFromConfig(p.AWS), URL: url, Handle: pipelines.Each(rowsOf(p).Apply, once), Pause: pauseOf(p),
			}.Run, nil
		},
		managed: func(_ context.Context, p service.Platform) (func(context.Context) error, error) {
			return w.logReader(p, pipelines.Pipe(sqs.NewFromConfig(p.AWS), url, retry.Backoff{Jitter: p.Jitter}))
		},
	}
}

// createQueue creates a standard queue as Lambda's documentation recommends it: messages are invisible for six times as long as the
// function may take, and become dead letters after five failures.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
func (w *world) createQueue(client *sqs.Client) (url string) {
	dead, err := client.CreateQueue(w.ctx, &sqs.CreateQueueInput{QueueName: aws.String(variantQueue + "-dlq")})
	must(err)
	of, err := client.GetQueueAttributes(w.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: dead.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	must(err)
	queue, err := client.CreateQueue(w.ctx, &sqs.CreateQueueInput{QueueName: aws.String(variantQueue), Attributes: map[string]string{
		"VisibilityTimeout": "180",
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":5}`, of.Attributes["QueueArn"]),
	}})
	must(err)
	return aws.ToString(queue.QueueUrl)
}

func rowsOf(p service.Platform) pipelines.Rows {
	return pipelines.Rows{DB: dynamodb.NewFromConfig(p.AWS), Table: variantRows}
}

func pauseOf(p service.Platform) func() time.Duration {
	return func() time.Duration { return time.Second + p.Jitter(time.Second) }
}

// logReader reads the log's stream, as AWS does for a mapping or a pipe.
func (w *world) logReader(
	p service.Platform, handle func(context.Context, string, []shards.Record[shards.Image]) error,
) (func(context.Context) error, error) {
	stream := shards.NewDynamoDBStream(dynamodbstreams.NewFromConfig(p.AWS), dynamodb.NewFromConfig(p.AWS), w.names.EventLog)
	cfg := readerConfig(w, p, stream, handle)
	cfg.LeaseDuration = 2 * time.Minute // an invocation may take half a minute, and nobody else reads
	r, err := shards.NewReader(cfg)
	if err != nil {
		return nil, err
	}
	return r.Run, nil
}

func readerConfig[T any](
	w *world, p service.Platform, s shards.Stream[T], handle func(context.Context, string, []shards.Record[T]) error,
) shards.Config[T] {
	return shards.Config[T]{
		Consumer: w.plan.Variant, Owner: p.Instance, Stream: s,
		Leases: shards.NewDynamoDBLeases(dynamodb.NewFromConfig(p.AWS), w.names.Leases),
		Handle: handle, Republish: func(context.Context, string) error { return nil }, // nothing is trimmed
		Poll: time.Second, PollIdle: 3 * time.Second, StopTimeout: p.Drain, Backoff: retry.Backoff{Jitter: p.Jitter},
	}
}
