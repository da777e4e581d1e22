package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// monitor observes every call as it takes effect and records what the promises are about. It knows nothing of the services.
type monitor struct {
	world     *world
	transport http.RoundTripper

	polls map[string][]*call // long polls by queue

	commits  []commit
	stored   map[string]map[eventsourcing.Version]string // event ID by stream and version
	fences   map[string]eventsourcing.Version            // by table and stream
	reached  map[string][]reached                        // how they came to be so
	applied  map[string][]eventsourcing.Version          // in the order in which rows show them, by table and stream
	lastAt   time.Time                                   // of them
	own      map[string]map[string]any                   // the own row, by table and stream
	former   map[string]map[string]any                   // what that was at the version before
	damages  []*damage
	parked   map[string]bool   // by table and stream
	aside    map[place]bool    // what was set aside
	owners   map[string]string // of a shard's lease, by consumer and shard
	counters map[string]int64
	strays   map[string]int                          // reads of shards by processes that do not own them, in calm
	sent     map[string]map[string]map[uint64]string // sequence number by queue, group and version
	tokens   map[string]bool                         // of transactions that took effect
	took     bool                                    // the last write seen took effect
	breaches []Breach
	calmAt   time.Time
}

// commit is one atomic append, as it took effect.
type commit struct {
	at     time.Time
	events []storedEvent
}

type storedEvent struct {
	stream  string
	version eventsourcing.Version
	id      string
}

func newMonitor(w *world) *monitor {
	return &monitor{
		world: w, transport: w.aws.Transport(), polls: map[string][]*call{},
		stored: map[string]map[eventsourcing.Version]string{}, fences: map[string]eventsourcing.Version{},
		reached: map[string][]reached{}, applied: map[string][]eventsourcing.Version{},
		own: map[string]map[string]any{}, former: map[string]map[string]any{},
		parked: map[string]bool{}, aside: map[place]bool{}, owners: map[string]string{},
		tokens: map[string]bool{}, counters: map[string]int64{}, strays: map[string]int{},
		sent: map[string]map[string]map[uint64]string{},
	}
}

func (v *monitor) breach(promise, stream, format string, args ...any) {
	if len(v.breaches) < 50 {
		v.breaches = append(v.breaches, Breach{Promise: promise, Stream: stream, Text: fmt.Sprintf(format, args...)})
	}
}

// do carries out a call, through the planted bug if there is one. It returns nil for a long poll that continues.
func (w *world) do(c *call) *answer {
	v := w.monitor
	if c.op == "AmazonSQS.ReceiveMessage" {
		return v.receive(c)
	}
	a := w.mutant.do(w, c, v.carry)
	if s := w.scheduler; strings.HasPrefix(c.op, "S3.") && w.storageFault() {
		s.in(time.Second+time.Duration(s.random.Int64N(int64(20*time.Second))), func() { s.finish(c, a, "slow") })
		return nil
	}
	switch c.op {
	case "AmazonSQS.SendMessageBatch", "AmazonSQS.ChangeMessageVisibilityBatch", "AmazonSQS.DeleteMessageBatch":
		v.wakePolls(queueOf(c))
	}
	return a
}

// carry sends a call to localaws and records its effect.
func (v *monitor) carry(c *call) *answer {
	if strings.HasPrefix(c.op, "S3.") {
		return v.store(c)
	}
	a := v.send(c.op, c.head, c.url, c.raw)
	v.world.trace.learn(c, a)
	v.observe(c, a)
	return a
}

// store sends a call to the bucket, which may fail, or whose answer may be lost.
func (v *monitor) store(c *call) *answer {
	if v.world.storageFault() {
		return failure(http.StatusServiceUnavailable, "SlowDown")
	}
	a := v.world.bucket.do(c)
	if v.world.storageFault() {
		return &answer{err: errors.New("the answer is lost")}
	}
	return a
}

// storageFault draws whether a call of the bucket meets a fault.
func (w *world) storageFault() bool {
	strikes := !w.calm && w.plan.StorageFaults > 0 && w.scheduler.random.IntN(1000) < w.plan.StorageFaults
	if strikes {
		w.report.Faults++
	}
	return strikes
}

func (v *monitor) send(op string, head http.Header, url string, raw []byte) *answer {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return &answer{err: err}
	}
	req.Header = head
	res, err := v.transport.RoundTrip(req)
	if err != nil {
		return &answer{err: fmt.Errorf("%s: %w", op, err)}
	}
	defer func() { _ = res.Body.Close() }() // in memory
	body, err := io.ReadAll(res.Body)
	return &answer{status: res.StatusCode, header: res.Header, body: body, err: err}
}

