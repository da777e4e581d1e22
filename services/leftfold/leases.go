package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

const aboutLeases = `Print who reads which shard: the leases of the streamer on the log's stream, and
of the broker and of the archive's writer, where there is one, on Kinesis. A
lease without an owner is free. All records that arrived before READ TO are
handled.

Exit codes: 0 every open shard has an owner, 1 some have none or there are no
leases, 2 unknown.`

// consumers are those that read shards.
func consumers() []string { return []string{"streamer", "broker", app.ArchiveConsumer} }

// lease is a lease as it is printed.
type lease struct {
	Consumer   string     `json:"consumer"`
	Shard      string     `json:"shard"`
	State      string     `json:"state"`
	Owner      string     `json:"owner,omitempty"`
	ReadTo     *time.Time `json:"readTo,omitempty"`
	Checkpoint string     `json:"checkpoint,omitempty"`
	Parents    []string   `json:"parents,omitempty"`
}

// newLeases returns the command that lists the leases.
func newLeases(con *console) *cobra.Command {
	return con.alone(con.command("leases", task{
		use: "leases", short: "List who reads which shard", long: aboutLeases,
		variables: awsVariables(&topology.HopNames{}),
		do:        func(ctx context.Context, _ []string) (bool, error) { return con.leases(ctx) },
	}), failure("leases"))
}

func (con *console) leases(ctx context.Context) (unread bool, err error) {
	target, n, err := account(ctx)
	if err != nil {
		return false, err
	}
	stored := shards.NewDynamoDBLeases(dynamodb.NewFromConfig(target), n.Leases)
	table := con.printer(output.Column{Name: "CONSUMER", Width: 8}, output.Column{Name: "STATE", Width: 6},
		output.Column{Name: "OWNER", Width: 24}, output.Column{Name: "READ TO", Width: 24}, output.Column{Name: "SHARD"})
	leases := 0
	for _, consumer := range consumers() {
		found, err := stored.List(ctx, consumer)
		if err != nil {
			return false, err
		}
		slices.SortFunc(found, func(a, b shards.Lease) int {
			return cmp.Or(cmp.Compare(a.State, b.State), cmp.Compare(a.Shard, b.Shard))
		})
		leases += len(found)
		for _, l := range found {
			unread = unread || l.State == shards.StateOpen && l.Owner == ""
			shown := lease{
				Consumer: l.Consumer, Shard: l.Shard, State: string(l.State), Owner: l.Owner, Checkpoint: string(l.Checkpoint), Parents: l.Parents,
			}
			readTo := ""
			if !l.ReadAt.IsZero() {
				shown.ReadTo, readTo = &l.ReadAt, l.ReadAt.Format(time.RFC3339Nano)
			}
			table.Row(shown, l.Consumer, shown.State, l.Owner, readTo, l.Shard)
		}
	}
	if leases == 0 {
		con.say("no shard has a reader, and none had one: table %s has no leases", n.Leases)
	}
	return unread || leases == 0, nil
}
