package generation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Errors of an Operator.
var (
	// ErrDiffers means that the next generation is not what the log says: its rows differ, or it lacks an event that the current one
	// has. It was not switched to.
	ErrDiffers = errors.New("the other generation lacks something")
	// ErrNotEmpty means that a table is in the way that no rebuild has made.
	ErrNotEmpty = errors.New("the table exists already and has rows")
)

// OperatorAPI is the part of *dynamodb.Client that an Operator uses.
type OperatorAPI interface {
	projection.DynamoDBAPI
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	UpdateTable(context.Context, *dynamodb.UpdateTableInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTableOutput, error)
	DeleteTable(context.Context, *dynamodb.DeleteTableInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteTableOutput, error)
	ListTagsOfResource(
		context.Context, *dynamodb.ListTagsOfResourceInput, ...func(*dynamodb.Options),
	) (*dynamodb.ListTagsOfResourceOutput, error)
	DescribeContinuousBackups(
		context.Context, *dynamodb.DescribeContinuousBackupsInput, ...func(*dynamodb.Options),
	) (*dynamodb.DescribeContinuousBackupsOutput, error)
	UpdateContinuousBackups(
		context.Context, *dynamodb.UpdateContinuousBackupsInput, ...func(*dynamodb.Options),
	) (*dynamodb.UpdateContinuousBackupsOutput, error)
}

// OperatorConfig configures an Operator.
type OperatorConfig struct {
	Config

	DB  OperatorAPI
	Log *dynamostore.Store
	// EventLog is the table of Log.
	EventLog string
	// Segments is how many parts of the log are read at once by a rebuild that begins, at most MaxSegments. Defaults to 8.
	Segments int
	// Parallel is how many streams of each part are written at once, and how many reads of many streams compare them. Defaults to 16.
	Parallel int
	// Rate limits the events that are read in a second. Defaults to no limit.
	Rate int
	// OnProgress is called often, by one at a time. Optional.
	OnProgress func(Progress)
	// OnDifference is called with what parity finds, by one at a time. Optional.
	OnDifference func(projectionaudit.Finding)
}

// Doing is what an operator does.
type Doing string

// What an operator does.
const (
	Waiting   Doing = "waiting" // until every process knows
	Reading   Doing = "reading"
	Comparing Doing = "comparing"
)

// Progress is how far an operator has come.
type Progress struct {
	Doing Doing
	// Events were read, Fresh of them by this operator. Expected are about as many as the log has.
	Events, Fresh, Expected int64
	// Streams were written, or compared, and Rows were looked up.
	Streams, Rows int64
}

// Estimate is about what a rebuild of the projection takes. DynamoDB counts a table's items and bytes about every six hours.
type Estimate struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
	// Rows are those that the current generation has.
	Rows int64 `json:"rows"`
	// ReadUnits and WriteUnits are what DynamoDB counts: the log is read twice, to fill and to compare, and each row is written once
	// with its index, and read some four times.
	ReadUnits  int64 `json:"readUnits"`
	WriteUnits int64 `json:"writeUnits"`
}

// Operator moves a projection from generation to generation: a person's tool, or a program's, not a service's. It writes no state
// sooner than Settle after it saw the one before, by its own clock. It can be stopped at any point, and another one continues.
// It needs the permissions of package projection on all generations' tables; on the first also dynamodb:DescribeTable,
// ListTagsOfResource and DescribeContinuousBackups, on the others CreateTable, DescribeTable, UpdateTable, DeleteTable,
// TagResource and UpdateContinuousBackups; dynamodb:GetItem, PutItem and DeleteItem on the table of states, and dynamodb:Query,
// Scan and DescribeTable on the log. To create a table that is encrypted with a key of the account it needs kms:CreateGrant and
// DescribeKey, and what the reads and writes need.
type Operator struct {
	OperatorConfig

	control Control
	seen    State
	seenAt  time.Time
}

// NewOperator returns an operator of the projection that c describes as for NewModel.
func NewOperator(c OperatorConfig) *Operator {
	c.Segments, c.Parallel = cmp.Or(c.Segments, 8), cmp.Or(c.Parallel, 16)
	return &Operator{OperatorConfig: c, control: Control{DB: c.DB, Table: c.States, Projection: c.Projection.Name}, seen: State{Revision: -1}}
}

// State returns the projection's state.
func (o *Operator) State(ctx context.Context) (State, error) {
	s, err := o.control.Read(ctx)
	if err == nil {
		o.saw(s)
	}
	return s, err
}

func (o *Operator) saw(s State) {
	if s.Revision != o.seen.Revision {
		o.seen, o.seenAt = s, o.Projection.Now()
	}
}

// settle waits until nothing begins any more that knows only the state before s.
func (o *Operator) settle(ctx context.Context, s State) error {
	o.saw(s)
	o.progress(Progress{Doing: Waiting})
	return retry.Sleep(ctx, Settle-o.Projection.Now().Sub(o.seenAt))
}

func (o *Operator) progress(p Progress) {
	if o.OnProgress != nil {
		o.OnProgress(p)
	}
}

// move writes the state that follows s.
func (o *Operator) move(ctx context.Context, s State, to func(State) (State, error)) (State, error) {
	next, err := to(s)
	if err != nil {
		return s, err
	}
	if err := o.settle(ctx, s); err != nil {
		return s, err
	}
	if next, err = o.control.Write(ctx, next, o.Projection.Now()); err != nil {
		return s, err
	}
	o.saw(next)
	return next, nil
}

func (o *Operator) allows(s State, step Step) error {
	if err := s.Allows(step); err != nil {
		return fmt.Errorf("%s: %w", o.Projection.Name, err)
	}
	return nil
}

