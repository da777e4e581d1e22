package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

const aboutRestore = `Fill the log from the archive, or from a table that point in time recovery made,
then reserve the values that its events hold, and count what they count. Stop
every service before: nothing else may write to the log meanwhile.
docs/operations.md says what comes before and after.

Nothing is written unless the log will be whole: each stream's events from 1 on,
none in two versions, all of them readable. Every event that the log has must be
the source's, so a restore that ended early is continued by the same command.
Events are sorted, personal data included, in the directory for temporary files,
TMPDIR, which needs room for all of them.

Exit codes: 0 restored, 1 refused or not all values reserved, 2 trouble.`

// restoreConfig is what restore reads.
type restoreConfig struct {
	auditConfig
	app.ArchiveName
}

// newRestore returns the command that fills a log.
func newRestore(con *console) *cobra.Command {
	const name = "restore"
	location, fromTable := "", ""
	lookup := settings{"ARCHIVE": &location}.over(os.LookupEnv)
	var flags archive.RestoreConfig
	c := con.command(name, task{
		use: name, short: "Fill a lost log from the archive or another table", long: aboutRestore, variables: awsVariables(&restoreConfig{}),
		stopped: continues,
		do: func(ctx context.Context, _ []string) (bool, error) {
			if flags.Parallel < 1 || flags.Rate < 0 {
				return false, errors.New("want --parallel of at least 1 and --rate of at least 0")
			}
			refused, err := con.restore(ctx, lookup, fromTable, flags)
			if err != nil || refused || flags.DryRun {
				return refused, err
			}
			target, n, err := account(ctx)
			if err != nil {
				return false, err
			}
			return con.reserve(ctx, target, n)
		},
	})
	c.Flags().StringVar(&location, "archive", "", "instead of ARCHIVE")
	c.Flags().StringVar(&fromTable, "from-table", "", "a table to restore from, in place of the archive")
	c.Flags().BoolVar(&flags.DryRun, "dry-run", false, "check everything and write nothing")
	c.Flags().IntVar(&flags.Rate, "rate", 0, "events written a second; 0: no limit")
	c.Flags().IntVar(&flags.Parallel, "parallel", 32, "streams written, files read, at once")
	return con.alone(c, failure(name))
}

// restored is the result of a restore as it is printed.
type restored struct {
	Events   int  `json:"events"`
	Streams  int  `json:"streams"`
	Present  int  `json:"present"`
	Written  int  `json:"written"`
	DryRun   bool `json:"dryRun"`
	Findings int  `json:"findings"`
}

// restore fills the log, unless it is refused.
func (con *console) restore(
	ctx context.Context, lookup service.Lookup, fromTable string, c archive.RestoreConfig,
) (refused bool, err error) {
	var n restoreConfig
	if err := service.LoadConfig(lookup, &n); err != nil {
		return false, err
	}
	target, err := operatorsAWS(ctx)
	if err != nil {
		return false, err
	}
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	c.EventLog = logIn(db, n.EventLog)
	if c.Source, err = source(ctx, n.ArchiveName, fromTable, db, target, c.Parallel); err != nil {
		return false, err
	}
	return con.fill(ctx, c)
}

// logIn returns the event log in that table.
func logIn(db *dynamodb.Client, table string) *dynamostore.Store {
	return dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: table}})
}

// fill restores as c says, and prints what it finds and does.
func (con *console) fill(ctx context.Context, c archive.RestoreConfig) (refused bool, err error) {
	printer, progress := con.printer(), con.progress()
	c.OnFinding = func(f archive.Finding) {
		progress.End()
		printer.Line(shownFinding(f), f.String())
	}
	c.OnProgress = func(r archive.Restored) { progress.Show(func() string { return soFar(r) }) }
	r, err := archive.Restore(ctx, c)
	progress.End()
	if err != nil {
		return false, err
	}
	refused = r.Findings > 0
	done := amount.Digits(r.Written) + " written"
	switch {
	case refused:
		done = "refused, nothing is written"
	case c.DryRun:
		done = fmt.Sprintf("%s would be written", amount.Digits(r.Written))
	}
	printer.Line(restored{r.Events, r.Streams, r.Present, r.Written, c.DryRun, r.Findings}, fmt.Sprintf(
		"%s of %s: %s there before, %s; %s", amount.Of(r.Events, "event"), amount.Of(r.Streams, "stream"),
		amount.Digits(r.Present), done, amount.Of(r.Findings, "finding")))
	if refused {
		con.say("The log would not be whole, or has events that are not the source's. docs/operations.md#the-archive explains each finding.")
	}
	return refused, nil
}

// source yields the events of a table or, if that is "", of the archive.
func source(
	ctx context.Context, archived app.ArchiveName, table string, db *dynamodb.Client, target aws.Config, parallel int,
) (iter.Seq2[eventsourcing.Record, error], error) {
	if table != "" {
		return logIn(db, table).All(ctx, parallel), nil
	}
	storage, err := archived.Storage(target)
	if err != nil {
		return nil, err
	}
	return archive.Events(ctx, storage, parallel), nil
}

// soFar says how far a restore has come.
func soFar(r archive.Restored) string {
	if r.Events == 0 {
		return fmt.Sprintf("so far %s read, %s of the log", amount.Of(r.Read, "event"), amount.Digits(r.Present))
	}
	return fmt.Sprintf("so far %s of %s written", amount.Digits(r.Written), amount.Of(r.Events-r.Present, "event"))
}
