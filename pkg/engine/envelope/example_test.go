package envelope_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// An event on its way from the event log to a consumer.
func Example() {
	body, err := envelope.Encode(eventsourcing.Record{
		ID: "e1", Stream: eventsourcing.StreamID{Category: "org/doors/door", ID: "front"}, Version: 7,
		Name: "org/doors/door/painted", Schema: 1, Data: json.RawMessage(`{"color":"red"}`),
		RecordedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	if err != nil {
		log.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil {
		log.Fatal(err)
	}
	fmt.Println(indented.String())

	record, err := envelope.Decode(body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(record.Stream, record.Version, string(record.Data))

	_, err = envelope.Decode([]byte(`{"id":"e1"}`))
	fmt.Println(err)
	// Output:
	// {
	//   "id": "e1",
	//   "stream": "org/doors/door/front",
	//   "version": 7,
	//   "name": "org/doors/door/painted",
	//   "schema": 1,
	//   "data": {
	//     "color": "red"
	//   },
	//   "recordedAt": "2026-01-02T03:04:05.000Z"
	// }
	// org/doors/door/front 7 {"color":"red"}
	// decode envelope: field "stream": missing
}
