package projection_test

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// README: facts

// DoorEvent is a fact about one door.
type DoorEvent interface {
	eventsourcing.Event
	isDoorEvent()
}

type fact struct{}

func (fact) isDoorEvent() {}

// DoorHung opens a door's stream.
type DoorHung struct {
	fact

	Room string `json:"room"`
}

// DoorOpened records that the door is open.
type DoorOpened struct{ fact }

func (DoorHung) EventName() string   { return "house/door/hung" }
func (DoorOpened) EventName() string { return "house/door/opened" }

func doorCodec() *eventsourcing.Codec[DoorEvent] {
	return eventsourcing.NewCodec[DoorEvent](DoorHung{}, DoorOpened{})
}

// README: fold

// Door is what decisions need to know of a door. The zero Door is not hung.
type Door struct{ hung, open bool }

func evolve(d Door, e DoorEvent) Door {
	switch e.(type) {
	case DoorHung:
		d.hung = true
	case DoorOpened:
		d.open = true
	}
	return d
}

// README: command

// OpenDoor opens a door. One that is open already is left as it is.
type OpenDoor struct{}

var errNoDoor = &eventsourcing.Refusal{Kind: eventsourcing.NotFound, Code: "no_door", Reason: "there is no such door"}

// Decide implements eventsourcing.Command. It is called with the state that the stream folds to.
func (OpenDoor) Decide(d Door) ([]DoorEvent, error) {
	switch {
	case !d.hung:
		return nil, errNoDoor
	case d.open:
		return nil, nil
	default:
		return []DoorEvent{DoorOpened{}}, nil
	}
}

// HangDoor hangs a new door. A door that hangs already is left as it is.
type HangDoor struct{ Room string }

// Decide implements eventsourcing.Command.
func (c HangDoor) Decide(d Door) ([]DoorEvent, error) {
	if d.hung {
		return nil, nil
	}
	return []DoorEvent{DoorHung{Room: c.Room}}, nil
}

// README: end

// README: project

// doorRow is what the read model shows of a door.
type doorRow struct {
	Room string `dynamodbav:"room"`
	Open bool   `dynamodbav:"open"`
}

func doorSource() projection.Source {
	return projection.NewSource(projection.Spec[doorRow, DoorEvent]{
		Category: "house/door", Row: "door", Codec: doorCodec(), Listed: true,
		Fold: func(row doorRow, event DoorEvent, _ eventsourcing.Record) doorRow {
			switch e := event.(type) {
			case DoorHung:
				row.Room = e.Room
			case DoorOpened:
				row.Open = true
			}
			return row
		},
	})
}

// README: end

func Example() {
	ctx := context.Background()

	// README: execute
	log := new(memstore.Store)
	doors, err := eventsourcing.NewRepository(eventsourcing.Config[Door, DoorEvent]{
		Aggregate: eventsourcing.Aggregate[Door, DoorEvent]{Category: "house/door", Evolve: evolve, Codec: doorCodec()},
		Store:     log,
	})
	if err != nil {
		panic(err)
	}
	if _, err := doors.Do(ctx, "d1", HangDoor{Room: "kitchen"}); err != nil {
		panic(err)
	}
	version, err := doors.Do(ctx, "d1", OpenDoor{})
	// README: end
	fmt.Println("version", version, err)

	db := dynamodb.NewFromConfig(localaws.New(localaws.Options{}).Config())
	if _, err := db.CreateTable(ctx, projection.CreateTableInput("doors")); err != nil {
		panic(err)
	}
	model, err := projection.NewProjector(projection.Config{
		Name: "doors", Table: "doors", DB: db, EventLog: log, Sources: []projection.Source{doorSource()},
	})
	if err != nil {
		panic(err)
	}
	var records []eventsourcing.Record
	for rec, err := range log.Read(ctx, eventsourcing.StreamID{Category: "house/door", ID: "d1"}, 0) {
		if err != nil {
			panic(err)
		}
		records = append(records, rec)
	}
	// Only the second event arrives: the first is healed from the log. Then both arrive again.
	for _, delivery := range [][]eventsourcing.Record{records[1:], records} {
		if _, err := model.Apply(ctx, delivery); err != nil {
			panic(err)
		}
	}
	var row struct {
		projection.Fence
		doorRow
	}
	found, err := projection.Reader{DB: db, Table: "doors"}.Get(ctx, "d1", "door", &row)
	fmt.Println(found, err, row.Version, row.Room, row.Open)
	// Output:
	// version 2 <nil>
	// true <nil> 2 kitchen true
}
