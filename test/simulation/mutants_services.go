package simulation

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// tableOf returns the kind and the table of a write in a transaction.
func tableOf(item map[string]any) (kind, table string, of map[string]any) {
	for kind, what := range item {
		return kind, text(fields(what)["TableName"]), fields(what)
	}
	return "", "", nil
}

// inASecondWrite carries out a transaction without the items that drop selects, and those later, if the process lives then.
func inASecondWrite(
	w *world, c *call, next func(*call) *answer, later time.Duration, drop func(item map[string]any) bool,
) *answer {
	a, dropped := transact(c, next, drop)
	if len(dropped) == 0 || !a.ok() {
		return a
	}
	second := c.copied()
	second["TransactItems"] = dropped
	delete(second, "ClientRequestToken")
	sendUntil(w, c.with(second), next, later, func(*answer) bool { return true })
	return a
}

// writingMutants are bugs of command-api.
func writingMutants() []mutant {
	return []mutant{
		{
			Name: "claims in a second write", Of: commandAPI, Means: "unique values are reserved after the event is in the log",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				return inASecondWrite(w, c, next, 50*time.Millisecond, func(item map[string]any) bool {
					_, table, _ := tableOf(item)
					return table == w.names.SetValidations
				})
			},
		},
		{
			Name: "claims never released", Of: commandAPI, Means: "a changed e-mail or name stays reserved",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a, _ := transact(c, next, func(item map[string]any) bool {
					kind, table, _ := tableOf(item)
					return kind == "Delete" && table == w.names.SetValidations
				})
				return a
			},
		},
		{
			Name: "scope not moved by one of the commands", Of: commandAPI, Means: "what takes from a counter is not counted",
			shows: ruled,
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a, _ := transact(c, next, func(item map[string]any) bool {
					_, table, update := tableOf(item)
					added := encode(update["ExpressionAttributeValues"])
					return table == w.names.Scopes && strings.Contains(string(added), `"-1"`)
				})
				return a
			},
		},
		{
			Name: "scope not checked at the version read", Of: commandAPI, Means: "two commands decide on the same picture of a scope",
			shows: ruled,
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op != "DynamoDB.TransactWriteItems" {
					return next(c)
				}
				body := object(c.raw)
				for _, item := range list(body["TransactItems"]) {
					if kind, table, update := tableOf(fields(item)); kind == "Update" && table == w.names.Scopes {
						delete(update, "ConditionExpression")
						delete(fields(update["ExpressionAttributeValues"]), ":read")
					}
				}
				a, _ := transact(c.with(body), next, func(item map[string]any) bool {
					kind, table, _ := tableOf(item)
					return kind == "ConditionCheck" && table == w.names.Scopes
				})
				return a
			},
		},
		{
			Name: "scope read after the stream", Of: commandAPI,
			shows: ruled,
			Means: "a refusal mixes the stream as it was before the scopes were read with these",
			call:  staleAfterScopes(),
		},
		{
			Name: "no guard", Of: commandAPI, Means: "a role may be disabled while it is granted",
			shows: func(p *Plan) { p.Hot, p.Ruled, p.Clients, p.Commands, p.Pause = true, false, 10, 60, 20 },
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				a, _ := transact(c, next, func(item map[string]any) bool {
					kind, _, check := tableOf(item)
					return kind == "ConditionCheck" && strings.Contains(scalar(check["Key"], "stream"), "/role/")
				})
				return a
			},
		},
		{
			Name: "own commit not recognised", Of: commandAPI, Means: "a write whose answer was lost counts as another writer's",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				if a.err != nil || a.status != http.StatusBadRequest {
					return a
				}
				body := object(a.body)
				items := []any{body["Item"]}
				for _, r := range list(body["CancellationReasons"]) {
					items = append(items, fields(r)["Item"])
				}
				for _, item := range items {
					if id := fields(fields(item)["id"]); id != nil {
						id["S"] = "of another"
					}
				}
				return a.with(body)
			},
		},
		{
			Name: "key not remembered", Of: commandAPI, Means: "a command that comes again under its key is carried out again",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op == "DynamoDB.PutItem" && text(c.body["TableName"]) == w.names.Commands {
					return success(map[string]any{})
				}
				a, _ := transact(c, next, func(item map[string]any) bool {
					_, table, _ := tableOf(item)
					return table == w.names.Commands
				})
				return a
			},
		},
		{
			Name: "refused before its key is looked up", Of: commandAPI,
			Means: "a command that comes again is decided by the state that it has led to itself, If-Match included",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op == "DynamoDB.GetItem" && text(c.body["TableName"]) == w.names.Commands {
					return success(map[string]any{})
				}
				return next(c)
			},
		},
		{
			Name: "answer before the write", Of: commandAPI, Means: "202 is answered before the event is written",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op != "DynamoDB.PutItem" || text(c.body["TableName"]) != w.names.EventLog {
					return next(c)
				}
				sendUntil(w, c, next, 200*time.Millisecond, func(*answer) bool { return true })
				return success(map[string]any{})
			},
		},
	}
}

