package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/scopesaudit"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

// scopesConfig is what the audit of the scopes reads.
type scopesConfig struct {
	topology.EventLogName
	topology.CommandNames
}

const aboutScopes = `Prove, in the AWS of the environment, that what is counted over many streams,
such as the members of a role, is the sum of what the log says. Differences and
the result go to standard output, progress to standard error. The log is read
again, at most four times, for what changes meanwhile.

Exit codes: 0 equal, 1 different, 2 not proved.`

// newScopes returns the command that audits the scopes.
func newScopes(con *console) *cobra.Command {
	const name = "scopes audit"
	var repair, dryRun bool
	var parallel int
	audit := con.command(name, task{
		use: "audit", short: "Compare what is counted over streams with the log", long: aboutScopes,
		variables: awsVariables(&scopesConfig{}),
		do: func(ctx context.Context, _ []string) (bool, error) {
			if parallel < 1 {
				return false, fmt.Errorf("--parallel %d: want at least 1", parallel)
			}
			return con.auditScopes(ctx, scopesaudit.Config{Repair: repair && !dryRun, Parallel: parallel})
		},
	})
	audit.Flags().BoolVar(&repair, "repair", false, "repair the differences")
	audit.Flags().BoolVar(&dryRun, "dry-run", false, "with --repair: only print the differences")
	audit.Flags().IntVar(&parallel, "parallel", 8, "streams read at once; each loads the tables")
	return con.operatorsGroup("scopes", "Audit what is counted over many streams", failure(name), audit)
}

// scopeDifference is a difference as it is printed.
type scopeDifference struct {
	Audit    string           `json:"audit"`
	Kind     scopesaudit.Kind `json:"kind"`
	Scope    string           `json:"scope,omitempty"`
	Stream   string           `json:"stream,omitempty"`
	Repaired bool             `json:"repaired"`
	Text     string           `json:"text"`
}

// scopesAudited is the result of an audit as it is printed.
type scopesAudited struct {
	Audit       string `json:"audit"`
	Streams     int    `json:"streams"`
	Scopes      int    `json:"scopes"`
	Differences int    `json:"differences"`
	Repaired    int    `json:"repaired"`
	Undecided   int    `json:"undecided"`
}

// auditScopes audits, and prints the differences and the result.
func (con *console) auditScopes(ctx context.Context, c scopesaudit.Config) (differ bool, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return false, err
	}
	var found whatToDo
	printer, progress := con.printer(), con.progress()
	c.OnDifference = func(d scopesaudit.Difference) {
		progress.End()
		printer.Line(shownScope(d), d.String())
		found.unreadable = found.unreadable || d.Stream != ""
		found.repairable = found.repairable || d.Stream == "" && !d.Repaired && !c.Repair
	}
	r, err := auditScopesOf(ctx, target, n, c, progress)
	if err != nil {
		return false, err
	}
	printer.Line(shownScopes(r), fmt.Sprintf("%s, %s repaired", comparedScopes(r), amount.Digits(r.Repaired)))
	con.advise("scopes audit", found)
	return unequalScopes(r)
}

// auditScopesOf audits the scopes of that AWS.
func auditScopesOf(
	ctx context.Context, target aws.Config, n topology.Names, c scopesaudit.Config, progress *output.Progress,
) (scopesaudit.Result, error) {
	defer progress.End()
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	c.Scopes = dynamostore.NewScopes(db, dynamostore.Config{
		Tables: dynamostore.Tables{Events: n.EventLog, Scopes: n.Scopes},
	})
	for _, a := range aggregates.Streams() {
		c.Categories = append(c.Categories, a.Sums)
	}
	c.OnPage = func(r scopesaudit.Result) { progress.Show(func() string { return "so far " + comparedScopes(r) }) }
	return scopesaudit.Run(ctx, c)
}

func comparedScopes(r scopesaudit.Result) string {
	return fmt.Sprintf("%s and %s compared: %s", amount.Of(r.Streams, "stream"), amount.Of(r.Scopes, "scope"),
		amount.Of(r.Differences, "difference"))
}

// recount counts in that AWS what the events of a log that was filled count. It prints what cannot be, and the result.
func (con *console) recount(ctx context.Context, target aws.Config, n topology.Names) (differ bool, err error) {
	printer, progress := con.printer(), con.progress()
	r, err := auditScopesOf(ctx, target, n, scopesaudit.Config{Repair: true, OnDifference: func(d scopesaudit.Difference) {
		if !d.Repaired {
			progress.End()
			printer.Line(shownScope(d), d.String())
		}
	}}, progress)
	if err != nil {
		return false, err
	}
	printer.Line(shownScopes(r), fmt.Sprintf("%s counted anew, %s not",
		amount.Of(r.Repaired, "scope"), amount.Digits(r.Differences-r.Repaired)))
	return unequalScopes(r)
}

func shownScope(d scopesaudit.Difference) scopeDifference {
	return scopeDifference{"scopes", d.Kind, d.Scope, d.Stream, d.Repaired, d.String()}
}

func shownScopes(r scopesaudit.Result) scopesAudited {
	return scopesAudited{"scopes", r.Streams, r.Scopes, r.Differences, r.Repaired, r.Undecided}
}

func unequalScopes(r scopesaudit.Result) (bool, error) {
	if r.Differences == r.Repaired && r.Undecided > 0 {
		return false, fmt.Errorf("%s kept changing: run it again when less is written", amount.Of(r.Undecided, "scope"))
	}
	return !r.Equal(), nil
}
