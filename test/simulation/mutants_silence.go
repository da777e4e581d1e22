package simulation

import (
	"strings"
	"time"
)

// silenceMutants are bugs that show when a call gets no answer.
func silenceMutants() []mutant {
	return []mutant{
		{
			Name: "call without a deadline", Means: "a process waits for an answer for ever",
			shows:   silent,
			endless: func(*call) bool { return true },
		},
		keepsLeaseWithoutProgress(),
	}
}

// keepsLeaseWithoutProgress lets a reader wait for a shard's records for ever, and renews the shard's lease when it gives it up.
func keepsLeaseWithoutProgress() mutant {
	m := mutant{
		Name: "lease kept without progress", Of: brokering, Means: "a reader whose poll hangs goes on renewing its lease",
		endless: func(c *call) bool { return strings.HasSuffix(c.op, ".GetRecords") },
	}
	var renew func(w *world, c *call, next func(*call) *answer, counter uint64)
	renew = func(w *world, c *call, next func(*call) *answer, counter uint64) {
		body := object(c.raw)
		item := fields(body["Item"])
		item["owner"] = map[string]any{"S": c.life.instance}
		item["counter"] = map[string]any{"N": decimal(counter)}
		fields(body["ExpressionAttributeValues"])[":counter"] = map[string]any{"N": decimal(counter - 1)}
		a := next(c.with(body))
		w.scheduler.in(3*time.Second, func() {
			if a.ok() && !c.life.dead() && !w.closing() {
				renew(w, c, next, counter+1)
			}
		})
	}
	m.call = func(w *world, c *call, next func(*call) *answer) *answer {
		release := c.op == "DynamoDB.PutItem" && text(c.body["TableName"]) == w.names.Leases && scalar(c.body["Item"], "owner") == "" &&
			scalar(c.body["Item"], "state") == "open"
		if !release || !c.life.hangs.Load() {
			return next(c)
		}
		w.scheduler.trace.note("%s keeps the lease of %s", c.life.instance, scalar(c.body["Item"], "shard"))
		renew(w, c, next, uint64(number(scalar(c.body["Item"], "counter"))))
		return success(map[string]any{})
	}
	return m
}