// staleAfterScopes answers the read that confirms a refusal, of a stream that was read before scopes were, without what was written
// since.
func staleAfterScopes() func(w *world, c *call, next func(*call) *answer) *answer {
	type stream struct {
		seen  eventsourcing.Version
		stale bool // scopes were read since
	}
	processes := map[string]map[string]*stream{}
	return func(w *world, c *call, next func(*call) *answer) *answer {
		read := processes[c.life.instance]
		if read == nil {
			read = map[string]*stream{}
			processes[c.life.instance] = read
		}
		a := next(c)
		switch {
		case c.op == "DynamoDB.TransactWriteItems" || c.op == "DynamoDB.PutItem":
			for _, each := range writesOf(c) {
				delete(read, scalar(each.item, "stream"))
			}
		case strings.Contains(string(c.raw), `"`+w.names.Scopes+`"`):
			for _, s := range read {
				s.stale = true
			}
		case c.op == "DynamoDB.Query" && text(c.body["TableName"]) == w.names.EventLog && a.ok():
			body := object(a.body)
			values := c.body["ExpressionAttributeValues"]
			name, items := scalar(values, ":stream"), list(body["Items"])
			s := read[name]
			if s != nil && s.stale {
				delete(read, name)
				delete(body, "LastEvaluatedKey")
				least := max(s.seen, number(scalar(values, ":after"))+1) // what the reader knows already
				body["Items"] = slices.DeleteFunc(items, func(it any) bool { return number(scalar(it, "version")) > least })
				return a.with(body)
			}
			read[name] = &stream{}
			if len(items) > 0 {
				read[name].seen = number(scalar(items[len(items)-1], "version"))
			}
		}
		return a
	}
}

// isModel reports whether a table is a read model, of generation 1.
func isModel(w *world, table string) bool { return slices.Contains(w.models(), table) }

// unconditional drops the condition of a write.
func unconditional(write map[string]any) {
	delete(write, "ConditionExpression")
	delete(write, "ExpressionAttributeNames")
	delete(write, "ExpressionAttributeValues")
}

// unfenced carries out a write to a read model without its conditions.
func unfenced(w *world, c *call, next func(*call) *answer) *answer {
	body := object(c.raw)
	switch {
	case c.op == "DynamoDB.PutItem" && isModel(w, text(body["TableName"])):
		unconditional(body)
	case c.op == "DynamoDB.TransactWriteItems":
		for _, item := range list(body["TransactItems"]) {
			if kind, table, write := tableOf(fields(item)); kind != "ConditionCheck" && isModel(w, table) {
				unconditional(write)
			}
		}
	default:
		return next(c)
	}
	return next(c.with(body))
}

