package process_test

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// A library lends books. Who has not returned a book when its loan ends is reminded.

// LoanEvent is a fact about one loan.
type LoanEvent interface {
	eventsourcing.Event
	isLoanEvent()
}

type loanFact struct{}

func (loanFact) isLoanEvent() {}

// Lent opens a loan's stream.
type Lent struct {
	loanFact

	Until time.Time `json:"until"`
}

// Prolonged moves the end of the loan.
type Prolonged struct {
	loanFact

	Until time.Time `json:"until"`
}

// Viewed says that somebody looked at the loan. No process cares.
type Viewed struct{ loanFact }

// Returned ends the loan.
type Returned struct{ loanFact }

func (Lent) EventName() string      { return "library/loan/lent" }
func (Prolonged) EventName() string { return "library/loan/prolonged" }
func (Viewed) EventName() string    { return "library/loan/viewed" }
func (Returned) EventName() string  { return "library/loan/returned" }

func loanCodec() *eventsourcing.Codec[LoanEvent] {
	return eventsourcing.NewCodec[LoanEvent](Lent{}, Prolonged{}, Viewed{}, Returned{})
}

// README: facts

// ReminderEvent is a fact about the reminder of one loan.
type ReminderEvent interface {
	eventsourcing.Event
	isReminderEvent()
}

type reminderFact struct{}

func (reminderFact) isReminderEvent() {}

// Expected says until when the book is to be returned.
type Expected struct {
	reminderFact

	Until time.Time `json:"until"`
}

// Reminded says that the reader was reminded, or why not.
type Reminded struct {
	reminderFact

	Refused string `json:"refused,omitempty"`
}

// Done says that the book is back.
type Done struct{ reminderFact }

func (Expected) EventName() string { return "library/reminder/expected" }
func (Reminded) EventName() string { return "library/reminder/reminded" }
func (Done) EventName() string     { return "library/reminder/done" }

// README: state

// Reminder is what reactions need to know.
type Reminder struct{ Back bool }

func evolve(r Reminder, e ReminderEvent) Reminder {
	switch e.(type) {
	case Done:
		r.Back = true
	case Expected, Reminded:
	}
	return r
}

// README: react

func react(r Reminder, in process.Input) process.Reaction[ReminderEvent] {
	switch in := in.(type) {
	case process.Heard:
		return hear(in.Event)
	case process.Fired:
		if !r.Back { // a timer may fire late: ask whether it still means something
			return process.Reaction[ReminderEvent]{Commands: []process.Command{process.Ask("remind", in.Timer.Due)}}
		}
	case process.Answered:
		return process.Reaction[ReminderEvent]{Events: []ReminderEvent{Reminded{Refused: in.Answer.Refused}}}
	}
	return process.Reaction[ReminderEvent]{}
}

func hear(e eventsourcing.Event) process.Reaction[ReminderEvent] {
	expect := func(until time.Time) process.Reaction[ReminderEvent] {
		return process.Reaction[ReminderEvent]{
			Events: []ReminderEvent{Expected{Until: until}},
			Set:    []process.Timer{{Name: "end", Due: until}}, // in place of the former one
		}
	}
	switch e := e.(type) {
	case Lent:
		return expect(e.Until)
	case Prolonged:
		return expect(e.Until)
	case Returned:
		return process.Reaction[ReminderEvent]{Events: []ReminderEvent{Done{}}, Cancel: []string{"end"}}
	}
	return process.Reaction[ReminderEvent]{}
}

// README: spec

func reminders() process.Spec[Reminder, ReminderEvent] {
	return process.Spec[Reminder, ReminderEvent]{
		Category: "library/reminder", Evolve: evolve, React: react,
		Codec: eventsourcing.NewCodec[ReminderEvent](Expected{}, Reminded{}, Done{}),
		Listens: []process.Listener{process.On("library/loan", loanCodec(), func(e LoanEvent, rec eventsourcing.Record) string {
			if _, viewed := e.(Viewed); viewed {
				return "" // for no process
			}
			return rec.Stream.ID
		})},
	}
}

// README: end

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db := dynamodb.NewFromConfig(localaws.New(localaws.Options{}).Config())
	must(provision(ctx, db))
	log := dynamostore.NewStore(db, dynamostore.Config{})

	// README: run
	table := timers.Table{DB: db}
	reminded := make(chan process.Request)
	manager, err := process.NewManager(reminders(), process.Config{
		Log: log, Timers: table,
		Send: func(_ context.Context, r process.Request) (process.Answer, error) {
			reminded <- r
			return process.Answer{}, nil
		},
	})
	must(err)
	hears, err := projection.NewProjector(projection.Config{ // apply to it what a queue delivers, as to any read model
		Name: "reminders", Table: "reminder-fences", DB: db, EventLog: log, Sources: manager.Sources(),
	})
	must(err)
	poller, err := timers.NewPoller(timers.Config{
		Table: table, Handle: timers.Handler(manager), Leases: shards.NewDynamoDBLeases(db, "leases"), Every: 10 * time.Millisecond,
	})
	must(err)
	stopped := make(chan error)
	go func() { stopped <- poller.Run(ctx) }()
	// README: end

	loans, err := eventsourcing.NewRepository(eventsourcing.Config[loan, LoanEvent]{
		Aggregate: eventsourcing.Aggregate[loan, LoanEvent]{
			Category: "library/loan", Codec: loanCodec(), Evolve: func(l loan, _ LoanEvent) loan { return l },
		},
		Store: log,
	})
	must(err)
	_, err = loans.Do(ctx, "l1", record{Lent{Until: time.Now().Add(20 * time.Millisecond)}})
	must(err)
	_, err = hears.CatchUp(ctx, log.All(ctx, 0))
	must(err)
	fmt.Println((<-reminded).Key)
	cancel()
	must(<-stopped)
	// Output: library/reminder/l1/4#1
}

// loan has no rules.
type loan struct{}

// record is a command that records an event.
type record struct{ LoanEvent }

func (r record) Decide(loan) ([]LoanEvent, error) { return []LoanEvent{r.LoanEvent}, nil }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func provision(ctx context.Context, db *dynamodb.Client) error {
	for _, in := range append((dynamostore.Tables{}).CreateTableInputs(), timers.Table{}.CreateTableInput(),
		shards.CreateTableInput("leases"), projection.CreateTableInput("reminder-fences")) {
		if _, err := db.CreateTable(ctx, in); err != nil {
			return err
		}
	}
	return nil
}
