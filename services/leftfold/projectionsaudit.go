package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

// projectionsConfig is what an audit of read models reads.
type projectionsConfig struct {
	topology.EventLogName
	topology.TableNames
}

const aboutProjectionsAudit = `Prove, in the AWS of the environment, that read models are the fold of the log:
all of them, or those that are named. It may run beside live traffic. Findings
and the result go to standard output, progress to standard error.

Exit codes: 0 equal, 1 different, 2 not proved.`

// newProjectionsAudit returns the command that audits read models. Whatever does not run has exit code 2, because it proves
// nothing.
func newProjectionsAudit(con *console) *cobra.Command {
	const name = "projections audit"
	var c projectionaudit.Config
	var dryRun bool
	audit := con.command(name, task{
		use: "audit [projection...]", short: "Compare read models with the log", long: aboutProjectionsAudit,
		variables: awsVariables(&projectionsConfig{}), args: cobra.ArbitraryArgs,
		do: func(ctx context.Context, args []string) (bool, error) {
			switch {
			case c.Parallel < 1:
				return false, fmt.Errorf("--parallel %d: want at least 1", c.Parallel)
			case !(c.Sample > 0 && c.Sample <= 1):
				return false, fmt.Errorf("--sample %v: want more than 0, at most 1", c.Sample)
			case c.Settle <= 0:
				return false, fmt.Errorf("--settle %v: want more than 0", c.Settle)
			case c.RepairEmptied && !c.Repair:
				return false, errors.New("--repair-emptied: want --repair with it")
			}
			config := c
			config.Repair, config.RepairEmptied = c.Repair && !dryRun, c.RepairEmptied && !dryRun
			return con.auditProjections(ctx, args, config)
		},
	})
	audit.Flags().BoolVar(&c.Repair, "repair", false, "repair the differences that can be repaired")
	audit.Flags().BoolVar(&c.RepairEmptied, "repair-emptied", false, "with --repair: also rows of streams without events")
	audit.Flags().BoolVar(&dryRun, "dry-run", false, "with --repair: only print the differences")
	audit.Flags().Float64Var(&c.Sample, "sample", 1, "part of the streams to fold, drawn")
	audit.Flags().DurationVar(&c.Settle, "settle", projectionaudit.DefaultSettle, "how long an event may take to arrive")
	audit.Flags().IntVar(&c.Parallel, "parallel", 8, "reads at once")
	return audit
}

// projectionFinding is a finding as it is printed.
type projectionFinding struct {
	Audit      string `json:"audit"`
	Projection string `json:"projection"`
	projectionaudit.Finding
	Text string `json:"text"`
}

// auditedProjection is the result of an audit as it is printed.
type auditedProjection struct {
	Audit       string `json:"audit"`
	Projection  string `json:"projection"`
	Streams     int    `json:"streams"`
	Folded      int    `json:"folded"`
	Rows        int    `json:"rows"`
	Parked      int    `json:"parked"`
	Differences int    `json:"differences"`
	Repaired    int    `json:"repaired"`
	Undecided   int    `json:"undecided"`
}

func (con *console) auditProjections(ctx context.Context, projections []string, c projectionaudit.Config) (differ bool, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return false, err
	}
	var chosen []topology.Projection
	for _, p := range n.Projections() {
		if len(projections) == 0 {
			chosen = append(chosen, p)
		}
	}
	for _, name := range slices.Compact(projections) {
		p, err := named(n, name)
		if err != nil {
			return false, err
		}
		chosen = append(chosen, p)
	}
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	c.Log = dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: n.EventLog}})
	c.Segments = c.Parallel
	undecided := 0
	for _, p := range chosen {
		model, err := generation.NewModel(generation.Config{
			Projection: projection.Config{Name: p.Name, Table: p.Table, DB: db, EventLog: c.Log, Now: time.Now}, //nolint:forbidigo // it is main's
			Shapes:     app.Shapes()[p.Name], States: n.Generations,
		})
		if err != nil {
			return differ, err
		}
		r, err := con.auditProjection(ctx, p.Name, model, c)
		if err != nil {
			return differ, err
		}
		differ = differ || r.Differences > r.Repaired
		undecided += r.Undecided
	}
	if undecided > 0 && !differ {
		return false, fmt.Errorf("%s kept changing: run it again", amount.Of(undecided, "stream"))
	}
	return differ, nil
}

func (con *console) auditProjection(
	ctx context.Context, name string, model *generation.Model, c projectionaudit.Config,
) (projectionaudit.Result, error) {
	printer, progress := con.printer(), con.progress()
	began := time.Now() //nolint:forbidigo // for a person who waits; nothing depends on it
	var found whatToDo
	c.OnFinding = func(f projectionaudit.Finding) {
		progress.End()
		switch {
		case f.Repaired:
		case f.Kind == projectionaudit.Hole, f.Kind == projectionaudit.Illegible:
			found.unreadable = true
		case f.Kind == projectionaudit.Parked:
			found.parked = true
		case f.Kind == projectionaudit.Foreign && c.Repair: // a repair deletes all others
			found.emptied = true
		default:
			found.repairable = !c.Repair
		}
		printer.Line(projectionFinding{"projections", name, f, f.String()}, name+": "+f.String())
	}
	c.OnWait = func(suspected int, left time.Duration) {
		progress.End()
		con.sayWait(name, suspected, left)
	}
	c.OnPage = func(r projectionaudit.Result) {
		progress.Show(func() string {
			rate := float64(r.Streams+r.Rows) / time.Since(began).Seconds() //nolint:forbidigo // as above
			return fmt.Sprintf("so far %s; %s a second", comparedRows(name, r), amount.Digits(int(rate)))
		})
	}
	r, err := model.Audit(ctx, c)
	progress.End()
	if err == nil {
		printer.Line(auditedProjection{
			"projections", name, r.Streams, r.Folded, r.Rows, r.Parked, r.Differences, r.Repaired, r.Undecided,
		}, fmt.Sprintf("%s, %s repaired, %s parked", comparedRows(name, r), amount.Digits(r.Repaired), amount.Digits(r.Parked)))
		con.advise("projections audit", found)
	}
	return r, err
}

// sayWait says why nothing happens. Short waits are not worth it: the suspicions of a page are due soon after those of the one before.
func (con *console) sayWait(name string, suspected int, left time.Duration) {
	if left >= time.Second {
		con.say("%s: %s suspected, looked at again in %v", name, amount.Digits(suspected), left.Round(time.Second))
	}
}

func comparedRows(name string, r projectionaudit.Result) string {
	return fmt.Sprintf("%s: %s and %s compared: %s", name, amount.Of(r.Streams, "stream"), amount.Of(r.Rows, "row"),
		amount.Of(r.Differences, "difference"))
}
