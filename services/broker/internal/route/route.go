// Package route sends events to the queues that subscribe to their category, each stream's in order.
package route

import (
	"fmt"
	"slices"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
)

// Queue is a queue and the categories whose events it gets.
type Queue struct {
	Name       string
	Categories []string
	Sender     ordered.Options[fifoqueue.Outgoing]
}

// NewRouter returns the hop to the queues; events of other categories are dropped. It sets Name, Source, Target, Targets
// and Decode of c.
func NewRouter(queues []Queue, c hop.Config[[]byte]) *hop.Hop[[]byte] {
	c.Name, c.Source, c.Target = "route", "Kinesis", "every queue"
	c.Decode = hop.Decode
	for _, q := range queues {
		t := hop.NewTarget(q.Sender, message)
		t.Name = q.Name
		t.Takes = func(e hop.Event) bool { return slices.Contains(q.Categories, e.Stream.Category) }
		c.Targets = append(c.Targets, t)
	}
	return hop.New(c)
}

func message(e hop.Event) fifoqueue.Outgoing {
	return fifoqueue.Outgoing{
		Group: e.Stream.String(), DeduplicationID: fmt.Sprintf("%s#%d", e.Stream, e.Version), Body: e.Envelope,
	}
}
