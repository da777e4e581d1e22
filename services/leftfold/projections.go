package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/projectors"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

const (
	aboutCatchUp = `Compare a projection with the whole log and apply what it missed. The service
does it in the background; this command shows how far it is until it ends, and
may be stopped and started again.

Exit codes: 0 caught up, 1 but for holes of the log, 2 trouble.`

	aboutRebuildStream = `Write the rows of one aggregate anew from the log, in one projection.

Exit codes: 0 done, 1 an event cannot be applied, 2 trouble.`
)

// newProjections returns the commands on read models.
func newProjections(con *console) *cobra.Command {
	dryRun := false
	withDryRun := func(c *cobra.Command) *cobra.Command {
		c.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be done")
		return c
	}
	catchUp := con.command("projections catch-up", task{
		use: "catch-up <projection>", short: "Apply what a projection has missed of the log", long: aboutCatchUp,
		args: usage(1, 1, "the name of a projection, such as users"), variables: adminVariables(),
		do: func(ctx context.Context, args []string) (bool, error) {
			if err := known(args[0]); err != nil {
				return false, err
			}
			return con.catchUp(ctx, args[0], dryRun)
		},
		stopped: goesOn,
	})
	rebuildStream := con.command("projections rebuild-stream", task{
		use: "rebuild-stream <projection> <stream>", short: "Write the rows of one aggregate anew", long: aboutRebuildStream,
		args: usage(2, 2, "a projection, such as users, and a stream, such as org/iam/user/0192…"), variables: adminVariables(),
		do: func(ctx context.Context, args []string) (bool, error) {
			if err := known(args[0]); err != nil {
				return false, err
			}
			return con.rebuildStream(ctx, args[0], args[1], dryRun)
		},
	})
	return con.operatorsGroup("projections", "Look after the read models", failure("projections"),
		append(newGenerations(con), newProjectionsAudit(con),
			con.withAdmins(withDryRun(catchUp)), con.withAdmins(withDryRun(rebuildStream)))...)
}

// known returns an error unless there is a projection of that name.
func known(projection string) error {
	n, err := names()
	if err != nil {
		return err
	}
	_, err = named(n, projection)
	return err
}

// named returns the projection of that name.
func named(n topology.Names, projection string) (topology.Projection, error) {
	var all []string
	for _, p := range n.Projections() {
		if p.Name == projection {
			return p, nil
		}
		all = append(all, p.Name)
	}
	return topology.Projection{}, fmt.Errorf("there is no projection %q; there are: %s", projection, strings.Join(all, " "))
}

// planned says what a command with --dry-run would do.
type planned struct {
	Would string `json:"would"`
	URL   string `json:"url,omitempty"`
}

func (con *console) plan(p planned) {
	text := "would " + p.Would
	if p.URL != "" {
		text += ": POST " + p.URL
	}
	con.printer().Line(p, text)
}

func caughtUp(c projectors.CatchUp) string {
	return fmt.Sprintf("%s: %s; %s compared, %s behind, %s applied, %s parked, %s", c.Projection, c.State,
		amount.Of(c.Records, "event"), amount.Digits(c.Behind), amount.Digits(c.Applied), amount.Digits(c.Parked), amount.Of(c.Holes, "hole"))
}

// catchUp catches a projection up, or the processes.
func (con *console) catchUp(ctx context.Context, projection string, dryRun bool) (holes bool, err error) {
	client, address, err := con.keeper(ctx, projection)
	if err != nil {
		return false, err
	}
	at := address + projectors.CatchUpPath(projection)
	if dryRun {
		con.plan(planned{"compare " + projection + " with the whole log and apply what it missed", at})
		return false, nil
	}
	progress := con.progress()
	run, err := projectors.Follow(ctx, client, at, at, func(run projectors.CatchUp) {
		progress.Show(func() string {
			return fmt.Sprintf("catching up %s since %s, %s read", projection, run.StartedAt.Format(time.TimeOnly), amount.Of(run.Records, "event"))
		})
	})
	progress.End()
	if err == nil {
		err = run.Ended()
	}
	if err != nil {
		return false, err
	}
	con.printer().Line(run, caughtUp(run))
	return run.State != "done", nil
}

// keeper returns a client and the address in it that answers for a projection, or for the processes.
func (con *console) keeper(ctx context.Context, projection string) (*adminclient.Client, string, error) {
	client, err := con.services(ctx)
	if err != nil {
		return nil, "", err
	}
	address, err := client.Projection(ctx, projection)
	return client, address, err
}

func (con *console) rebuildStream(ctx context.Context, projection, stream string, dryRun bool) (stays bool, err error) {
	if _, err := eventsourcing.ParseStreamID(stream); err != nil {
		return false, err
	}
	client, address, err := con.keeper(ctx, projection)
	if err != nil {
		return false, err
	}
	at := address + projectors.RebuildPath(projection, stream)
	if dryRun {
		con.plan(planned{"write the rows of " + stream + " in " + projection + " anew", at})
		return false, nil
	}
	result, err := con.toTheEnd(ctx, client, at, projectors.Applied{Projection: projection, Stream: stream})
	if err == nil {
		con.printer().Line(result, result.String())
	}
	return result.Problem != "", err
}
