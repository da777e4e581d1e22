package service

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// remembered is how many steps a process remembers: some 4 MB. An event has 2 to 7 of them, as many as the process has hops of it.
const remembered = 10_000

// Journey is what a process remembers of an event.
type Journey struct {
	Instance string        `json:"instance" doc:"the process" example:"projector-user-7d9f-1a2b3c4d"`
	Since    *time.Time    `json:"since,omitempty" doc:"the oldest step that it remembers, of whichever event; absent if it has none"`
	Steps    []JourneyStep `json:"steps" doc:"what it did with the event, the oldest first"`
}

// JourneyStep is a journey.Step as it is shown.
type JourneyStep struct {
	At        time.Time             `json:"at" doc:"when it ended"`
	Operation string                `json:"operation" doc:"who did it" example:"project users"`
	Outcome   journey.Outcome       `json:"outcome" enum:"sent,set aside,received,applied,healed,duplicate,parked" doc:"what came of it"`
	Stream    string                `json:"stream" doc:"the event's stream" example:"org/iam/user/0192…"`
	Version   eventsourcing.Version `json:"version" doc:"its version" example:"7"`
	EventID   string                `json:"eventId" doc:"its id"`
	From      string                `json:"from,omitempty" doc:"the shard or the queue that it was read from; absent: from the log"`
	Sequence  string                `json:"sequence,omitempty" doc:"its position in the shard"`
	Receives  int                   `json:"receives,omitempty" doc:"how often the queue has delivered it" example:"1"`
	To        string                `json:"to,omitempty" doc:"the stream or the queue that it was sent to, or the table of the row" example:"IamUserQueue.fifo"`
	Before    eventsourcing.Version `json:"before,omitempty" doc:"the version that the row showed before"`
	After     eventsourcing.Version `json:"after,omitempty" doc:"the version that it showed then" example:"7"`
}

type journeyInput struct {
	Stream  string                `query:"stream" maxLength:"128" doc:"of the events of this stream" example:"org/iam/user/0192…"`
	Version eventsourcing.Version `query:"version" doc:"of this one of them; 0: of all"`
	Event   string                `query:"event" maxLength:"128" doc:"of the event with this id"`
}

type journeyOutput struct{ Body Journey }

// registerJourney adds what the process remembers of an event to its admin address.
func registerJourney(api huma.API, p Platform) {
	httpapi.Register(api, p.Logger, huma.Operation{
		OperationID: "showJourney", Method: http.MethodGet, Path: "/journey", Tags: []string{"journey"},
		Summary: "Show what this process remembers of an event, or of the events of a stream",
	}, func(_ context.Context, in *journeyInput) (*journeyOutput, error) {
		stream, err := eventsourcing.ParseStreamID(in.Stream)
		if err != nil && (in.Stream != "" || in.Event == "") {
			return nil, httpapi.NewProblem(http.StatusBadRequest, httpapi.CodeMalformed,
				"want the stream of an event, such as org/iam/user/0192…, or the id of one as event")
		}
		steps, since := p.Journey.Find(func(s *journey.Step) bool {
			return (in.Event == "" || s.EventID == in.Event) && (in.Stream == "" || s.Stream == stream) &&
				(in.Version == 0 || s.Version == in.Version)
		})
		out := Journey{Instance: p.Instance, Steps: make([]JourneyStep, len(steps))}
		if !since.IsZero() {
			since = since.UTC()
			out.Since = &since
		}
		for i, s := range steps {
			out.Steps[i] = JourneyStep{
				At: s.At.UTC(), Operation: s.Operation, Outcome: s.Outcome, Stream: s.Stream.String(), Version: s.Version, EventID: s.EventID,
				From: s.From, Sequence: s.Sequence, Receives: s.Receives, To: s.To, Before: s.Before, After: s.After,
			}
		}
		return &journeyOutput{out}, nil
	})
}
