package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/iam/projectors"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

// generationsConfig is what the commands on generations read.
type generationsConfig struct {
	topology.EventLogName
	topology.TableNames
}

const (
	aboutGenerations = `Print which table of each projection is read, and which other one there is. DUE
says that this build writes rows of a newer shape: rebuild that projection. With
--admin or ADMIN_URLS the projectors are asked, and say it of their own builds.

Exit codes: 0 nothing is due, 1 something is, 2 unknown.`

	aboutRebuild = `Write all rows of a projection anew, from the log, into another table, while the
present one is fed and read as ever; then prove that the new rows are those of
the log. Reads move to it by "switch", or by --switch. What it will cost is
printed first. It can be stopped at any time: the same command continues.

Exit codes: 0 ready or switched, 1 the new rows differ, 2 trouble.`

	aboutSwitch = `Let all reads move to the generation that "rebuild" has made ready. The former
one is fed as ever, so that "rollback" can move them back.

Exit codes: 0 done, 1 the new generation lacks an event, 2 trouble.`

	aboutRollback = `Let all reads move back to the previous generation, or end a switch that was
stopped half way.

Exit codes: 0 done, 1 that generation lacks an event, 2 trouble.`

	aboutRetire = `Leave the generation that is not read, the previous one or a next one that is
not wanted any more, and delete its table. That of generation 1 belongs to the
deployment and stays.

Exit codes: 0 done, 2 trouble.`
)

// newGenerations returns the commands that rebuild projections beside the live ones.
func newGenerations(con *console) []*cobra.Command {
	variables := awsVariables(&generationsConfig{})
	list := con.withAdmins(con.command("projections list", task{
		use: "list", short: "List the generations of the projections", long: aboutGenerations,
		variables: slices.Concat(variables, adminVariables()),
		do:        func(ctx context.Context, _ []string) (bool, error) { return con.listGenerations(ctx) },
	}))

	var r rebuilding
	step := func(does generation.Step, short, long string, do stepping) *cobra.Command {
		return con.command("projections "+string(does), task{
			use: string(does) + " <projection>", short: short, long: long, variables: variables, stopped: continues,
			args: usage(1, 1, "the name of a projection, such as users"),
			do: func(ctx context.Context, args []string) (bool, error) {
				return con.stepGeneration(ctx, args[0], does, r, do)
			},
		})
	}
	rebuild := step(generation.Rebuild, "Write all rows anew, into another table", aboutRebuild,
		func(ctx context.Context, o *generation.Operator, r rebuilding) (generation.State, error) {
			s, err := o.Rebuild(ctx)
			if err == nil && r.andSwitch {
				s, err = o.Switch(ctx)
			}
			return s, err
		})
	rebuild.Flags().BoolVar(&r.andSwitch, "switch", false, "let reads move to it, too")
	rebuild.Flags().IntVar(&r.rate, "rate", 0, "events read in a second at most (default no limit)")
	rebuild.Flags().IntVar(&r.segments, "segments", 8, fmt.Sprintf("parts of the log read at once, at most %d", generation.MaxSegments))
	commands := []*cobra.Command{
		rebuild,
		step(generation.Switch, "Let reads move to the next generation", aboutSwitch,
			func(ctx context.Context, o *generation.Operator, _ rebuilding) (generation.State, error) {
				return o.Switch(ctx)
			}),
		step(generation.Rollback, "Let reads move back to the previous generation", aboutRollback,
			func(ctx context.Context, o *generation.Operator, _ rebuilding) (generation.State, error) {
				return o.Rollback(ctx)
			}),
		step(generation.Retire, "Leave the generation that is not read", aboutRetire,
			func(ctx context.Context, o *generation.Operator, _ rebuilding) (generation.State, error) {
				return o.Retire(ctx)
			}),
	}
	for _, c := range commands {
		c.Flags().BoolVar(&r.dryRun, "dry-run", false, "only say what would be done, and what it would cost")
	}
	return append([]*cobra.Command{list}, commands...)
}

// stepping moves a projection, and returns the state that it has come to.
type stepping func(context.Context, *generation.Operator, rebuilding) (generation.State, error)

// rebuilding is what the flags of the commands say.
type rebuilding struct {
	andSwitch, dryRun bool
	rate, segments    int
}

func generationsOf(p topology.Projection, s generation.State, newest int) projectors.Generations {
	g := projectors.Generations{Projection: p.Name, State: s, Table: s.Current.Name(p.Table), Newest: newest}
	g.RebuildDue = generation.Status{State: s, Newest: newest}.RebuildDue()
	if s.Other != nil {
		g.OtherTable = s.Other.Name(p.Table)
	}
	return g
}

