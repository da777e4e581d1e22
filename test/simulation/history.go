package simulation

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// history replays the log commit by commit and checks that no unique value ever has two owners, and that no rule of a role is broken.
func (j *judgement) history() {
	p := newPicture()
	owners, at := map[string]string{}, map[string]int{}
	refusals, since := j.refusals(), time.Time{}
	for _, commit := range j.monitor.commits {
		refusals.hold(p, since, commit.at)
		was := p.clone()
		since = commit.at
		for _, e := range commit.events {
			records := j.streams[e.stream]
			if at[e.stream] >= len(records) {
				continue // poisoned, or reported by log
			}
			rec := records[at[e.stream]]
			at[e.stream]++
			had := p.claims(rec.Stream)
			if !p.apply(j, rec) {
				continue // reported by the fold
			}
			before := map[string]bool{}
			for _, c := range had {
				before[c.Key()] = true
			}
			for _, c := range p.claims(rec.Stream) {
				if !before[c.Key()] && owners[c.Key()] != "" && owners[c.Key()] != e.stream {
					j.breach("§8.2", e.stream, "%s took %s with version %d while %s held it", e.stream, c.Key(), e.version, owners[c.Key()])
				}
				owners[c.Key()] = e.stream
				delete(before, c.Key())
			}
			for gone := range before {
				delete(owners, gone)
			}
		}
		if !j.plan.countsLost() {
			j.rules(was, p, commit)
		}
	}
	refusals.hold(p, since, time.Now())
	if !j.plan.countsLost() {
		refusals.judge(j)
	}
}

// reads checks that a read with min_version shows that version or a later one, and that it shows the state at its version.
func (j *judgement) reads() {
	for _, r := range j.ledger.reads {
		stream := r.stream.String()
		if at, damaged := j.monitor.damagedAt(j.readIn(r.stream), stream); damaged && at.Before(r.at) {
			continue // until it is repaired, and what was seen until then
		}
		if r.status == http.StatusPreconditionFailed {
			if r.least <= r.seen {
				j.breach("§8.5", stream, "version %d of %s is not there yet, but version %d was read before", r.least, stream, r.seen)
			}
			continue
		}
		if r.view.Version < r.seen {
			j.breach("§8.5", stream, "a read of %s shows version %d, an earlier one %d", stream, r.view.Version, r.seen)
		}
		if r.status == http.StatusNotFound {
			if r.least > 0 {
				j.breach("§8.5", stream, "%s is not found by a read of version %d", stream, r.least)
			}
			continue
		}
		if r.view.Version < r.least {
			j.breach("§8.5", stream, "a read of version %d of %s shows version %d", r.least, stream, r.view.Version)
		}
		if was, ok := j.viewAt(r.stream, r.view.Version); !ok || !reflect.DeepEqual(was, r.view) {
			j.breach("§8.3", stream, "a read of %s shows %+v, the log at that version %+v", stream, r.view, was)
		}
	}
}

// readIn returns the table in which clients read a stream.
func (w *world) readIn(stream eventsourcing.StreamID) string {
	if stream.Category == role.Category {
		return w.names.Roles
	}
	return w.names.Users
}

// shown checks that the API shows exactly what the log holds.
func (j *judgement) shown() {
	front := &http.Client{Transport: edge{j.world}}
	shown, err := oracle.Show(j.ctx, front, "http://leftfold.test")
	if err != nil {
		j.breach("§8.3", "", "read the API: %v", err)
		return
	}
	expected := j.fold.Expect()
	maps.DeleteFunc(shown.Users, func(id string, _ oracle.User) bool {
		_, known := expected.Users[id]
		return !known && j.ledger.cannotCarry(place{eventsourcing.StreamID{Category: user.Category, ID: id}.String(), "1"})
	}) // what cannot be carried can be folded: a rebuild shows it
	trail, err := j.fold.Trail(j.ctx, front, "http://leftfold.test")
	if err != nil {
		j.breach("§8.3", "", "read the trail: %v", err)
	}
	for _, d := range append(oracle.Differences(expected, shown), trail...) {
		j.breach("§8.3", "", "%s", d)
	}
}

