package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
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

Exit codes: 0 all removed, 1 some stay, 2 trouble.`
)

// newSetAside returns the commands that list and release what was set aside.
func newSetAside(out io.Writer) *cobra.Command {
	failed := func(err error) error { return outcome{trouble, fmt.Sprintf("set-aside: %v", err)} }
	each := func(c *cobra.Command, on func(setaside.Releaser, setaside.Entry) (stays bool, err error)) error {
		some, err := eachSetAside(c.Context(), on)
		switch {
		case err != nil:
			return failed(err)
		case some:
			return outcome{code: differs}
		default:
			return nil
		}
	}
	list := &cobra.Command{
		Use: "list", Short: "List what was set aside", Long: aboutList,
		RunE: func(c *cobra.Command, args []string) error {
			if err := noArguments(c, args); err != nil {
				return failed(err)
			}
			return each(c, func(_ setaside.Releaser, e setaside.Entry) (bool, error) {
				_, _ = fmt.Fprintln(out, line(e, e.Reason))
				return true, nil
			})
		},
	}
	var all, discard bool
	release := &cobra.Command{
		Use: "release (--all | id...)", Short: "Send what was set aside again", Long: aboutRelease,
		RunE: func(c *cobra.Command, ids []string) error {
			if all == (len(ids) > 0) {
				return failed(errors.New("want --all, or the ids of entries"))
			}
			return each(c, func(r setaside.Releaser, e setaside.Entry) (bool, error) {
				if !all && !slices.Contains(ids, e.ID) {
					return false, nil
				}
				text, stays, err := releaseOne(c.Context(), r, e, discard)
				_, _ = fmt.Fprintln(out, line(e, text))
				return stays, err
			})
		},
	}
	release.Flags().BoolVar(&all, "all", false, "release every entry")
	release.Flags().BoolVar(&discard, "discard", false, "remove also what cannot be sent; the log keeps it")
	for _, c := range []*cobra.Command{list, release} {
		withVariables(c, slices.Concat(service.Variables(&setAsideConfig{}), service.AWSVariables())...)
	}
	return operatorsGroup("set-aside", "List and release what could not be moved on", failed, list, release)
}

// releaseOne releases an entry and says what became of it.
func releaseOne(ctx context.Context, r setaside.Releaser, e setaside.Entry, discard bool) (text string, stays bool, err error) {
	became, err := r.Release(ctx, e)
	if err == nil && became != setaside.Foreign {
		return string(became), false, nil
	}
	text = string(became)
	if err != nil {
		text = err.Error()
	}
	if !discard {
		return "stays: " + text, true, nil
	}
	return "discarded: " + text, false, r.List.Remove(ctx, e)
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
	var names setAsideConfig
	if err := service.LoadConfig(os.LookupEnv, &names); err != nil {
		return r, err
	}
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return r, err
	}
	db, k := dynamodb.NewFromConfig(target), kinesis.NewFromConfig(target)
	return setaside.Releaser{
		List:     setaside.NewList(db, names.SetAside, nil), // it keeps nothing
		EventLog: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: names.EventLog}}),
		Put: func(ctx context.Context, e hop.Event) error {
			_, err := k.PutRecord(ctx, &kinesis.PutRecordInput{
				StreamName: aws.String(names.Stream), PartitionKey: aws.String(e.Stream.String()), Data: e.Envelope,
			})
			return err
		},
	}, nil
}