func (con *console) listGenerations(ctx context.Context) (due bool, err error) {
	n, err := names()
	if err != nil {
		return false, err
	}
	client, err := con.services(ctx)
	if err != nil {
		return false, err
	}
	table := con.printer(output.Column{Name: "PROJECTION", Width: 10}, output.Column{Name: "READ", Width: 24},
		output.Column{Name: "SHAPE", Width: 5}, output.Column{Name: "PHASE", Width: 9}, output.Column{Name: "OTHER", Width: 24},
		output.Column{Name: "SINCE", Width: 20}, output.Column{Name: "DUE"})
	for _, p := range n.Projections() {
		g, err := con.generationsIn(ctx, client, p)
		if err != nil {
			return due, err
		}
		since := ""
		if !g.At.IsZero() {
			since = g.At.Format(time.RFC3339)
		}
		due = due || g.RebuildDue
		table.Row(g, p.Name, g.Table, strconv.Itoa(g.Current.Shape), string(g.Phase), g.OtherTable, since,
			map[bool]string{true: "shape " + strconv.Itoa(g.Newest)}[g.RebuildDue])
	}
	return due, nil
}

// generationsIn asks the service that keeps the projection, if the services were named; else AWS.
func (con *console) generationsIn(
	ctx context.Context, client *adminclient.Client, p topology.Projection,
) (g projectors.Generations, err error) {
	if client.Named {
		address, err := client.Projection(ctx, p.Name)
		if err == nil {
			_, err = client.Get(ctx, address+projectors.GenerationsPath(p.Name), &g)
		}
		return g, err
	}
	o, newest, err := operatorOf(ctx, p, func(*generation.OperatorConfig) {})
	if err != nil {
		return g, err
	}
	s, err := o.State(ctx)
	return generationsOf(p, s, newest), err
}

// operatorOf returns the operator of a projection, and the newest shape.
func operatorOf(
	ctx context.Context, p topology.Projection, with func(*generation.OperatorConfig),
) (o *generation.Operator, newest int, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return nil, 0, err
	}
	shapes := app.Shapes()[p.Name]
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	log := dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: n.EventLog}})
	c := generation.OperatorConfig{
		Config: generation.Config{
			Projection: projection.Config{Name: p.Name, Table: p.Table, DB: db, EventLog: log, Now: time.Now}, //nolint:forbidigo // a program
			Shapes:     shapes, States: n.Generations,
		},
		DB: db, Log: log, EventLog: n.EventLog,
	}
	with(&c)
	return generation.NewOperator(c), shapes[len(shapes)-1].Number, nil
}

// stepGeneration carries out one of the commands.
func (con *console) stepGeneration(
	ctx context.Context, name string, step generation.Step, r rebuilding, do stepping,
) (differs bool, err error) {
	switch {
	case r.segments < 1 || r.segments > generation.MaxSegments:
		return false, fmt.Errorf("--segments %d: want 1 to %d", r.segments, generation.MaxSegments)
	case r.rate < 0:
		return false, fmt.Errorf("--rate %d: want at least 0, which is no limit", r.rate)
	}
	n, err := names()
	if err != nil {
		return false, err
	}
	p, err := named(n, name)
	if err != nil {
		return false, err
	}
	so := course{projection: p.Name, now: time.Now} //nolint:forbidigo // for a person who waits
	progress := con.progress()
	o, newest, err := operatorOf(ctx, p, func(c *generation.OperatorConfig) {
		c.Segments, c.Rate = r.segments, r.rate
		c.Projection.Logger = slog.New(slog.NewTextHandler(con.logs, &slog.HandlerOptions{Level: slog.LevelError})) // it names streams
		c.OnProgress = func(at generation.Progress) {
			so.follow(at)
			progress.Show(so.String)
		}
		c.OnDifference = func(f projectionaudit.Finding) {
			progress.End()
			con.printer().Line(projectionFinding{"projections", p.Name, f, f.String()}, p.Name+": "+f.String())
		}
	})
	if err != nil {
		return false, err
	}
	s, err := o.State(ctx)
	if err != nil {
		return false, err
	}
	if err := s.Allows(step); err != nil {
		return false, fmt.Errorf("%s: %w", p.Name, err)
	}
	if step == generation.Rebuild && s.Phase != generation.Ready {
		cost, err := o.Estimate(ctx)
		if err != nil {
			return false, err
		}
		con.printer().Line(cost, priced(cost))
	}
	if r.dryRun {
		con.plan(planned{Would: string(step) + " " + generationsOf(p, s, newest).String()})
		return false, nil
	}
	s, err = do(ctx, o, r)
	progress.End()
	if done := so.took(); err == nil && done != (took{Projection: name}) {
		con.printer().Line(done, done.String())
	}
	g := generationsOf(p, s, newest)
	switch {
	case errors.Is(err, generation.ErrDiffers):
		con.printer().Line(g, fmt.Sprintf("%v; %s", err, g))
		con.say("leftfold projections audit %s compares the rows that are read with the log; docs/operations.md#log-hole has what to do\n"+
			"if the log lacks events", p.Name)
		return true, nil
	case err != nil:
		return false, err
	}
	con.printer().Line(g, g.String())
	return false, nil
}
