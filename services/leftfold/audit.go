package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/engine/scopesaudit"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

const aboutAudits = `Run "claims audit", "scopes audit" and "projections audit" one after the other,
without repairs. "archive verify" is not among them: it is told where
the archive is.

Exit codes: 0 all equal, 1 something differs, 2 something is not proved.`

// newAudit returns the command that runs every audit.
func newAudit(con *console) *cobra.Command {
	parallel := 8
	c := con.command("audit", task{
		use: "audit", short: "Run the audits of claims, scopes and read models", long: aboutAudits, variables: awsVariables(&topology.Names{}),
		do: func(ctx context.Context, _ []string) (bool, error) {
			claims, errOfClaims := con.auditClaims(ctx, claimsaudit.Config{Parallel: parallel})
			scopes, errOfScopes := con.auditScopes(ctx, scopesaudit.Config{Parallel: parallel})
			rows, errOfRows := con.auditProjections(ctx, nil, projectionaudit.Config{
				Parallel: parallel, Sample: 1, Settle: projectionaudit.DefaultSettle,
			})
			return claims || scopes || rows, errors.Join(errOfClaims, errOfScopes, errOfRows)
		},
	})
	c.Flags().IntVar(&parallel, "parallel", parallel, "reads at once; each loads the tables")
	return con.alone(c, failure("audit"))
}
