package snapshot_test

import (
	"context"
	"fmt"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// turned records one turn of a wheel, whose state is the number of turns.
type turned struct{}

func (turned) EventName() string { return "mill/wheel/turned" }

// turn turns the wheel a number of times.
type turn int

// Decide implements eventsourcing.Command.
func (n turn) Decide(int) ([]turned, error) { return make([]turned, n), nil }

func Example() {
	ctx := context.Background()
	codec := eventsourcing.NewCodec(turned{})
	// The writer saves while Run runs. In a program, Run is a goroutine that stops last.
	writer := snapshot.NewWriter(new(memstore.Snapshots), func(u eventsourcing.SnapshotUse, err error) { fmt.Println(u, err) })
	wheels, err := eventsourcing.NewRepository(eventsourcing.Config[int, turned]{
		Aggregate: eventsourcing.Aggregate[int, turned]{
			Category: "mill/wheel", Codec: codec, States: snapshot.NewCodec[int](1, codec),
			Evolve: func(turns int, _ turned) int { return turns + 1 },
		},
		Store: new(memstore.Store), Snapshots: writer, SnapshotEvery: 10,
		OnSnapshot: func(u eventsourcing.SnapshotUse, err error) { fmt.Println(u, err) },
	})
	if err != nil {
		panic(err)
	}
	if _, err := wheels.Do(ctx, "w1", turn(25)); err != nil {
		panic(err)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	_ = writer.Run(stopped) // writes what is waiting, always nil

	turns, version, err := wheels.Load(ctx, "w1")
	fmt.Println(turns, version, err)
	// Output:
	// saved <nil>
	// loaded <nil>
	// 25 25 <nil>
}
