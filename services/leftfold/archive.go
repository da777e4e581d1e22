package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

const (
	aboutArchiveWrite = `Read the Kinesis stream and write every event into the archive, until Ctrl-C.
Only where Firehose does not: with the embedded AWS or LocalStack. "run" and
"services" do it, too, if ARCHIVE is set.

Exit codes: 0 stopped, 2 trouble.`

	aboutArchiveVerify = `Prove, in the AWS of the environment, that the archive has every event of the
log, unchanged, and the log every event of the archive. Findings and the result
go to standard output, progress to standard error. Events are sorted in the
directory for temporary files, TMPDIR: some 150 bytes of each.

Exit codes: 0 equal, or with --repair equal now; 1 different; 2 not proved.`
)

// verifyConfig is what archive verify reads.
type verifyConfig struct {
	topology.EventLogName
	app.ArchiveName
}

// newArchive returns the commands on the archive.
func newArchive(con *console) *cobra.Command {
	const name = "archive"
	location := ""
	lookup := settings{"ARCHIVE": &location}.over(os.LookupEnv)
	write := con.command(name, task{
		use: "write", short: "Write every event into the archive, as Firehose does on AWS", long: aboutArchiveWrite,
		variables: awsVariables(&app.Archiver{}),
		do: func(ctx context.Context, _ []string) (bool, error) {
			return false, run(ctx, lookup, con.out, con.logs, app.NewArchiver, archiverBanner)
		},
	})
	c := con.operatorsGroup(name, "Write the archive of all events, and compare it with the log", failure(name),
		write, con.newArchiveVerify(name, lookup))
	c.PersistentFlags().StringVar(&location, "archive", "", "instead of ARCHIVE")
	return c
}

// newArchiveVerify returns the command that compares archive and log. Whatever does not run has exit code 2, because it proves
// nothing.
func (con *console) newArchiveVerify(name string, lookup service.Lookup) *cobra.Command {
	var repair, dryRun bool
	var delay time.Duration
	var parallel int
	verify := con.command(name, task{
		use: "verify", short: "Compare the archive with the log", long: aboutArchiveVerify, variables: awsVariables(&verifyConfig{}),
		do: func(ctx context.Context, _ []string) (bool, error) {
			if parallel < 1 || delay < 0 {
				return false, errors.New("want --parallel of at least 1 and --delay of at least 0s")
			}
			return con.verifyArchive(ctx, lookup, archive.VerifyConfig{Repair: repair && !dryRun, Delay: delay, Parallel: parallel})
		},
	})
	verify.Flags().BoolVar(&repair, "repair", false, "add the events that are missing to the archive")
	verify.Flags().BoolVar(&dryRun, "dry-run", false, "with --repair: only print the findings")
	verify.Flags().DurationVar(&delay, "delay", 30*time.Minute, "how long an event may take to arrive")
	verify.Flags().IntVar(&parallel, "parallel", 8, "files, and parts of the log, read at once")
	return verify
}

// finding is a finding as it is printed.
type finding struct {
	Kind   archive.Kind `json:"kind"`
	Stream string       `json:"stream,omitempty"`
	First  uint64       `json:"first,omitempty"`
	Last   uint64       `json:"last,omitempty"`
	Text   string       `json:"text"`
}

func shownFinding(f archive.Finding) finding {
	return finding{f.Kind, f.Stream, uint64(f.First), uint64(f.Last), f.String()}
}

// verified is the result of archive verify as it is printed.
type verified struct {
	Archived int `json:"archived"`
	Copies   int `json:"copies"`
	Logged   int `json:"logged"`
	Young    int `json:"young"`
	Findings int `json:"findings"`
	Added    int `json:"added"`
}

func (con *console) verifyArchive(ctx context.Context, lookup service.Lookup, c archive.VerifyConfig) (differ bool, err error) {
	var n verifyConfig
	if err := service.LoadConfig(lookup, &n); err != nil {
		return false, err
	}
	target, err := operatorsAWS(ctx)
	if err != nil {
		return false, err
	}
	if c.Storage, err = n.Storage(target); err != nil {
		return false, err
	}
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	c.EventLog = dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: n.EventLog}})
	c.Now = time.Now //nolint:forbidigo // main's clock
	printer, progress := con.printer(), con.progress()
	c.OnFinding = func(f archive.Finding) {
		progress.End()
		printer.Line(shownFinding(f), f.String())
	}
	c.OnProgress = func(archived, logged int) {
		progress.Show(func() string {
			return fmt.Sprintf("so far %s archived and %s logged", amount.Of(archived, "event"), amount.Digits(logged))
		})
	}
	r, err := archive.Verify(ctx, c)
	progress.End()
	if err != nil {
		return false, err
	}
	printer.Line(verified{r.Archived, r.Repeated, r.Logged, r.Young, r.Findings, r.Added}, fmt.Sprintf(
		"%s archived, %s of them copies; %s logged, %s of them young: %s, %s added",
		amount.Of(r.Archived, "event"), amount.Digits(r.Repeated), amount.Digits(r.Logged), amount.Digits(r.Young),
		amount.Of(r.Findings, "finding"), amount.Of(r.Added, "event")))
	return r.Left > 0, nil
}

func archiverBanner(a *app.Alone, cfg app.Archiver) string {
	return fmt.Sprintf(`Every event of the stream is written into the archive, %s.
Its admin address is http://%s (/healthz /readyz /metrics).

Ctrl-C stops it.
`, cfg.Archive, a.Addr)
}
