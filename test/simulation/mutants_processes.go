package simulation

import (
	"slices"
	"strings"
	"time"
)

// processMutants are bugs of the processor.
func processMutants() []mutant {
	return []mutant{
		{
			Name: "timer lost with a crash", Of: processing, Means: "a timer is put into its table after the process's events are in the log",
			shows: killing,
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				return inASecondWrite(w, c, next, 10*time.Second, func(item map[string]any) bool {
					kind, table, _ := tableOf(item)
					return kind == "Put" && table == w.names.Timers
				})
			},
		},
		{
			Name: "command sent before its event", Of: processing, Means: "a command is sent while the event that asks for it is being written",
			shows: killing,
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if !writesEvent(w, c, "/commandsAsked") {
					return next(c)
				}
				sendUntil(w, c, next, time.Second, func(*answer) bool { return true })
				return success(map[string]any{})
			},
		},
		{
			Name: "answer not recorded", Of: processing, Means: "the answer to a command is acted upon and not written",
			shows: killing,
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if writesEvent(w, c, "/commandAnswered") {
					return success(map[string]any{})
				}
				return next(c)
			},
		},
		{
			Name: "lost fence begins anew", Of: processing, Means: "the processes' streams are not asked what was heard before a fence was lost",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				if c.op != "DynamoDB.Query" || text(c.body["TableName"]) != w.names.EventLog || !a.ok() {
					return a
				}
				body := object(a.body)
				for _, event := range list(body["Items"]) {
					if ofProcess(scalar(event, "stream")) {
						delete(fields(fields(fields(event)["metadata"])["M"]), "causation")
					}
				}
				return a.with(body)
			},
		},
	}
}

// writesEvent reports whether a call writes such an event into the log.
func writesEvent(w *world, c *call, name string) bool {
	return slices.ContainsFunc(writesOf(c), func(each write) bool {
		return each.table == w.names.EventLog && strings.HasSuffix(scalar(each.item, "name"), name)
	})
}
