package pipelines

import (
	"context"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Mapping is Lambda's event source mapping of a DynamoDB stream: it reads each shard in order, parents first, and invokes a function with
// batches of records. It is AWS's, so it never crashes.
// https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
type Mapping struct {
	Function chan<- Invocation
	// Retries is MaximumRetryAttempts: a batch that failed more often is discarded, or its position sent to a destination for an
	// operator to see. Negative: it is retried until its records expire, after 24 h. That is Lambda's default.
	// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
	Retries int
	// Bisect is BisectBatchOnFunctionError: a batch that failed is split in two.
	Bisect bool
	// Partial is ReportBatchItemFailures: what comes before the record that failed counts as done.
	// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
	Partial bool
	Backoff retry.Backoff
}

// batchSize is Lambda's default.
const batchSize = 100

// Invocation calls a function.
type Invocation struct {
	ctx   context.Context //nolint:containedctx // the function's time
	batch []shards.Record[shards.Image]
	// failed gets the index of the first record that failed, or the number of records. The function reports it, whether the mapping
	// makes use of it or not.
	failed chan<- int
}

// Handle implements shards.Config.Handle.
func (m Mapping) Handle(ctx context.Context, _ string, records []shards.Record[shards.Image]) error {
	for batch := range slices.Chunk(records, batchSize) {
		if err := m.deliver(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// deliver invokes the function until the batch is done or discarded. What a partial failure leaves is a batch of its own, with all
// retries; one record alone is discarded alone. Both are in the mapping's favour, where the documentation leaves it open.
func (m Mapping) deliver(ctx context.Context, batch []shards.Record[shards.Image]) error {
	for failures := 0; m.Retries < 0 || failures <= m.Retries; failures++ {
		if failures > 0 {
			_ = m.Backoff.Or(time.Second, 30*time.Second).Wait(ctx, failures) // the next line looks at ctx
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		progress.Turn(ctx)
		failed := m.invoke(ctx, batch)
		if failed == len(batch) {
			return nil
		}
		if m.Partial && failed > 0 {
			return m.deliver(ctx, batch[failed:])
		}
		if middle := len(batch) / 2; m.Bisect && middle > 0 {
			if err := m.deliver(ctx, batch[:middle]); err != nil {
				return err
			}
			return m.deliver(ctx, batch[middle:])
		}
	}
	return ctx.Err()
}

// invoke returns the index of the first record that failed. A function that does not answer in time has failed as a whole.
func (m Mapping) invoke(ctx context.Context, batch []shards.Record[shards.Image]) int {
	ctx, cancel := context.WithTimeout(ctx, functionTimeout)
	defer cancel()
	failed := make(chan int, 1)
	select {
	case m.Function <- Invocation{ctx, batch, failed}:
	case <-ctx.Done():
		return 0
	}
	select {
	case n := <-failed:
		return n
	case <-ctx.Done():
		return 0
	}
}

// Function is an environment that runs a Lambda function, one invocation at a time.
func Function(ctx context.Context, invocations <-chan Invocation, apply Apply) error {
	for {
		select {
		case i := <-invocations:
			i.failed <- i.run(ctx, apply)
		case <-ctx.Done():
			return nil
		}
	}
}

// run applies one record after the other, up to the first that fails. It ends with the invocation or with the process.
func (i Invocation) run(ctx context.Context, apply Apply) (failed int) {
	working, cancel := context.WithCancel(i.ctx)
	defer context.AfterFunc(ctx, cancel)()
	defer cancel()
	for n, r := range i.batch {
		record, err := dynamostore.FromStreamImage(r.Value)
		if err == nil {
			err = apply(working, record) //nolint:contextcheck // ctx ends it, too
		}
		if err != nil {
			return n
		}
	}
	return len(i.batch)
}