// Rebuild brings the next generation, of this build's newest shape, to Ready: it begins it, fills it from the log, and compares
// it with the log and with the current one. It continues one that was begun.
func (o *Operator) Rebuild(ctx context.Context) (State, error) {
	s, err := o.State(ctx)
	if err != nil {
		return s, err
	}
	if err := o.allows(s, Rebuild); err != nil {
		return s, err
	}
	if s.Phase == Settled {
		if s, err = o.begin(ctx, s); err != nil {
			return s, err
		}
	}
	if s.Phase == Ready {
		return s, nil
	}
	if err := o.settle(ctx, s); err != nil {
		return s, err
	}
	if err := o.fill(ctx, s); err != nil {
		return s, err
	}
	if err := o.parity(ctx, s); err != nil {
		return s, err
	}
	return o.move(ctx, s, State.Filled)
}

func (o *Operator) begin(ctx context.Context, s State) (State, error) {
	if o.Segments < 1 || o.Segments > MaxSegments {
		return s, fmt.Errorf("read the log in %d segments: want 1 to %d", o.Segments, MaxSegments)
	}
	next, err := s.Begin(o.Shapes[len(o.Shapes)-1].Number, o.Segments)
	if err != nil {
		return s, err
	}
	if err := o.create(ctx, *next.Other); err != nil { // it is fed from the moment it is named
		return s, err
	}
	return o.move(ctx, s, func(State) (State, error) { return next, nil })
}

func (o *Operator) fill(ctx context.Context, s State) error {
	to, err := s.Other.projector(o.Config)
	if err != nil {
		return err
	}
	from, err := o.control.readFill(ctx, *s.Other)
	if err != nil {
		return err
	}
	expected, err := o.describe(ctx, o.EventLog)
	if err != nil {
		return err
	}
	on := func(events int64, done projection.CaughtUp) {
		o.progress(Progress{
			Doing: Reading, Events: events, Fresh: events - from.Events, Expected: aws.ToInt64(expected.ItemCount), Streams: done.Behind,
		})
	}
	on(from.Events, projection.CaughtUp{})
	f := filler{
		log: o.Log, to: to, parallel: o.Parallel, now: o.Projection.Now, reached: from, savedAt: o.Projection.Now(), on: on,
		save: func(ctx context.Context, r reached) error { return o.control.writeFill(ctx, *s.Other, r) },
	}
	if o.Rate > 0 {
		f.limit = rate.NewLimiter(rate.Limit(o.Rate), max(o.Rate, 1))
	}
	if err := f.run(ctx, s.Segments); err != nil {
		return fmt.Errorf("fill %s: %w", s.Other.Name(o.Projection.Name), err)
	}
	return nil
}

// Units of DynamoDB: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
const (
	readUnit  = 4096 // bytes of a consistent read
	writeUnit = 1024
)

// Estimate returns about what a rebuild takes.
func (o *Operator) Estimate(ctx context.Context) (e Estimate, err error) {
	s, err := o.State(ctx)
	if err != nil {
		return e, err
	}
	log, err := o.describe(ctx, o.EventLog)
	if err != nil {
		return e, err
	}
	rows, err := o.describe(ctx, s.Current.Name(o.Projection.Table))
	if err != nil {
		return e, err
	}
	e.Events, e.Bytes, e.Rows = aws.ToInt64(log.ItemCount), aws.ToInt64(log.TableSizeBytes), aws.ToInt64(rows.ItemCount)
	e.ReadUnits = 2*(e.Bytes/readUnit+1) + 4*e.Rows
	e.WriteUnits = 2 * max(e.Rows, aws.ToInt64(rows.TableSizeBytes)/writeUnit)
	return e, nil
}

// Switch moves reads to the next generation. The one before is fed as ever.
func (o *Operator) Switch(ctx context.Context) (State, error) { return o.swap(ctx, Switch) }

// Rollback moves reads back to the previous generation, or ends a switch that is under way.
func (o *Operator) Rollback(ctx context.Context) (State, error) { return o.swap(ctx, Rollback) }

func (o *Operator) swap(ctx context.Context, step Step) (State, error) {
	s, err := o.State(ctx)
	if err != nil {
		return s, err
	}
	if err := o.allows(s, step); err != nil {
		return s, err
	}
	if s.Phase == Switching && s.Next() != (step == Switch) {
		return o.move(ctx, s, State.Halt)
	}
	if s.Phase != Switching {
		if err := o.level(ctx, s); err != nil {
			return s, err
		}
		if s, err = o.move(ctx, s, State.Switch); err != nil {
			return s, err
		}
	}
	if err := o.settle(ctx, s); err != nil { // from now on no read answers what only the current one has
		return s, err
	}
	if err := o.level(ctx, s); errors.Is(err, ErrDiffers) {
		s, halting := o.move(ctx, s, State.Halt)
		return s, errors.Join(err, halting)
	} else if err != nil {
		return s, err
	}
	return o.move(ctx, s, State.Switched)
}

// Retire leaves the other generation, whether it is the previous one or a next one that is not wanted any more, and deletes its
// table. That of generation 1 belongs to those who set the system up, and stays.
func (o *Operator) Retire(ctx context.Context) (State, error) {
	s, err := o.State(ctx)
	if err != nil {
		return s, err
	}
	if err := o.allows(s, Retire); err != nil {
		return s, err
	}
	if s.Phase != Retiring {
		if s, err = o.move(ctx, s, State.Retire); err != nil {
			return s, err
		}
	}
	if err := o.settle(ctx, s); err != nil {
		return s, err
	}
	if s.Other.Number > 1 {
		if err := o.remove(ctx, *s.Other); err != nil {
			return s, err
		}
	}
	if err := o.control.forgetFill(ctx, *s.Other); err != nil {
		return s, err
	}
	return o.move(ctx, s, State.Settle)
}
