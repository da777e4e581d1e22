package hop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// A hop from a stream of envelopes, such as Kinesis, to the console. A shards.Reader calls Handle and Republish.
func ExampleNew() {
	printer := hop.New(hop.Config[[]byte]{
		Name: "print", Source: "Kinesis", Target: "the console",
		Decode: func(body []byte) (hop.Event, error) {
			r, err := envelope.Decode(body)
			return hop.Event{Record: r, Envelope: body}, err
		},
		Put: func(_ context.Context, events []hop.Event) error {
			for _, e := range events {
				fmt.Println(e.Stream, e.Version, e.Name)
			}
			return nil
		},
		EventLog: eventLog{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	body, err := envelope.Encode(eventsourcing.Record{
		ID: "1", Stream: eventsourcing.StreamID{Category: "org/doors/door", ID: "front"}, Version: 1,
		Name: "org/doors/door/opened", Schema: 1, Data: json.RawMessage(`{}`), RecordedAt: time.Now(),
	})
	if err != nil {
		fmt.Println(err)
	}
	if err := printer.Handle(context.Background(), "shard-1", []shards.Record[[]byte]{{Value: []byte("{}")}, {Value: body}}); err != nil {
		fmt.Println(err)
	}
	// Output: org/doors/door/front 1 org/doors/door/opened
}
