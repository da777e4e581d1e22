package eventsourcing_test

import (
	"context"
	"fmt"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

// CarEvent is a fact about one car.
type CarEvent interface {
	eventsourcing.Event
	isCarEvent()
}

type carFact struct{}

func (carFact) isCarEvent() {}

// Parked records that the car is in a garage.
type Parked struct {
	carFact

	Garage string `json:"garage"`
}

// Left records that the car is in no garage.
type Left struct{ carFact }

func (Parked) EventName() string { return "town/car/parked" }
func (Left) EventName() string   { return "town/car/left" }

// Car is what decisions need to know of a car. The zero Car is in no garage.
type Car struct{ Garage string }

func evolveCar(c Car, e CarEvent) Car {
	switch e := e.(type) {
	case Parked:
		c.Garage = e.Garage
	case Left:
		c.Garage = ""
	}
	return c
}

// carsIn is the scope of the cars in a garage.
func carsIn(garage string) eventsourcing.Scope {
	return eventsourcing.Scope{Subject: "town/garage/" + garage, Name: "cars"}
}

// shareOfCar counts the car in its garage.
func shareOfCar(_ eventsourcing.StreamID, c Car) []eventsourcing.Share {
	if c.Garage == "" {
		return nil
	}
	return []eventsourcing.Share{{Scope: carsIn(c.Garage), Counter: "cars", Amount: 1}}
}

// Park parks a car in a garage that has so many places.
type Park struct {
	Garage string
	Places int64

	cars int64 // in the garage, as they were read
}

var errFullGarage = &eventsourcing.Refusal{
	Kind: eventsourcing.FailedPrecondition, Code: "garage_full", Reason: "the garage is full", Remedy: "wait until a car leaves",
}

// Scopes says what to read before Decide. It is told the state, for a command may concern what the state names.
func (p Park) Scopes(Car) []eventsourcing.Scope { return []eventsourcing.Scope{carsIn(p.Garage)} }

// In returns the command that decides on what was read.
func (p Park) In(scopes eventsourcing.ScopeStates) eventsourcing.Command[Car, CarEvent] {
	p.cars = scopes[carsIn(p.Garage)].Counters["cars"]
	return p
}

// Decide refuses a garage that is full. A car that is there already is left as it is.
func (p Park) Decide(c Car) ([]CarEvent, error) {
	switch {
	case c.Garage == p.Garage:
		return nil, nil
	case p.cars >= p.Places:
		return nil, errFullGarage
	default:
		return []CarEvent{Parked{Garage: p.Garage}}, nil
	}
}

// Leave takes a car out of its garage. It decides on no scope: it makes room whatever the others do.
type Leave struct{}

// Decide leaves a car that is in no garage as it is.
func (Leave) Decide(c Car) ([]CarEvent, error) {
	if c.Garage == "" {
		return nil, nil
	}
	return []CarEvent{Left{}}, nil
}

func ExampleScoped() {
	ctx := context.Background()
	log := new(memstore.Store)
	cars, err := eventsourcing.NewRepository(eventsourcing.Config[Car, CarEvent]{
		Aggregate: eventsourcing.Aggregate[Car, CarEvent]{
			Category: "town/car", Evolve: evolveCar, Shares: shareOfCar, Codec: eventsourcing.NewCodec[CarEvent](Parked{}, Left{}),
		},
		Store: log,
	})
	if err != nil {
		panic(err)
	}
	park := Park{Garage: "g1", Places: 2}
	for _, id := range []string{"a", "b", "c"} {
		_, err := cars.Do(ctx, id, park)
		fmt.Println(id, err)
	}
	if _, err := cars.Do(ctx, "a", Leave{}); err != nil {
		panic(err)
	}
	_, err = cars.Do(ctx, "c", park)
	fmt.Println("c", err)

	scopes, err := log.Scopes(ctx, []eventsourcing.Scope{carsIn("g1")})
	fmt.Println(carsIn("g1").Key(), scopes[carsIn("g1")], err)
	// Output:
	// a <nil>
	// b <nil>
	// c the garage is full
	// c <nil>
	// town/garage/g1#cars {4 map[cars:2]} <nil>
}
