package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/projectors"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

const (
	aboutParkedList = `Print the aggregates that projections have parked, because one of their events
cannot be applied.

Exit codes: 0 none, 1 some, 2 unknown.`

	aboutParkedShow = `Print which projections have parked an aggregate, at which event and why. A
reason may quote the event, personal data included.

Exit codes: 0 none has, 1 some have, 2 unknown.`

	aboutRedrive = `Apply what parked aggregates have missed, from the log, and unpark them. First
remove the cause, usually by deploying a projector that knows the event.

Exit codes: 0 all are redriven, 1 some stay parked or a named one is not parked,
2 trouble.`
)

// newParked returns the commands on parked aggregates.
func newParked(con *console) *cobra.Command {
	projection, all, dryRun := "", false, false
	list := con.command("parked list", task{
		use: "list", short: "List the parked aggregates", long: aboutParkedList, variables: adminVariables(),
		do: func(ctx context.Context, _ []string) (some bool, err error) {
			table := con.printer(output.Column{Name: "PROJECTION", Width: 10}, output.Column{Name: "STREAM", Width: 49},
				output.Column{Name: "VERSION", Width: 7}, output.Column{Name: "WAITING", Width: 7}, output.Column{Name: "PARKED AT", Width: 20},
				output.Column{Name: "EVENT"})
			err = con.eachParked(ctx, projection, func(_ *adminclient.Client, _ string, p projectors.Parked) error {
				some = true
				p.Redrive = ""
				table.Row(p, p.Projection, p.Stream, strconv.FormatUint(uint64(p.Version), 10), strconv.Itoa(p.Waiting),
					p.ParkedAt.Format(time.RFC3339), p.Event)
				return nil
			})
			if err == nil && !some {
				con.say("no aggregate is parked")
			}
			return some, err
		},
	})
	show := con.command("parked show", task{
		use: "show <stream>", short: "Say why an aggregate is parked", long: aboutParkedShow, variables: adminVariables(),
		args: usage(1, 1, "a stream, such as org/iam/user/0192…"),
		do: func(ctx context.Context, args []string) (some bool, err error) {
			if _, err := eventsourcing.ParseStreamID(args[0]); err != nil {
				return false, err
			}
			err = con.eachParked(ctx, projection, func(_ *adminclient.Client, _ string, p projectors.Parked) error {
				if p.Stream == args[0] {
					some = true
					p.Redrive = ""
					con.printer().Line(p, fmt.Sprintf("%s in %s is parked since %s at version %d, %s (%d waiting): %s",
						p.Stream, p.Projection, p.ParkedAt.Format(time.RFC3339), p.Version, p.Event, p.Waiting, p.Reason))
				}
				return nil
			})
			if err == nil && !some {
				con.say("%s is not parked", args[0])
			}
			return some, err
		},
	})
	redrive := con.command("parked redrive", task{
		use: "redrive (--all | stream...)", short: "Apply what parked aggregates have missed", long: aboutRedrive,
		variables: adminVariables(), args: usage(0, 1<<20, "streams"),
		do: func(ctx context.Context, streams []string) (bool, error) {
			if all == (len(streams) > 0) {
				return false, errors.New("want --all, or streams such as org/iam/user/0192…")
			}
			return con.redrive(ctx, projection, streams, dryRun)
		},
	})
	redrive.Flags().BoolVar(&all, "all", false, "redrive every parked aggregate")
	redrive.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be redriven")
	group := con.operatorsGroup("parked", "List and redrive what projections have parked", failure("parked"), list, show, redrive)
	group.PersistentFlags().StringVar(&projection, "projection", "", "of this projection only, such as users")
	return con.withAdmins(group)
}

// eachParked calls on with every parked aggregate, of one projection or of all, and the address that answers for it.
func (con *console) eachParked(
	ctx context.Context, only string, on func(c *adminclient.Client, address string, p projectors.Parked) error,
) error {
	n, err := names()
	if err != nil {
		return err
	}
	consumers, err := projectors.Consumers(n, only)
	if err != nil {
		return err
	}
	client, err := con.services(ctx)
	if err != nil {
		return err
	}
	for _, c := range consumers {
		err := projectors.EachParked(ctx, client, c.Name, func(address string, p projectors.Parked) error { return on(client, address, p) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (con *console) redrive(ctx context.Context, projection string, streams []string, dryRun bool) (stay bool, err error) {
	left := map[string]bool{} // of the streams asked for
	for _, stream := range streams {
		if _, err := eventsourcing.ParseStreamID(stream); err != nil {
			return false, err
		}
		left[stream] = true
	}
	asked, none := len(streams) > 0, true
	err = con.eachParked(ctx, projection, func(client *adminclient.Client, address string, p projectors.Parked) error {
		if _, wanted := left[p.Stream]; asked && !wanted {
			return nil
		}
		left[p.Stream], none = false, false
		if dryRun {
			con.plan(planned{fmt.Sprintf("apply %s of %s in %s", amount.Of(p.Waiting, "event"), p.Stream, p.Projection), address + p.Redrive})
			return nil
		}
		result, err := con.toTheEnd(ctx, client, address+p.Redrive, projectors.Applied{Projection: p.Projection, Stream: p.Stream})
		if err != nil {
			return err
		}
		con.printer().Line(result, result.String())
		stay = stay || result.Problem != ""
		return nil
	})
	if err == nil && none && !asked {
		con.say("no aggregate is parked")
	}
	for _, stream := range streams {
		if left[stream] && err == nil {
			con.say("%s is not parked", stream)
			stay = true
		}
	}
	return stay, err
}

// toTheEnd sends a POST until all is applied, or an event cannot be.
func (con *console) toTheEnd(
	ctx context.Context, client *adminclient.Client, at string, a projectors.Applied,
) (projectors.Applied, error) {
	progress := con.progress()
	defer progress.End()
	return projectors.ToTheEnd(ctx, client, at, a, func(a projectors.Applied) {
		progress.Show(func() string { return a.String() + " so far" })
	})
}
