package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

const auditsAttempts = 10 // of one call: an audit of hours should outlive a throttled minute

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
func newClaims(con *console) *cobra.Command {
	const name = "claims audit"
	var repair, emptied, dryRun bool
	var parallel int
	audit := con.command(name, task{
		use: "audit", short: "Compare the reserved values with the log", long: aboutAudit, variables: awsVariables(&auditConfig{}),
		do: func(ctx context.Context, _ []string) (bool, error) {
			if parallel < 1 {
				return false, fmt.Errorf("--parallel %d: want at least 1", parallel)
			}
			if emptied && !repair {
				return false, errors.New("--repair-emptied: want --repair with it")
			}
			repairs := repair && !dryRun
			return con.auditClaims(ctx, claimsaudit.Config{Repair: repairs, RepairEmptied: emptied && repairs, Parallel: parallel})
		},
	})
	audit.Flags().BoolVar(&repair, "repair", false, "repair the differences that can be repaired")
	audit.Flags().BoolVar(&emptied, "repair-emptied", false, "with --repair: also what streams without events own")
	audit.Flags().BoolVar(&dryRun, "dry-run", false, "with --repair: only print the differences")
	audit.Flags().IntVar(&parallel, "parallel", 8, "streams read at once; each loads the tables")
	return con.operatorsGroup("claims", "Audit the reserved values", failure(name), audit)
}

// difference is a difference as it is printed.
type difference struct {
	Audit      string           `json:"audit"`
	Kind       claimsaudit.Kind `json:"kind"`
	Constraint string           `json:"constraint,omitempty"`
	Stream     string           `json:"stream,omitempty"`
	Owner      string           `json:"owner,omitempty"`
	Repaired   bool             `json:"repaired"`
	Text       string           `json:"text"`
}

// audited is the result of an audit as it is printed.
type audited struct {
	Audit       string `json:"audit"`
	Streams     int    `json:"streams"`
	Claims      int    `json:"claims"`
	Differences int    `json:"differences"`
	Repaired    int    `json:"repaired"`
	Undecided   int    `json:"undecided"`
}

// auditClaims audits, and prints the differences and the result.
func (con *console) auditClaims(ctx context.Context, c claimsaudit.Config) (differ bool, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return false, err
	}
	var found whatToDo
	printer, progress := con.printer(), con.progress()
	c.OnDifference = func(d claimsaudit.Difference) {
		progress.End()
		printer.Line(shownDifference(d), d.String())
		switch {
		case d.Repaired, d.Kind == claimsaudit.Contested: // its text says it
		case d.Kind == claimsaudit.Hole, d.Kind == claimsaudit.Illegible:
			found.unreadable = true
		default:
			found.repairable = !c.Repair
		}
	}
	r, err := auditClaimsOf(ctx, target, n, c, progress)
	if err != nil {
		return false, err
	}
	printer.Line(shownAudit(r), fmt.Sprintf("%s, %s repaired", compared(r), amount.Digits(r.Repaired)))
	con.advise("claims audit", found)
	return unequal(r)
}

// reserve reserves in that AWS what the events of a log that was filled hold, and counts its scopes. It prints what cannot be, and
// the results.
func (con *console) reserve(ctx context.Context, target aws.Config, n topology.Names) (differ bool, err error) {
	printer, progress := con.printer(), con.progress()
	r, err := auditClaimsOf(ctx, target, n, claimsaudit.Config{Repair: true, OnDifference: func(d claimsaudit.Difference) {
		if !d.Repaired {
			progress.End()
			printer.Line(shownDifference(d), d.String())
		}
	}}, progress)
	if err != nil {
		return false, err
	}
	printer.Line(shownAudit(r), fmt.Sprintf("%s of %s reserved or freed, %s not",
		amount.Of(r.Repaired, "value"), amount.Of(r.Streams, "stream"), amount.Digits(r.Differences-r.Repaired)))
	reserved, errOfClaims := unequal(r)
	counted, errOfScopes := con.recount(ctx, target, n)
	return reserved || counted, errors.Join(errOfClaims, errOfScopes)
}

// auditClaimsOf audits the claims of that AWS.
func auditClaimsOf(
	ctx context.Context, target aws.Config, n topology.Names, c claimsaudit.Config, progress *output.Progress,
) (claimsaudit.Result, error) {
	defer progress.End()
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = auditsAttempts })
	c.Claims = dynamostore.NewClaims(db, dynamostore.Config{
		Tables: dynamostore.Tables{Events: n.EventLog, Claims: n.SetValidations},
	})
	for _, a := range aggregates.Streams() {
		c.Categories = append(c.Categories, a.Audit)
	}
	c.OnPage = func(r claimsaudit.Result) { progress.Show(func() string { return "so far " + compared(r) }) }
	return claimsaudit.Run(ctx, c)
}

func shownDifference(d claimsaudit.Difference) difference {
	return difference{"claims", d.Kind, d.Constraint, d.Stream, d.Owner, d.Repaired, d.String()}
}

func shownAudit(r claimsaudit.Result) audited {
	return audited{"claims", r.Streams, r.Claims, r.Differences, r.Repaired, r.Undecided}
}

func unequal(r claimsaudit.Result) (bool, error) {
	if !r.Equal() && r.Differences == r.Repaired {
		return false, fmt.Errorf("%s kept changing: run it again", amount.Of(r.Undecided, "stream"))
	}
	return !r.Equal(), nil
}

// whatToDo is what of an audit's findings needs a person.
type whatToDo struct {
	repairable bool // by --repair
	emptied    bool // rows are left that may be of streams without events
	parked     bool
	unreadable bool // a hole, or events that this build cannot read
}

// advise says it.
func (con *console) advise(audit string, found whatToDo) {
	if found.repairable {
		con.say("leftfold %s --repair repairs what can be", audit)
	}
	if found.emptied {
		con.say("foreign rows of streams without events may be all that is left of them; --repair-emptied deletes them")
	}
	if found.parked {
		con.say("leftfold parked list says why what is parked is")
	}
	if found.unreadable {
		con.say("of a stream that is a hole or illegible nothing is repaired: docs/operations.md#log-hole")
	}
}

func compared(r claimsaudit.Result) string {
	return fmt.Sprintf("%s and %s compared: %s", amount.Of(r.Streams, "stream"), amount.Of(r.Claims, "claim"),
		amount.Of(r.Differences, "difference"))
}
