package simulation

import (
	"maps"
	"strings"
)

// replacingMutants are bugs in noticing that a stream was replaced by another one.
func replacingMutants() []mutant {
	return []mutant{
		replacementNotNoticed(),
		doneLeaseKept(),
		{
			Name: "gap not published again", Means: "what was lost with a replaced stream is not published from the log",
			shows: moving(moveTableAnew, moveTableAnew),
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if item := leaseOf(w, c); scalar(item, "state") == "gap" {
					return next(c.withLease("state", "whole"))
				}
				return next(c)
			},
		},
	}
}

// leaseOf returns the lease that a call writes, if it writes one.
func leaseOf(w *world, c *call) any {
	if c.op != "DynamoDB.PutItem" || text(c.body["TableName"]) != w.names.Leases {
		return nil
	}
	return c.body["Item"]
}

// withLease returns the call with another text in the lease that it writes.
func (c *call) withLease(name, value string) *call {
	body, item := c.copied(), maps.Clone(fields(c.body["Item"]))
	item[name] = map[string]any{"S": value}
	body["Item"] = item
	return c.with(body)
}

func replacementNotNoticed() mutant {
	var created any
	return mutant{
		Name: "replacement not noticed", Of: brokering, Means: "a Kinesis stream made anew is taken for the one it replaced",
		call: func(_ *world, c *call, next func(*call) *answer) *answer {
			switch c.op {
			case "Kinesis.ListShards":
				body := c.copied()
				delete(body, "StreamCreationTimestamp")
				return next(c.with(body))
			case "Kinesis.DescribeStreamSummary":
				a := next(c)
				if !a.ok() {
					return a
				}
				body := object(a.body)
				summary := fields(body["StreamDescriptionSummary"])
				if created == nil {
					created = summary["StreamCreationTimestamp"]
				}
				summary["StreamCreationTimestamp"] = created
				return a.with(body)
			default:
				return next(c)
			}
		},
	}
}

func doneLeaseKept() mutant {
	done := map[string]bool{}
	return mutant{
		Name: "done lease kept", Of: brokering, Means: "a shard of a new stream is not read if one of that ID was read to its end",
		shows: moving(moveMerge, moveMergeLate),
		call: func(w *world, c *call, next func(*call) *answer) *answer {
			item := leaseOf(w, c)
			shard := scalar(item, "shard")
			if !strings.HasPrefix(shard, "shardId-") {
				return next(c)
			}
			if done[shard] {
				return next(c.withLease("state", "done"))
			}
			a := next(c)
			done[shard] = a.ok() && scalar(item, "state") == "done"
			return a
		},
	}
}
