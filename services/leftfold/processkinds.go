package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

// processKind is what operators need of the processes of one kind.
type processKind interface {
	Category() string
	List(ctx context.Context) iter.Seq2[process.Waiting, error]
	EachWaiting(ctx context.Context, parallel int, visit func(ctx context.Context, id string, err error) error) error
	Retry(ctx context.Context, id string, md eventsourcing.Metadata) error
	Cancel(ctx context.Context, id, reason string, md eventsourcing.Metadata) error
	show(ctx context.Context, id string) (process.View[any], error)
}

// managed is a processKind.
type managed[S any, E eventsourcing.Event] struct{ *process.Manager[S, E] }

func (m managed[S, E]) show(ctx context.Context, id string) (process.View[any], error) {
	v, err := m.Show(ctx, id)
	return process.View[any]{
		State: v.State, Version: v.Version, Cancelled: v.Cancelled, Parked: v.Parked, Open: v.Open, Timers: v.Timers,
	}, err
}

// kindOf returns the kind of a spec, called as the last part of its category.
func kindOf[S any, E eventsourcing.Event](spec process.Spec[S, E], cfg process.Config) (processKind, error) {
	m, err := process.NewManager(spec, cfg)
	return managed[S, E]{m}, err
}

func nameOf(k processKind) string { return k.Category()[strings.LastIndex(k.Category(), "/")+1:] }

// processes are all kinds in the AWS of the environment.
type processes struct {
	kinds []processKind
	log   *dynamostore.Store
}

func newProcessKinds(ctx context.Context) (p processes, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return p, err
	}
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	p.log = dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: n.EventLog}})
	cfg := process.Config{
		Log: p.log, Timers: timers.Table{DB: db, Name: n.Timers},
		Send: func(context.Context, process.Request) (process.Answer, error) {
			return process.Answer{}, errors.New("commands are the processor's to send")
		},
	}
	ending, errOfGrants := kindOf(grants.Spec(), cfg)
	retiring, errOfRetirement := kindOf(retirement.Spec(), cfg)
	p.kinds = []processKind{ending, retiring}
	return p, errors.Join(errOfGrants, errOfRetirement)
}

// of returns the kind of that name.
func (p processes) of(name string) (processKind, error) {
	var known []string
	for _, k := range p.kinds {
		if nameOf(k) == name {
			return k, nil
		}
		known = append(known, nameOf(k))
	}
	return nil, fmt.Errorf("no kind of process is called %q: want %s", name, strings.Join(known, " or "))
}

// processesOf returns all kinds, and the one of that name.
func processesOf(ctx context.Context, name string) (p processes, k processKind, err error) {
	if p, err = newProcessKinds(ctx); err == nil {
		k, err = p.of(name)
	}
	return p, k, err
}
