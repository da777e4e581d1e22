package simulation

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// readingMutants are bugs in reading shards.
func readingMutants() []mutant {
	return []mutant{
		{
			Name: "one parent ignored", Of: brokering, Means: "a merged shard is read before both its parents are done",
			shows: moving(moveMerge),
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				if c.op != "Kinesis.ListShards" || !a.ok() {
					return a
				}
				body := object(a.body)
				for _, s := range list(body["Shards"]) {
					if fields(s)["AdjacentParentShardId"] != nil {
						delete(fields(s), "ParentShardId")
					}
				}
				return a.with(body)
			},
		},
		childAtLatest(),
		{
			Name: "reopened at LATEST", Means: "after a failure a shard is read from its tip, not from the checkpoint",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				if !strings.HasSuffix(c.op, "GetShardIterator") || !strings.HasPrefix(text(c.body["ShardIteratorType"]), "AFTER") {
					return next(c)
				}
				body := c.copied()
				body["ShardIteratorType"] = "LATEST"
				delete(body, "SequenceNumber")
				delete(body, "StartingSequenceNumber")
				return next(c.with(body))
			},
		},
		{
			Name: "last page dropped", Means: "records on a closed shard's last page are skipped",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				body := object(a.body)
				if !strings.HasSuffix(c.op, ".GetRecords") || !a.ok() || text(body["NextShardIterator"]) != "" {
					return a
				}
				body["Records"] = []any{}
				return a.with(body)
			},
		},
		{
			Name: "trimming not noticed", Means: "records trimmed unread are not published again from the log",
			shows: func(p *Plan) { p.Outage, p.LogLost = 26*time.Hour, false },
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				body := object(a.body)
				switch {
				case strings.HasSuffix(text(body["__type"]), "TrimmedDataAccessException") && strings.HasSuffix(c.op, "GetShardIterator"):
					oldest := c.copied()
					oldest["ShardIteratorType"] = "TRIM_HORIZON"
					delete(oldest, "SequenceNumber")
					return next(c.with(oldest))
				case c.op == "DynamoDB.Query" && text(c.body["TableName"]) == w.names.Leases && a.ok():
					for _, item := range list(body["Items"]) {
						delete(fields(item), "read_at")
					}
					return a.with(body)
				}
				return a
			},
		},
		keepsLostLease(),
		pageWaits(),
		checkpointAhead(),
	}
}

func childAtLatest() mutant {
	children := map[string]bool{}
	return mutant{
		Name: "child at LATEST", Means: "a new shard is read from its tip",
		call: func(_ *world, c *call, next func(*call) *answer) *answer {
			oldest := strings.HasSuffix(c.op, "GetShardIterator") && text(c.body["ShardIteratorType"]) == "TRIM_HORIZON"
			if oldest && children[text(c.body["ShardId"])] {
				body := c.copied()
				body["ShardIteratorType"] = "LATEST"
				return next(c.with(body))
			}
			a := next(c)
			body := object(a.body)
			for _, s := range slices.Concat(list(body["Shards"]), list(fields(body["StreamDescription"])["Shards"])) {
				if fields(s)["ParentShardId"] != nil {
					children[text(fields(s)["ShardId"])] = true
				}
			}
			return a
		},
	}
}

// pageWaits holds the next page of a shard back until all records of the one before are published.
func pageWaits() mutant {
	waiting := map[string]map[string]bool{} // events read and not published, by instance and shard
	return mutant{
		Name: "whole page waits", Of: streaming, Means: "a page is read only once all of the one before it is published",
		shows: func(p *Plan) { p.Busy = true },
		call: func(w *world, c *call, next func(*call) *answer) *answer {
			instance := c.life.instance + " "
			switch c.op {
			case "DynamoDBStreams.GetShardIterator":
				delete(waiting, instance+text(c.body["ShardId"]))
				return next(c)
			case "DynamoDBStreams.GetRecords":
				key := instance + w.trace.iterators[text(c.body["ShardIterator"])]
				if len(waiting[key]) > 0 {
					return success(map[string]any{"Records": []any{}, "NextShardIterator": c.body["ShardIterator"]})
				}
				a := next(c)
				waiting[key] = map[string]bool{}
				for _, r := range list(object(a.body)["Records"]) {
					image := fields(fields(r)["dynamodb"])["NewImage"]
					waiting[key][scalar(image, "stream")+"#"+scalar(image, "version")] = true
				}
				return a
			case "Kinesis.PutRecords":
				a := next(c)
				results := list(object(a.body)["Records"])
				for i, r := range list(c.body["Records"]) {
					if i >= len(results) || fields(results[i])["ErrorCode"] != nil {
						continue
					}
					event := published(r)
					for key, events := range waiting {
						if strings.HasPrefix(key, instance) {
							delete(events, text(event["stream"])+"#"+text(event["version"]))
						}
					}
				}
				return a
			default:
				return next(c)
			}
		},
	}
}

