package process_test

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/process/processtest"
)

var friday = time.Date(2026, 11, 27, 17, 0, 0, 0, time.UTC)

func TestReminders(t *testing.T) {
	t.Parallel()
	type (
		events   = []ReminderEvent
		reaction = process.Reaction[ReminderEvent]
	)
	end := process.Timer{Name: "end", Due: friday}
	remind := process.Ask("remind", friday)
	processtest.React(t, reminders(), map[string]processtest.Case[ReminderEvent]{
		"a book is lent": {
			When: process.Heard{Event: Lent{Until: friday}},
			Then: reaction{Events: events{Expected{Until: friday}}, Set: []process.Timer{end}},
		},
		"the loan is prolonged": {
			Given: events{Expected{Until: friday.Add(-time.Hour)}},
			When:  process.Heard{Event: Prolonged{Until: friday}},
			Then:  reaction{Events: events{Expected{Until: friday}}, Set: []process.Timer{end}},
		},
		"the loan ends": {
			Given: events{Expected{Until: friday}},
			When:  process.Fired{Timer: end},
			Then:  reaction{Commands: []process.Command{remind}},
		},
		"the reader is reminded": {
			Given: events{Expected{Until: friday}},
			When:  process.Answered{Command: remind},
			Then:  reaction{Events: events{Reminded{}}},
		},
		"the reader has moved away": {
			Given: events{Expected{Until: friday}},
			When:  process.Answered{Command: remind, Answer: process.Answer{Refused: "unknown_reader"}},
			Then:  reaction{Events: events{Reminded{Refused: "unknown_reader"}}},
		},
		"the book is returned": {
			Given: events{Expected{Until: friday}},
			When:  process.Heard{Event: Returned{}},
			Then:  reaction{Events: events{Done{}}, Cancel: []string{"end"}},
		},
		"a timer of a book that is back": {
			Given: events{Expected{Until: friday}, Done{}},
			When:  process.Fired{Timer: end},
		},
	})
}