// receive polls a queue once; while it is empty, the long poll is repeated at the next message, or after a few seconds.
func (v *monitor) receive(c *call) *answer {
	if c.until.IsZero() {
		wait, _ := strconv.Atoi(text(c.body["WaitTimeSeconds"]))
		c.until = time.Now().Add(time.Duration(wait) * time.Second)
		c.raw = bytes.Replace(c.raw, fmt.Appendf(nil, `"WaitTimeSeconds":%d`, wait), []byte(`"WaitTimeSeconds":0`), 1)
	}
	a := v.world.mutant.do(v.world, c, v.carry)
	s := v.world.scheduler
	left := time.Until(c.until)
	if a.err != nil || a.status != http.StatusOK || len(list(object(a.body)["Messages"])) > 0 || left <= 0 {
		return a
	}
	queue := queueOf(c)
	v.polls[queue] = append(v.polls[queue], c)
	again := min(left, time.Second+time.Duration(s.random.Int64N(int64(3*time.Second))))
	v.schedulePoll(c, again)
	return nil
}

// schedulePoll schedules the next attempt of a long poll, replacing the one scheduled before.
func (v *monitor) schedulePoll(c *call, in time.Duration) {
	c.attempt++
	planned := c.attempt
	v.world.scheduler.in(in, func() {
		if c.attempt == planned {
			queue := queueOf(c)
			v.polls[queue] = slices.DeleteFunc(v.polls[queue], func(each *call) bool { return each == c })
			v.world.scheduler.deliver(c)
		}
	})
}

// wakePolls lets the long polls of a queue try again soon.
func (v *monitor) wakePolls(queue string) {
	s := v.world.scheduler
	for _, c := range slices.Clone(v.polls[queue]) {
		v.schedulePoll(c, s.latency())
	}
}

// observe records what a call did. If the answer was lost, or is a 5xx, the call may have had an effect: then observe reads
// the tables.
func (v *monitor) observe(c *call, a *answer) {
	switch c.op {
	case "DynamoDB.PutItem", "DynamoDB.TransactWriteItems", "DynamoDB.DeleteItem":
		if token := text(c.body["ClientRequestToken"]); token != "" {
			if v.tokens[token] {
				return // DynamoDB answers a repeated transaction again, without effect
			}
			defer func() { v.tokens[token] = v.tokens[token] || v.took }()
		}
		v.took = false
		writes := writesOf(c)
		if a.err == nil && a.status >= 400 && a.status < 500 {
			return
		}
		if a.err != nil || a.status != http.StatusOK {
			if !slices.ContainsFunc(v.telling(writes), func(w write) bool { return v.isStored(c, w) }) {
				return
			}
		}
		v.took = true
		v.recordWrites(c, writes, a.err == nil && a.status == http.StatusOK)
	case "DynamoDB.UpdateItem":
		v.recordApplied(c, a)
	case "Kinesis.GetRecords", "DynamoDBStreams.GetRecords":
		v.checkReader(c)
	case "AmazonSQS.ReceiveMessage":
		if a.err == nil && a.status == http.StatusOK {
			v.recordMessages(c, a)
		}
	}
}

// write is one put or delete.
type write struct {
	table string
	item  map[string]any // nil: deleted
	key   map[string]any
}

func writesOf(c *call) (out []write) {
	switch c.op {
	case "DynamoDB.PutItem":
		out = append(out, write{table: text(c.body["TableName"]), item: fields(c.body["Item"])})
	case "DynamoDB.DeleteItem":
		out = append(out, write{table: text(c.body["TableName"]), key: fields(c.body["Key"])})
	default:
		for _, each := range list(c.body["TransactItems"]) {
			switch kind, table, what := tableOf(fields(each)); kind {
			case "Put":
				out = append(out, write{table: table, item: fields(what["Item"])})
			case "Delete":
				out = append(out, write{table: table, key: fields(what["Key"])})
			}
		}
	}
	return out
}

// telling returns the writes that show whether a call had an effect. Events and own rows do; another row may have been like this before.
func (v *monitor) telling(writes []write) []write {
	if logged := slices.DeleteFunc(slices.Clone(writes), func(w write) bool { return w.table != v.world.names.EventLog }); len(logged) > 0 {
		return logged
	}
	own := slices.DeleteFunc(slices.Clone(writes), func(w write) bool { return !isOwn(scalar(w.item, "row")) })
	if len(own) > 0 {
		return own
	}
	return writes
}

// isOwn reports whether the name of a row is that of an aggregate's own row, which moves with its fence.
func isOwn(row string) bool { return row != "" && !strings.Contains(row, "#") }

