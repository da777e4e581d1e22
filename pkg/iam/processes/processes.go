// Package processes has all kinds of the product's processes, for those who operate them. The processor runs them.
package processes

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

// Kind is what operators need of the processes of one kind.
type Kind interface {
	// Name is the last part of the category, such as "grants".
	Name() string
	Category() string
	List(ctx context.Context) iter.Seq2[process.Waiting, error]
	EachWaiting(ctx context.Context, parallel int, visit func(ctx context.Context, id string, err error) error) error
	Show(ctx context.Context, id string) (process.View[any], error)
	Retry(ctx context.Context, id string, md eventsourcing.Metadata) error
	Cancel(ctx context.Context, id, reason string, md eventsourcing.Metadata) error
}

// managed is a Kind.
type managed[S any, E eventsourcing.Event] struct{ *process.Manager[S, E] }

func (m managed[S, E]) Name() string { return path.Base(m.Category()) }

func (m managed[S, E]) Show(ctx context.Context, id string) (process.View[any], error) {
	v, err := m.Manager.Show(ctx, id)
	return process.View[any]{
		State: v.State, Version: v.Version, Cancelled: v.Cancelled, Parked: v.Parked, Open: v.Open, Timers: v.Timers,
	}, err
}

func newKind[S any, E eventsourcing.Event](spec process.Spec[S, E], cfg process.Config) (Kind, error) {
	m, err := process.NewManager(spec, cfg)
	return managed[S, E]{m}, err
}

// Kinds are kinds of processes.
type Kinds []Kind

// readOnly are snapshots that the processor keeps and operators only read.
type readOnly struct{ eventsourcing.Snapshots }

// Save implements eventsourcing.Snapshots.
func (readOnly) Save(context.Context, eventsourcing.Snapshot) error { return nil }

// Forget implements eventsourcing.Snapshots.
func (readOnly) Forget(context.Context, eventsourcing.Snapshot) error { return nil }

// All returns every kind of the processes whose streams are in the log, and whose timers are in the table. Of the snapshots it only reads.
func All(log *dynamostore.Store, table timers.Table, snapshots eventsourcing.Snapshots) (Kinds, error) {
	cfg := process.Config{
		Log: log, Timers: table, Snapshots: readOnly{snapshots},
		Send: func(context.Context, process.Request) (process.Answer, error) {
			return process.Answer{}, errors.New("commands are the processor's to send")
		},
	}
	ending, errOfGrants := newKind(grants.Spec(), cfg)
	retiring, errOfRetirement := newKind(retirement.Spec(), cfg)
	return Kinds{ending, retiring}, errors.Join(errOfGrants, errOfRetirement)
}

// Named returns the kind of that name.
func (k Kinds) Named(name string) (Kind, error) {
	var known []string
	for _, kind := range k {
		if kind.Name() == name {
			return kind, nil
		}
		known = append(known, kind.Name())
	}
	return nil, fmt.Errorf("no kind of process is called %q: want %s", name, strings.Join(known, " or "))
}