// edge sends each read to the service that serves it.
type edge struct{ *world }

func (f edge) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, each := range f.of(topology.ServiceFor(r.Method, r.URL.Path)) {
		if each.current() != nil {
			return each.RoundTrip(r)
		}
	}
	return nil, errDown
}

// hops checks that Kinesis and all queues got every event, the first copies in the order of its stream. Without order are
// only records that the stream delivered in another order, or that were lost with a stream and published again.
func (j *judgement) hops() {
	if j.plan.republishes() {
		return
	}
	published := j.published()
	inOrder := !j.plan.has(localaws.FaultReorder)
	for _, stream := range slices.Sorted(maps.Keys(j.streams)) {
		first := map[uint64]int{}
		var order []uint64
		for i, v := range published[stream] {
			if _, seen := first[v]; !seen {
				first[v] = i
				order = append(order, v)
			}
		}
		for _, rec := range j.streams[stream] {
			if _, ok := first[uint64(rec.Version)]; !ok {
				j.breach("§8.3 publish", stream, "version %d of %s never reached Kinesis", rec.Version, stream)
			}
		}
		if inOrder && !slices.IsSorted(order) {
			j.breach("§6 publish order", stream, "the versions of %s reached Kinesis in the order %v", stream, order)
		}
		for _, s := range j.names.Subscriptions() {
			j.routed(s.Queue, stream, order)
		}
	}
}

// routed checks that a queue first took a stream's versions in the order of Kinesis.
func (j *judgement) routed(queue, stream string, order []uint64) {
	sent := j.monitor.sent[queue][stream]
	got := slices.SortedFunc(maps.Keys(sent), func(a, b uint64) int {
		if sent[a] == sent[b] {
			return cmp.Compare(a, b)
		}
		if later(sent[a], sent[b]) {
			return 1
		}
		return -1
	})
	for _, v := range order {
		if !slices.Contains(got, v) {
			j.breach("§8.3 route", stream, "version %d of %s was never delivered by %s", v, stream, queue)
			return
		}
	}
	if !slices.Equal(got, order) {
		j.breach("§6 route order", stream, "%s took the versions of %s in the order %v, Kinesis has %v", queue, stream, got, order)
	}
}

// published reads all of Kinesis, bypassing the services: versions by stream, in the order of their arrival.
func (j *judgement) published() map[string][]uint64 {
	k := kinesis.NewFromConfig(j.aws.Config())
	out := map[string][]uint64{}
	shards, err := k.ListShards(j.ctx, &kinesis.ListShardsInput{StreamName: &j.names.Stream})
	if err != nil {
		j.breach("harness", "", "list the shards: %v", err)
		return out
	}
	var records []types.Record
	for _, s := range shards.Shards {
		it, err := k.GetShardIterator(j.ctx, &kinesis.GetShardIteratorInput{
			StreamName: &j.names.Stream, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			j.breach("harness", "", "open shard %s: %v", aws.ToString(s.ShardId), err)
			return out
		}
		for next := it.ShardIterator; next != nil; {
			page, err := k.GetRecords(j.ctx, &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				j.breach("harness", "", "read shard %s: %v", aws.ToString(s.ShardId), err)
				return out
			}
			records = append(records, page.Records...)
			if next = page.NextShardIterator; len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	slices.SortStableFunc(records, func(a, b types.Record) int {
		if d := a.ApproximateArrivalTimestamp.Compare(*b.ApproximateArrivalTimestamp); d != 0 {
			return d
		}
		return bytes.Compare(fmt.Appendf(nil, "%60s", *a.SequenceNumber), fmt.Appendf(nil, "%60s", *b.SequenceNumber))
	})
	for _, r := range records {
		if e, err := envelope.Decode(r.Data); err == nil {
			out[e.Stream.String()] = append(out[e.Stream.String()], uint64(e.Version))
		}
	}
	return out
}
