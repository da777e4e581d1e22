// Package route sends events to the queues that subscribe to their category, each stream's in order.
package route

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/hop"
)

// Queue stores messages in order; *fifoqueue.Publisher is one.
type Queue interface {
	Publish(ctx context.Context, messages []fifoqueue.Outgoing) error
}

// NewRouter returns the hop to the queues of each category; events of other categories are dropped. It sets Name,
// Source, Target, Decode and Put of c.
func NewRouter(queues map[string][]Queue, c hop.Config[[]byte]) *hop.Hop[[]byte] {
	c.Name, c.Source, c.Target = "route", "Kinesis", "every queue"
	c.Decode = func(body []byte) (hop.Event, error) {
		r, err := envelope.Decode(body)
		return hop.Event{Record: r, Envelope: body}, err // as it came: with fields that this version does not know
	}
	c.Put = func(ctx context.Context, events []hop.Event) error {
		messages := map[Queue][]fifoqueue.Outgoing{}
		for _, e := range events {
			for _, q := range queues[e.Stream.Category] {
				messages[q] = append(messages[q], fifoqueue.Outgoing{
					Group: e.Stream.String(), DeduplicationID: fmt.Sprintf("%s#%d", e.Stream, e.Version), Body: e.Envelope,
				})
			}
		}
		group, ctx := errgroup.WithContext(ctx)
		for q, m := range messages {
			group.Go(func() error { return q.Publish(ctx, m) })
		}
		return group.Wait()
	}
	return hop.New(c)
}
