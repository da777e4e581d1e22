package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

// Exit codes of the audit beside 0, as diff(1) has them.
const (
	differs = 1
	trouble = 2 // nothing is proved
)

const (
	progressEvery  = 5 * time.Second
	auditsAttempts = 10 // of one call: an audit of hours should outlive a throttled minute
)

// outcome is the error of a command with an exit code of its own. Its text may be empty: all is said already.
type outcome struct {
	code int
	text string
}

func (e outcome) Error() string { return e.text }

// ExitCode is used by service.Exit.
func (e outcome) ExitCode() int { return e.code }

// auditConfig is what the audit reads.
type auditConfig struct {
	topology.EventLogName
	topology.CommandNames
}

const aboutAudit = `Prove, in the AWS of the environment, that the reserved values are those of the
log. Differences and the result go to standard output, progress to standard
error.

Exit codes: 0 equal, 1 different, 2 not proved.`

// newClaims returns the command that audits the claims table. Whatever does not run has exit code 2, because it proves
// nothing.
func newClaims(out, logs io.Writer) *cobra.Command {
	notProved := func(err error) error { return outcome{trouble, fmt.Sprintf("claims audit: %v", err)} }
	var repair, emptied bool
	var parallel int
	audit := &cobra.Command{
		Use: "audit", Short: "Compare the reserved values with the log", Long: aboutAudit,
		Args: func(c *cobra.Command, args []string) error {
			if err := noArguments(c, args); err != nil {
				return notProved(err)
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if parallel < 1 {
				return notProved(fmt.Errorf("--parallel %d: want at least 1", parallel))
			}
			if emptied && !repair {
				return notProved(errors.New("--repair-emptied: want --repair with it"))
			}
			result, err := auditClaims(c.Context(), func(c *claimsaudit.Config) {
				c.Repair, c.RepairEmptied, c.Parallel = repair, emptied, parallel
				c.OnDifference = func(d claimsaudit.Difference) { _, _ = fmt.Fprintln(out, d) }
				c.OnPage = everySoOften(func(r claimsaudit.Result) {
					_, _ = fmt.Fprintf(logs, "so far %s\n", compared(r))
				})
			})
			if err != nil {
				return notProved(err)
			}
			_, _ = fmt.Fprintf(out, "%s, %s repaired\n", compared(result), amount.Digits(result.Repaired))
			switch {
			case result.Equal():
				return nil
			case result.Differences > result.Repaired:
				return outcome{code: differs}
			default:
				return notProved(fmt.Errorf("%s kept changing: run it again", amount.Of(result.Undecided, "stream")))
			}
		},
	}
	audit.Flags().BoolVar(&repair, "repair", false, "repair the differences that can be repaired")
	audit.Flags().BoolVar(&emptied, "repair-emptied", false, "with --repair: also what streams without events own")
	audit.Flags().IntVar(&parallel, "parallel", 8, "streams read at once; each loads the tables")
	withVariables(audit, slices.Concat(service.Variables(&auditConfig{}), service.AWSVariables())...)
	return operatorsGroup("claims", "Audit the reserved values", notProved, audit)
}

// operatorsGroup returns a command of operators that only leads to others. A mistake on the command line, its own or that of one of
// them, ends as failed says.
func operatorsGroup(name, short string, failed func(error) error, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		GroupID: toOperate, Use: name, Short: short,
		RunE: func(c *cobra.Command, args []string) error {
			if err := noArguments(c, args); err != nil {
				return failed(err)
			}
			return failed(fmt.Errorf("a command is missing; %s --help lists them", c.CommandPath()))
		},
	}
	group.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return failed(unknownFlag(c, err)) })
	group.AddCommand(commands...)
	return group
}

func compared(r claimsaudit.Result) string {
	return fmt.Sprintf("%s and %s compared: %s", amount.Of(r.Streams, "stream"), amount.Of(r.Claims, "claim"),
		amount.Of(r.Differences, "difference"))
}

func auditClaims(ctx context.Context, with func(*claimsaudit.Config)) (claimsaudit.Result, error) {
	var names auditConfig
	if err := service.LoadConfig(os.LookupEnv, &names); err != nil {
		return claimsaudit.Result{}, err
	}
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return claimsaudit.Result{}, err
	}
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	config := claimsaudit.Config{
		Claims: dynamostore.NewClaims(db, dynamostore.Config{
			Tables: dynamostore.Tables{Events: names.EventLog, Claims: names.SetValidations},
		}),
	}
	for _, a := range aggregates.All() {
		config.Categories = append(config.Categories, a.Audit)
	}
	with(&config)
	return claimsaudit.Run(ctx, config)
}

// everySoOften calls report at most once per progressEvery.
func everySoOften(report func(claimsaudit.Result)) func(claimsaudit.Result) {
	last := time.Now() //nolint:forbidigo // for a person who waits; nothing depends on it
	return func(r claimsaudit.Result) {
		if now := time.Now(); now.Sub(last) >= progressEvery { //nolint:forbidigo // as above
			last = now
			report(r)
		}
	}
}
