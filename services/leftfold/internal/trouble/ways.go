package trouble

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/services/console/faults"
)

// way is a way to break a system: by faults, which last, or by something that happens once.
type way struct {
	faults.Way

	// faults strike the calls of all services, or of the one whose access key they name.
	faults []localaws.Fault
	once   func(context.Context, *System) error
}

// killed is the way to kill a service.
func killed(service, watch string) way {
	return way{
		Way: faults.Way{
			Name: "kill-" + service, Title: "Kill " + service,
			Does:  service + " ends in the middle of its work: it stores no position and releases no lease. Another one starts a moment later.",
			Watch: watch,
		},
		once: func(_ context.Context, s *System) error {
			s.Kill[service]()
			return nil
		},
	}
}

// ways are all ways to break a system.
func ways() []way {
	const all = "*"
	return []way{
		killed("streamer", "events wait in the log until the leases of the dead one expire, after ten seconds. Then they are read from its last "+
			"position on, and what comes twice is a duplicate, which changes nothing."),
		killed("broker", "events wait in Kinesis until the leases of the dead one expire, and reach the queues then."),
		{
			Way: faults.Way{
				Name: "reorder", Title: "Reorder the stream",
				Does: "The table's stream delivers the events of different items in another order than they were written, and some of them again. " +
					"Each event is an item.",
				Watch: "a read model that gets version 5 before 4 reads what it lacks from the log: the journey of an event says healed.",
			},
			faults: []localaws.Fault{
				{Kind: localaws.FaultReorder, Operation: all, Probability: 1}, {Kind: localaws.FaultDuplicate, Operation: all, Probability: .3},
			},
		},
		{
			Way: faults.Way{
				Name: "split", Title: "Split the shards",
				Does:  "The widest shard of the Kinesis stream is split in two, and each shard of the table's stream is closed for a new one.",
				Watch: "new shards are read once those before them are done, so that no event overtakes an older one of its user. They stay.",
			},
			once: func(ctx context.Context, s *System) error { return s.split(ctx) },
		},
		{
			Way: faults.Way{
				Name: "throttle", Title: "Throttle AWS", Does: "Half of all calls of AWS are refused, since there are too many.",
				Watch: "commands take longer, batches are sent again, and lag grows. Nothing is refused for good.",
			},
			faults: []localaws.Fault{{Kind: localaws.FaultThrottle, Operation: all, Probability: .5}},
		},
		{
			Way: faults.Way{
				Name: "answers", Title: "Drop answers",
				Does:  "A tenth of all calls takes effect, and its answer is lost. So nobody knows whether an event was appended.",
				Watch: "command-api finds its own event in the log, so that no command is carried out twice. Read models see duplicates.",
			},
			faults: []localaws.Fault{{Kind: localaws.FaultLoseAnswer, Operation: all, Probability: .1}},
		},
		{
			Way: faults.Way{
				Name: "slow", Title: "Slow calls", Does: "Half of all calls take a tenth of a second to half a second longer.",
				Watch: "every hop of an event takes longer. What does not wait for it goes on.",
			},
			faults: []localaws.Fault{{
				Kind: localaws.FaultLatency, Operation: all, Probability: .5,
				Min: localaws.Duration(100 * time.Millisecond), Max: localaws.Duration(500 * time.Millisecond),
			}},
		},
		{
			Way: faults.Way{
				Name: "cut-off", Title: "Cut projector-user off",
				Does:  "Every call of projector-user fails, as if its network were gone. Others notice nothing.",
				Watch: "the users read model stands still, and so do its pages, while the others go on. Then it catches up from its queue.",
			},
			faults: []localaws.Fault{{Kind: localaws.FaultFail, Operation: all, AccessKey: "projector-user", Probability: 1}},
		},
	}
}

// mostShards are those that the Kinesis stream is split into.
const mostShards = 8

// split splits the widest shard of the Kinesis stream, and replaces those of the table's stream.
func (s *System) split(ctx context.Context) error {
	k := kinesis.NewFromConfig(s.AWS.Config())
	out, err := k.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &s.Names.Stream})
	if err != nil {
		return err
	}
	open := slices.DeleteFunc(out.Shards, func(s types.Shard) bool { return s.SequenceNumberRange.EndingSequenceNumber != nil })
	if len(open) == 0 {
		return errors.New("no shard is open")
	}
	if len(open) >= mostShards {
		return fmt.Errorf("there are %d shards already, which is enough for one process", len(open))
	}
	widest := slices.MaxFunc(open, func(a, b types.Shard) int { return width(a).Cmp(width(b)) })
	middle := new(big.Int).Add(hashKey(widest.HashKeyRange.StartingHashKey), new(big.Int).Rsh(width(widest), 1))
	_, err = k.SplitShard(ctx, &kinesis.SplitShardInput{
		StreamName: &s.Names.Stream, ShardToSplit: widest.ShardId, NewStartingHashKey: aws.String(middle.String()),
	})
	if err != nil {
		return err
	}
	return s.AWS.RotateShards(s.Names.EventLog)
}

// width is how many hash keys a shard has.
func width(s types.Shard) *big.Int {
	return new(big.Int).Sub(hashKey(s.HashKeyRange.EndingHashKey), hashKey(s.HashKeyRange.StartingHashKey))
}

func hashKey(text *string) *big.Int {
	n, _ := new(big.Int).SetString(aws.ToString(text), 10) // AWS has no other
	return n
}
