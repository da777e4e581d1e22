package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// setAsideConfig is what the commands on what was set aside read.
type setAsideConfig struct {
	topology.EventLogName
	topology.HopNames
}

const (
	aboutList = `Print what the streamer and the broker could never move on, and why: one entry a
line. A reason may quote the record, personal data included.

Exit codes: 0 nothing, 1 something, 2 unknown.`

	aboutRelease = `Send the events of entries again, as the log has them now, and remove the
entries. What still cannot be sent stays, with the reason; --discard removes
that too. An entry whose item was deleted from the log is removed.

Exit codes: 0 all removed, 1 some stay or there is none of an id, 2 trouble.`
)

// newSetAside returns the commands that list and release what was set aside.
func newSetAside(con *console) *cobra.Command {
	const name = "set-aside"
	list := con.command(name, task{
		use: "list", short: "List what was set aside", long: aboutList, variables: awsVariables(&setAsideConfig{}),
		do: func(ctx context.Context, _ []string) (bool, error) {
			some, err := eachSetAside(ctx, func(_ setaside.Releaser, e setaside.Entry) (bool, error) {
				con.printer().Line(shownEntry(e, ""), line(e, e.Reason))
				return true, nil
			})
			if err == nil && !some {
				con.say("nothing is set aside")
			}
			return some, err
		},
	})
	var all, discard, dryRun bool
	release := con.command(name, task{
		use: "release (--all | id...)", short: "Send what was set aside again", long: aboutRelease,
		args: cobra.ArbitraryArgs, variables: awsVariables(&setAsideConfig{}),
		do: func(ctx context.Context, ids []string) (bool, error) {
			if all == (len(ids) > 0) {
				return false, errors.New("want --all, or the ids of entries")
			}
			var found []string
			some, err := eachSetAside(ctx, func(r setaside.Releaser, e setaside.Entry) (bool, error) {
				if !all && !slices.Contains(ids, e.ID) {
					return false, nil
				}
				found = append(found, e.ID)
				text, stays, err := releaseOne(ctx, r, e, discard, dryRun)
				con.printer().Line(shownEntry(e, text), line(e, text))
				return stays, err
			})
			switch {
			case err != nil:
			case all && len(found) == 0:
				con.say("nothing is set aside")
			default:
				for _, id := range ids {
					if !slices.Contains(found, id) {
						con.say("%s is not set aside", id)
						some = true
					}
				}
			}
			return some, err
		},
	})
	release.Flags().BoolVar(&all, "all", false, "release every entry")
	release.Flags().BoolVar(&discard, "discard", false, "remove also what cannot be sent; the log keeps it")
	release.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would become of each entry")
	return con.operatorsGroup(name, "List and release what could not be moved on", failure(name), list, release)
}

// entry is an entry as it is printed.
type entry struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Operation string    `json:"operation"`
	Stream    string    `json:"stream,omitempty"`
	Version   string    `json:"version,omitempty"`
	EventID   string    `json:"eventId,omitempty"`
	Shard     string    `json:"shard,omitempty"`
	Sequence  string    `json:"sequence,omitempty"`
	Reason    string    `json:"reason"`
	Outcome   string    `json:"outcome,omitempty"` // of a release
}

func shownEntry(e setaside.Entry, outcome string) entry {
	return entry{e.ID, e.At, e.Operation, e.Stream, e.Version, e.EventID, e.Shard, e.Sequence, e.Reason, outcome}
}

// releaseOne releases an entry and says what became of it, or what would.
func releaseOne(ctx context.Context, r setaside.Releaser, e setaside.Entry, discard, dryRun bool) (text string, stays bool, err error) {
	release := r.Release
	if dryRun {
		release = r.Check
	}
	became, err := release(ctx, e)
	switch {
	case err != nil || became == setaside.Foreign:
	case dryRun && became == setaside.Gone:
		return "would be removed: " + string(became), false, nil
	case dryRun:
		return "would be " + string(became), false, nil
	default:
		return string(became), false, nil
	}
	text = string(became)
	if err != nil {
		text = err.Error()
	}
	switch {
	case !discard:
		return "stays: " + text, true, nil
	case dryRun:
		return "would be discarded: " + text, false, nil
	default:
		return "discarded: " + text, false, r.List.Remove(ctx, e)
	}
}

// line describes an entry, and what is to be said of it, in one line.
func line(e setaside.Entry, text string) string {
	where := fmt.Sprintf("%q version %s", e.Stream, e.Version)
	if e.Version == "" {
		where = fmt.Sprintf("key %q in %s at %s", e.Stream, e.Shard, e.Sequence)
	}
	return fmt.Sprintf("%s %s %s %s: %s", e.ID, e.At.Format(time.RFC3339), e.Operation, where, strings.Join(strings.Fields(text), " "))
}

// eachSetAside calls on with every entry, and reports whether some stay.
func eachSetAside(ctx context.Context, on func(setaside.Releaser, setaside.Entry) (stays bool, err error)) (some bool, err error) {
	releaser, err := newReleaser(ctx)
	if err != nil {
		return false, err
	}
	for e, err := range releaser.List.All(ctx) {
		if err != nil {
			return some, err
		}
		stays, err := on(releaser, e)
		if err != nil {
			return some, err
		}
		some = some || stays
	}
	return some, nil
}

func newReleaser(ctx context.Context) (r setaside.Releaser, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return r, err
	}
	db, k := dynamodb.NewFromConfig(target), kinesis.NewFromConfig(target)
	return setaside.Releaser{
		List:     setaside.NewList(db, n.SetAside, nil), // it keeps nothing
		EventLog: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: n.EventLog}}),
		Put: func(ctx context.Context, e hop.Event) error {
			_, err := k.PutRecord(ctx, &kinesis.PutRecordInput{
				StreamName: aws.String(n.Stream), PartitionKey: aws.String(e.Stream.String()), Data: e.Envelope,
			})
			return err
		},
	}, nil
}