// isStored reports whether a put's item is what is stored.
func (v *monitor) isStored(c *call, w write) bool {
	if scalar(w.item, "version")+scalar(w.item, "counter") == "" {
		return false // it cannot be told from the item before it
	}
	names := map[string][]string{
		v.world.names.EventLog: {"stream", "version"}, v.world.names.Leases: {"consumer", "shard"},
	}[w.table]
	if slices.Contains(v.world.models(), w.table) {
		names = []string{"id", "row"}
	}
	if names == nil {
		return false
	}
	stored := v.get(c, w.table, names, w.item)
	for _, name := range []string{"id", "version", "event_id", "counter", "owner"} {
		if scalar(w.item, name) != scalar(stored, name) {
			return false
		}
	}
	return len(fields(stored)) > 0
}

// get reads an item by an operation that no service uses and no fault affects.
func (v *monitor) get(c *call, table string, names []string, item any) any {
	key := map[string]any{}
	for _, name := range names {
		key[name] = fields(item)[name]
	}
	head := c.head.Clone()
	head.Set("X-Amz-Target", "DynamoDB_20120810.TransactGetItems")
	raw := encode(map[string]any{"TransactItems": []any{map[string]any{"Get": map[string]any{"TableName": table, "Key": key}}}})
	a := v.send("DynamoDB.TransactGetItems", head, c.url, raw)
	if a.err != nil || a.status != http.StatusOK {
		return nil
	}
	responses := list(object(a.body)["Responses"])
	if len(responses) == 0 {
		return nil
	}
	return fields(responses[0])["Item"]
}

// recordWrites records what is stored now. Unless sure, an earlier attempt may have written it.
func (v *monitor) recordWrites(c *call, writes []write, sure bool) {
	now := time.Now()
	var made commit
	for _, w := range writes {
		switch w.table {
		case v.world.names.EventLog:
			e := storedEvent{stream: scalar(w.item, "stream"), version: number(scalar(w.item, "version")), id: scalar(w.item, "id")}
			if c.life.replica.kind == restoring {
				continue // whether it is what was there is compared afterwards
			}
			if v.stored[e.stream] == nil {
				v.stored[e.stream] = map[eventsourcing.Version]string{}
			}
			if old, repeated := v.stored[e.stream][e.version]; repeated {
				if old != e.id {
					v.breach("§8.1", e.stream, "version %d of %s was overwritten", e.version, e.stream)
				}
				continue
			}
			v.stored[e.stream][e.version] = e.id
			made.events = append(made.events, e)
		case v.world.names.Leases:
			v.checkLease(c, w)
		case v.world.names.SetAside:
			v.aside[place{scalar(w.item, "stream"), scalar(w.item, "version")}] = true
		default:
			if slices.Contains(v.world.models(), w.table) {
				v.checkProjection(c, w, sure)
				v.written(w)
			}
		}
	}
	if len(made.events) > 0 {
		made.at = now
		v.commits = append(v.commits, made)
	}
}

// checkProjection checks that a projection applies each stream in order: its fence only rises. What repairs a row may leave it at
// its version.
func (v *monitor) checkProjection(c *call, w write, sure bool) {
	row := scalar(w.item, "row")
	if strings.HasPrefix(row, "parked#") {
		v.parked[w.table+" "+scalar(w.item, "stream")] = true
		return
	}
	if !isOwn(row) {
		return // or it was deleted
	}
	if scalar(w.item, "event_id") == "" {
		return
	}
	stream, version := scalar(w.item, "stream"), number(scalar(w.item, "version"))
	key := w.table + " " + stream
	before := v.fences[key]
	if repair := c.life.replica.kind == auditing; version == before && (repair || !sure) {
		return
	}
	if v.world.ledger.cannotCarry(place{stream, "1"}) {
		return // only a repair brings it there
	}
	if version <= before {
		v.breach("§8.3", stream, "%s went from version %d of %s to %d", w.table, before, stream, version)
	}
	if id := v.stored[stream][version]; id != scalar(w.item, "event_id") {
		v.breach("§8.3", stream, "%s shows version %d of %s by event %s, the log has %q",
			w.table, version, stream, scalar(w.item, "event_id"), id)
	}
	v.own[key], v.former[key] = w.item, v.own[key]
	v.reach(key, version)
	for next := min(before+1, version); next <= version; next++ { // one write may fold several events
		v.applied[key] = append(v.applied[key], next)
	}
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // of JSON that was decoded before
	}
	return raw
}

func number(text string) eventsourcing.Version {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return eventsourcing.Version(n)
}
