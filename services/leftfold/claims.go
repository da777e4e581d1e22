package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

// Exit codes of the audit, as diff(1) has them.
const (
	equal   = 0
	differs = 1
	trouble = 2 // nothing is proved
)

const (
	claimsUsage    = "usage: leftfold claims audit [--repair] [--parallel n]"
	progressEvery  = 5 * time.Second
	auditsAttempts = 10 // of one call: an audit of hours should outlive a throttled minute
)

// claims audits the claims table in the AWS that the environment names and returns the process's exit code. It prints
// differences on out, and how it goes on progress.
func claims(ctx context.Context, args []string, out, progress io.Writer) (code int) {
	say := func(format string, values ...any) {
		_, _ = fmt.Fprintf(progress, "claims audit: "+format+"\n", values...)
	}
	flags := flag.NewFlagSet("claims audit", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.Usage = func() {
		_, _ = fmt.Fprintln(progress, claimsUsage)
		flags.PrintDefaults()
	}
	repair := flags.Bool("repair", false, "put right what can be")
	parallel := flags.Int("parallel", 8, "streams that are read at once: more is faster and loads the tables more")
	if len(args) == 0 || args[0] != "audit" {
		flags.Usage()
		return trouble
	}
	if err := flags.Parse(args[1:]); err != nil {
		return trouble
	}
	if flags.NArg() > 0 || *parallel < 1 {
		flags.Usage()
		return trouble
	}
	result, err := auditClaims(ctx, func(c *claimsaudit.Config) {
		c.Repair, c.Parallel = *repair, *parallel
		c.OnDifference = func(d claimsaudit.Difference) { _, _ = fmt.Fprintln(out, d) }
		c.OnPage = everySoOften(func(r claimsaudit.Result) {
			say("%d streams and %d claims so far, %d differences", r.Streams, r.Claims, r.Differences)
		})
	})
	if err != nil {
		say("%v", err)
		return trouble
	}
	say("%d streams and %d claims compared, %d looked at twice; %d differences, %d repaired",
		result.Streams, result.Claims, result.Suspicions, result.Differences, result.Repaired)
	switch {
	case result.Equal():
		return equal
	case result.Differences > result.Repaired:
		return differs
	default:
		say("%d streams never held still: run it again", result.Undecided)
		return trouble
	}
}

func auditClaims(ctx context.Context, with func(*claimsaudit.Config)) (claimsaudit.Result, error) {
	var names topology.Names
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

// everySoOften passes on what comes first after a while.
func everySoOften(tell func(claimsaudit.Result)) func(claimsaudit.Result) {
	last := time.Now() //nolint:forbidigo // for a person who waits; nothing depends on it
	return func(r claimsaudit.Result) {
		if now := time.Now(); now.Sub(last) >= progressEvery { //nolint:forbidigo // as above
			last = now
			tell(r)
		}
	}
}