// projectingMutants are bugs of the projectors.
func projectingMutants() []mutant {
	return []mutant{
		{Name: "no fence", Means: "projections are written whatever version they are at", call: unfenced},
		skipsGaps(),
		trustsKeptRows(),
		{
			Name: "message deleted before it is handled", Means: "a queue's messages are acknowledged when they are received",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				messages := list(object(a.body)["Messages"])
				if c.op != "AmazonSQS.ReceiveMessage" || !a.ok() || len(messages) == 0 {
					return a
				}
				var entries []any
				for i, m := range messages {
					entries = append(entries, map[string]any{"Id": string(rune('0' + i)), "ReceiptHandle": fields(m)["ReceiptHandle"]})
				}
				head := c.head.Clone()
				head.Set("X-Amz-Target", "AmazonSQS.DeleteMessageBatch")
				body := encode(map[string]any{"QueueUrl": c.body["QueueUrl"], "Entries": entries})
				w.monitor.send("AmazonSQS.DeleteMessageBatch", head, c.url, body)
				return a
			},
		},
		{
			Name: "parks nothing", Means: "an event that cannot be applied is tried for ever",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				for _, item := range list(c.body["TransactItems"]) {
					if _, _, put := tableOf(fields(item)); strings.HasPrefix(scalar(put["Item"], "row"), "parked#") {
						body := encode(map[string]any{"__type": "InternalServerError"})
						return &answer{status: http.StatusInternalServerError, header: http.Header{}, body: body}
					}
				}
				return next(c)
			},
		},
		{
			Name: "entry keyed by arrival", Of: projectorAudit, Means: "a line of the trail has the time at which its event was applied",
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				body := object(c.raw)
				for _, item := range list(body["TransactItems"]) {
					_, _, put := tableOf(fields(item))
					of := fields(put["Item"])
					if _, rest, ok := strings.Cut(scalar(of, "row"), "#"); ok && strings.HasPrefix(scalar(of, "id"), "actor#") {
						of["row"] = map[string]any{"S": fmt.Sprintf("%015d#%s", time.Now().UnixMilli(), rest)}
					}
				}
				return next(c.with(body))
			},
		},
		{
			Name: "entries in a second write", Of: projectorAudit, Means: "lines of the trail are written after the fence has moved",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a, entries := transact(c, next, func(item map[string]any) bool {
					kind, _, put := tableOf(item)
					return kind == "Put" && strings.Contains(scalar(put["Item"], "row"), "#")
				})
				if len(entries) == 0 || !a.ok() {
					return a
				}
				second := c.copied()
				second["TransactItems"] = entries
				delete(second, "ClientRequestToken")
				sendUntil(w, c.with(second), next, 50*time.Millisecond, func(*answer) bool { return true })
				return a
			},
		},
		{
			Name: "min_version ignored", Means: "a read ignores the version that was asked for",
			url: func(path string) string { before, _, _ := strings.Cut(path, "?"); return before },
		},
	}
}

// trustsKeptRows writes a row without its condition, unless the process has read the row since it wrote it last.
func trustsKeptRows() mutant {
	read := map[string]bool{} // by process and row
	row := func(c *call, key any) string {
		return c.life.instance + " " + scalar(key, "id") + " " + scalar(key, "row")
	}
	return mutant{
		Name: "kept row trusted", Means: "a row that is kept in memory is taken for the stored one",
		call: func(w *world, c *call, next func(*call) *answer) *answer {
			if c.op == "DynamoDB.GetItem" && isModel(w, text(c.body["TableName"])) {
				read[row(c, c.body["Key"])] = true
				return next(c)
			}
			body := object(c.raw)
			own := body // of a PutItem
			if items := list(body["TransactItems"]); len(items) > 0 {
				_, _, own = tableOf(fields(items[0]))
			}
			if item := own["Item"]; item != nil && isModel(w, text(own["TableName"])) {
				if !read[row(c, item)] {
					unconditional(own)
					return next(c.with(body))
				}
				delete(read, row(c, item))
			}
			return next(c)
		},
	}
}

// skipsGaps gives a projector the fence that fits its next event, and lets it write.
func skipsGaps() mutant {
	next := map[string]uint64{} // version received, by process and stream
	return mutant{
		Name: "gap skipped", Means: "an event that arrives too early is applied",
		call: func(w *world, c *call, carry func(*call) *answer) *answer {
			switch {
			case c.op == "AmazonSQS.ReceiveMessage":
				a := carry(c)
				for _, m := range list(object(a.body)["Messages"]) {
					e := object([]byte(text(fields(m)["Body"])))
					stream := text(e["stream"])
					next[c.life.instance+stream[strings.LastIndex(stream, "/")+1:]] = uint64(number(text(e["version"])))
				}
				return a
			case c.op == "DynamoDB.GetItem" && isModel(w, text(c.body["TableName"])):
				a := carry(c)
				body := object(a.body)
				version := fields(fields(body["Item"])["version"])
				want := next[c.life.instance+scalar(c.body["Key"], "id")]
				if a.ok() && version != nil && uint64(number(text(version["N"])))+1 < want {
					version["N"] = decimal(want - 1)
					return a.with(body)
				}
				return a
			case strings.HasSuffix(c.op, "WriteItems") || c.op == "DynamoDB.PutItem":
				return unfenced(w, c, carry)
			}
			return carry(c)
		},
	}
}