// checkpointAhead stores the position of what was read, not of what was acknowledged.
func checkpointAhead() mutant {
	read := map[string]string{} // sequence number by instance and shard
	return mutant{
		Name: "checkpoint ahead", Of: streaming, Means: "a position is stored that is ahead of the oldest unacknowledged record",
		call: func(w *world, c *call, next func(*call) *answer) *answer {
			switch {
			case c.op == "DynamoDBStreams.GetRecords":
				key := c.life.instance + " " + w.trace.iterators[text(c.body["ShardIterator"])]
				a := next(c)
				if records := list(object(a.body)["Records"]); len(records) > 0 {
					read[key] = text(fields(fields(records[len(records)-1])["dynamodb"])["SequenceNumber"])
				}
				return a
			case c.op == "DynamoDB.PutItem" && text(c.body["TableName"]) == w.names.Leases:
				last := read[c.life.instance+" "+scalar(c.body["Item"], "shard")]
				if last == "" || scalar(c.body["Item"], "owner") != c.life.instance {
					return next(c)
				}
				body, item := c.copied(), maps.Clone(fields(c.body["Item"]))
				item["checkpoint"] = map[string]any{"S": last}
				body["Item"] = item
				return next(c.with(body))
			default:
				return next(c)
			}
		},
	}
}

// published returns the event in an entry of PutRecords.
func published(entry any) map[string]any {
	raw, err := base64.StdEncoding.DecodeString(text(fields(entry)["Data"]))
	if err != nil {
		return nil
	}
	return object(raw)
}

func keepsLostLease() mutant {
	had := map[string]bool{}
	return mutant{
		Name: "lost lease kept", Means: "a refused renewal counts as a success",
		call: func(w *world, c *call, next func(*call) *answer) *answer {
			a := next(c)
			if c.op != "DynamoDB.PutItem" || text(c.body["TableName"]) != w.names.Leases {
				return a
			}
			key := c.life.instance + " " + scalar(c.body["Item"], "shard")
			if a.ok() {
				had[key] = scalar(c.body["Item"], "owner") == c.life.instance
				return a
			}
			if had[key] && strings.HasSuffix(text(object(a.body)["__type"]), "ConditionalCheckFailedException") {
				return success(map[string]any{})
			}
			return a
		},
	}
}

// relayMutants are bugs in sending by the streamer and the broker.
func relayMutants() []mutant {
	put := func(records []any) *answer {
		out := make([]any, len(records))
		for i := range out {
			out[i] = map[string]any{"SequenceNumber": "1", "ShardId": "shardId-000000000000"}
		}
		return success(map[string]any{"FailedRecordCount": 0, "Records": out})
	}
	taken := func(a *answer) bool { return a.ok() && text(object(a.body)["FailedRecordCount"]) == "0" }
	return []mutant{
		{
			Name: "checkpoint before acknowledgement", Of: streaming, Means: "records count as published before Kinesis has them",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op != "Kinesis.PutRecords" {
					return next(c)
				}
				sendUntil(w, c, next, 300*time.Millisecond, taken)
				return put(list(c.body["Records"]))
			},
		},
		{
			Name: "two records of one stream in flight", Of: streaming, Means: "a record is sent while the one before it may still fail",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op != "Kinesis.PutRecords" || w.scheduler.random.IntN(4) > 0 {
					return next(c)
				}
				sendUntil(w, c, next, 2*time.Second, taken)
				return put(list(c.body["Records"]))
			},
		},
		{
			Name: "partial failure of PutRecords ignored", Of: streaming, Means: "a record refused among others is not sent again",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				if c.op != "Kinesis.PutRecords" || !a.ok() {
					return a
				}
				return put(list(c.body["Records"]))
			},
		},
		{
			Name: "partial failure of SendMessageBatch ignored", Of: brokering, Means: "a message refused among others is not sent again",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				body := object(a.body)
				if c.op != "AmazonSQS.SendMessageBatch" || !a.ok() || len(list(body["Failed"])) == 0 {
					return a
				}
				successful := list(body["Successful"])
				for _, f := range list(body["Failed"]) {
					successful = append(successful, map[string]any{"Id": fields(f)["Id"], "MessageId": "m", "SequenceNumber": "1"})
				}
				return a.with(map[string]any{"Successful": successful})
			},
		},
	}
}
