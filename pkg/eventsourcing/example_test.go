package eventsourcing_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

// Events.

// LampEvent is a fact about one lamp.
type LampEvent interface {
	eventsourcing.Event
	isLampEvent()
}

type lampFact struct{}

func (lampFact) isLampEvent() {}

// LampInstalled opens a lamp's stream.
type LampInstalled struct {
	lampFact

	Watts int `json:"watts"`
}

// LampSwitchedOn records that the lamp is on.
type LampSwitchedOn struct{ lampFact }

func (LampInstalled) EventName() string  { return "house/lamp/installed" }
func (LampSwitchedOn) EventName() string { return "house/lamp/switchedOn" }

// State.

// Lamp is what decisions need to know of a lamp. The zero Lamp is not installed.
type Lamp struct{ Installed, On bool }

func evolveLamp(l Lamp, e LampEvent) Lamp {
	switch e.(type) {
	case LampInstalled:
		l.Installed = true
	case LampSwitchedOn:
		l.On = true
	}
	return l
}

// Decisions. Each gives the right event when it is due, and nothing or a refusal when it is repeated.

// InstallLamp installs a new lamp.
type InstallLamp struct{ Watts int }

var (
	errNoLamp    = &eventsourcing.Refusal{Kind: eventsourcing.NotFound, Code: "no_lamp", Reason: "there is no such lamp"}
	errInstalled = &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "installed", Reason: "the lamp is installed"}
)

// Decide refuses a lamp that is installed.
func (c InstallLamp) Decide(l Lamp) ([]LampEvent, error) {
	if l.Installed {
		return nil, errInstalled
	}
	return []LampEvent{LampInstalled{Watts: c.Watts}}, nil
}

// SwitchOn switches a lamp on. A lamp that is on is left as it is.
type SwitchOn struct{}

// Decide refuses a lamp that is not installed.
func (SwitchOn) Decide(l Lamp) ([]LampEvent, error) {
	switch {
	case !l.Installed:
		return nil, errNoLamp
	case l.On:
		return nil, nil
	default:
		return []LampEvent{LampSwitchedOn{}}, nil
	}
}

func Example() {
	ctx := context.Background()
	lamps, err := eventsourcing.NewRepository(eventsourcing.Config[Lamp, LampEvent]{
		Aggregate: eventsourcing.Aggregate[Lamp, LampEvent]{
			Category: "house/lamp", Evolve: evolveLamp, Codec: eventsourcing.NewCodec[LampEvent](LampInstalled{}, LampSwitchedOn{}),
		},
		Store: new(memstore.Store),
	})
	if err != nil {
		panic(err)
	}
	_, err = lamps.Do(ctx, "l1", SwitchOn{})
	fmt.Println(err, errors.Is(err, errNoLamp))
	for _, command := range []eventsourcing.Command[Lamp, LampEvent]{InstallLamp{Watts: 40}, InstallLamp{Watts: 60}, SwitchOn{}, SwitchOn{}} {
		version, err := lamps.Do(ctx, "l1", command, eventsourcing.WithMetadata(eventsourcing.Metadata{Actor: "ann"}))
		fmt.Printf("%T: version %d, %v\n", command, version, err)
	}
	// Output:
	// there is no such lamp true
	// eventsourcing_test.InstallLamp: version 1, <nil>
	// eventsourcing_test.InstallLamp: version 1, the lamp is installed
	// eventsourcing_test.SwitchOn: version 2, <nil>
	// eventsourcing_test.SwitchOn: version 2, <nil>
}

func ExampleCodec_History() {
	// Before schema version 2, the event gave the power as text, such as "40 W".
	type lampInstalledV1 struct {
		Power string `json:"power"`
	}
	codec := eventsourcing.NewCodec[LampEvent](LampInstalled{}, LampSwitchedOn{}).
		History(LampInstalled{}, eventsourcing.Upcast(func(v1 lampInstalledV1) LampInstalled {
			var watts int
			_, _ = fmt.Sscanf(v1.Power, "%d W", &watts) // an upcaster cannot fail
			return LampInstalled{Watts: watts}
		}))

	old, err := codec.Decode("house/lamp/installed", 1, []byte(`{"power":"40 W"}`))
	if err != nil {
		panic(err)
	}
	payload, schema, err := codec.Encode(old)
	fmt.Println(string(payload), schema, err)
	// Output: {"watts":40} 2 <nil>
}
