package simulation

import (
	"strconv"
	"time"

	"github.com/leftfold/leftfold/services/leftfold/app"
)

// checkLease checks that every write of a lease follows the one before.
func (v *monitor) checkLease(c *call, w write) {
	if w.item == nil {
		delete(v.owners, scalar(w.key, "consumer")+" "+scalar(w.key, "shard"))
		delete(v.counters, scalar(w.key, "consumer")+" "+scalar(w.key, "shard"))
		return
	}
	key := scalar(w.item, "consumer") + " " + scalar(w.item, "shard")
	counter, _ := strconv.ParseInt(scalar(w.item, "counter"), 10, 64)
	if before := v.counters[key]; counter != before+1 && counter != before {
		v.breach("§5 leases", "", "%s wrote the lease %s with counter %d over counter %d", c.life.instance, key, counter, before)
	}
	v.counters[key], v.owners[key] = counter, scalar(w.item, "owner")
}

// calmBefore is how long after the trouble a reader may read on before it notices that it lost a lease.
const calmBefore = 12 * time.Second

// consumers are the names under which processes read shards.
var consumers = map[string]string{streaming: "streamer", brokering: "broker", archiving: app.ArchiveConsumer} // read only

// checkReader checks, in calm, that only the owner of a lease reads its shard.
func (v *monitor) checkReader(c *call) {
	if v.calmAt.IsZero() || time.Since(v.calmAt) < calmBefore || c.life.dead() {
		return
	}
	key := consumers[c.life.replica.kind] + " " + v.world.trace.iterators[text(c.body["ShardIterator"])]
	if owner := v.owners[key]; owner != "" && owner != c.life.instance {
		if v.strays[key+c.life.instance]++; v.strays[key+c.life.instance] == 5 {
			v.breach("§5 leases", "", "%s continues to read %s, whose lease %s holds", c.life.instance, key, owner)
		}
	}
}

// recordMessages records in which order a queue took the messages of a group.
func (v *monitor) recordMessages(c *call, a *answer) {
	queue := queueOf(c)
	if v.sent[queue] == nil {
		v.sent[queue] = map[string]map[uint64]string{}
	}
	for _, m := range list(object(a.body)["Messages"]) {
		attributes := fields(fields(m)["Attributes"])
		group, sequence := text(attributes["MessageGroupId"]), text(attributes["SequenceNumber"])
		version, _ := strconv.ParseUint(text(object([]byte(text(fields(m)["Body"])))["version"]), 10, 64)
		if v.sent[queue][group] == nil {
			v.sent[queue][group] = map[uint64]string{}
		}
		if before, seen := v.sent[queue][group][version]; !seen || later(before, sequence) {
			v.sent[queue][group][version] = sequence
		}
	}
}

// later compares sequence numbers, which are decimal numbers of any length.
func later(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}
