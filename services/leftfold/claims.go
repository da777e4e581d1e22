package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
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

// exitCode is the error of a command that has printed all there is to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// ExitCode is used by service.Exit.
func (c exitCode) ExitCode() int { return int(c) }

// auditConfig is what the audit reads.
type auditConfig struct {
	topology.EventLogName
	topology.CommandNames
}

const aboutAudit = `Prove, in the AWS that AWS_ENDPOINT_URL and the like name, that the reserved values are those of the log.

Exit codes: 0 equal, 1 different, 2 not proved.`

// newClaims returns the command that audits the claims table. It prints differences on out, and progress on logs. Whatever
// does not run has exit code 2, because it proves nothing.
func newClaims(out, logs io.Writer) *cobra.Command {
	say := func(format string, values ...any) {
		_, _ = fmt.Fprintf(logs, "claims audit: "+format+"\n", values...)
	}
	misused := func(c *cobra.Command, err error) error {
		say("%v", err)
		_, _ = fmt.Fprint(logs, c.UsageString())
		return exitCode(trouble)
	}
	var repair bool
	var parallel int
	audit := &cobra.Command{
		Use: "audit [--repair] [--parallel n]", Short: "Compare the reserved values with the log", Long: aboutAudit,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused(c, service.UnknownArguments(args))
			}
			if parallel < 1 {
				return misused(c, fmt.Errorf("--parallel %d: want at least 1", parallel))
			}
			result, err := auditClaims(c.Context(), func(c *claimsaudit.Config) {
				c.Repair, c.Parallel = repair, parallel
				c.OnDifference = func(d claimsaudit.Difference) { _, _ = fmt.Fprintln(out, d) }
				c.OnPage = everySoOften(func(r claimsaudit.Result) {
					say("%d streams and %d claims so far, %d differences", r.Streams, r.Claims, r.Differences)
				})
			})
			if err != nil {
				say("%v", err)
				return exitCode(trouble)
			}
			say("%d streams and %d claims compared, %d checked twice; %d differences, %d repaired",
				result.Streams, result.Claims, result.Suspicions, result.Differences, result.Repaired)
			switch {
			case result.Equal():
				return nil
			case result.Differences > result.Repaired:
				return exitCode(differs)
			default:
				say("%d streams kept changing: run it again", result.Undecided)
				return exitCode(trouble)
			}
		},
	}
	audit.Flags().BoolVar(&repair, "repair", false, "repair the differences that can be repaired")
	audit.Flags().IntVar(&parallel, "parallel", 8, "streams that are read at once: more is faster and loads the tables more")
	listVariables(audit, os.LookupEnv, &auditConfig{})
	claims := &cobra.Command{
		Use: "claims", Short: "Audit the reserved values",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused(c, service.UnknownArguments(args))
			}
			return misused(c, errors.New("missing command"))
		},
	}
	claims.SetFlagErrorFunc(misused)
	claims.AddCommand(audit)
	return claims
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
		Categories: []claimsaudit.Category{claimsaudit.NewCategory(user.Aggregate()), claimsaudit.NewCategory(role.Aggregate())},
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
