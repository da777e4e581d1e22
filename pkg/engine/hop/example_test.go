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
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// A hop from a stream of envelopes, such as Kinesis, to the console. A shards.Reader calls Open and Republish.
func ExampleNew() {
	console := ordered.Options[string]{
		Key: func(line string) string { return line }, Size: func(line string) int { return len(line) }, MaxCount: 10, MaxBytes: 1000,
		Put: func(_ context.Context, lines []string) (failed map[int]error, err error) {
			for _, line := range lines {
				fmt.Println(line)
			}
			return nil, nil
		},
	}
	printer := hop.New(hop.Config[[]byte]{
		Name: "print", Source: "Kinesis", Target: "the console",
		Decode:  hop.Decode,
		Targets: []hop.Target{hop.NewTarget(console, func(e hop.Event) string { return fmt.Sprint(e.Stream, " ", e.Version) })},
		SetAside: func(_ context.Context, place hop.Place, reason error) error {
			fmt.Println(place.Sequence, reason)
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
	handler := printer.Open(context.Background(), "shard-1", func(context.Context) error { return nil })
	records := []shards.Record[[]byte]{{Sequence: "7", Value: []byte("{}")}, {Sequence: "8", Value: body}}
	if err := handler.Handle(context.Background(), records, func(int) {}); err != nil {
		fmt.Println(err)
	}
	handler.Wait()
	// Unordered output:
	// 7 decode envelope: field "id": missing
	// org/doors/door/front 1
}
