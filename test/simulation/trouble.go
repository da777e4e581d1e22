package simulation

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// fate draws what happens to a call; see scheduler. Writes get more of it.
func (w *world) fate(c *call) (f fate) {
	if w.calm || c.life.replica.kind == managed {
		return f
	}
	r := w.scheduler.random
	weight := 1
	switch _, op, _ := strings.Cut(c.op, "."); op {
	case "PutItem", "UpdateItem", "TransactWriteItems", "PutRecords", "SendMessageBatch", "DeleteMessageBatch":
		if weight = 4; c.life.replica.kind == auditing {
			weight = 40 // it writes seldom
		}
	}
	switch n := r.IntN(4000); {
	case n < w.plan.Kill*weight:
		w.report.Kills++
		f.kill = true
	case n < (w.plan.Kill+w.plan.Pause)*weight:
		w.report.Pauses++
		f.pause = pauseLength(r)
	}
	f.after = r.IntN(2) == 0
	if w.plan.Silent > 0 && !f.kill && f.pause == 0 && r.IntN(1000) < w.plan.Silent {
		w.report.Silent++
		f.silent = true
	}
	return f
}

// pauseLength is sometimes much longer than a lease lasts.
func pauseLength(r *rand.Rand) time.Duration {
	if r.IntN(3) == 0 {
		return 30*time.Second + time.Duration(r.Int64N(int64(time.Minute)))
	}
	return time.Second + time.Duration(r.Int64N(int64(20*time.Second)))
}

// trouble starts the trouble. The function returned ends it: no more faults, and every replica runs again.
func (w *world) trouble() (end func()) {
	faults := slices.Clone(w.plan.Faults)
	for _, d := range w.plan.Denied {
		faults = append(faults, d.fault(time.Now()))
	}
	if err := w.aws.SetFaults(localaws.Faults{Seed: w.plan.Seed, Faults: faults}); err != nil {
		panic(err) // the plan is wrong
	}
	stop := make(chan struct{})
	var moving sync.WaitGroup
	if len(w.plan.Moves) > 0 {
		moving.Go(func() { w.move(stop) })
	}
	quiet := sync.OnceFunc(func() {
		close(stop)
		moving.Wait()
		w.quiet.Store(true)
		w.calmDown()
	})
	if w.plan.Until > 0 {
		time.AfterFunc(w.plan.Until, quiet)
	}
	if w.plan.Outage > 0 {
		moving.Go(func() { w.outage(stop) })
	}
	if w.plan.LogLost {
		moving.Go(func() { w.loseLog(stop) })
	}
	if w.plan.Upgrade != "" {
		moving.Go(func() { w.upgrade(stop) })
	}
	return quiet
}

func (w *world) calmDown() {
	done := make(chan struct{})
	w.scheduler.post(func() {
		w.calm = true
		w.mu.Lock()
		for _, l := range w.lives {
			l.pausedUntil = time.Time{}
			w.scheduler.resume(l)
		}
		w.mu.Unlock()
		close(done)
	})
	<-done
	for _, f := range w.aws.FaultReport().Faults {
		for _, n := range f.Strikes {
			w.report.Faults += int(n)
			if f.Kind == localaws.FaultDeny {
				w.report.Denied += int(n)
			}
		}
	}
	if err := w.aws.SetFaults(localaws.Faults{}); err != nil {
		panic(err) // cannot fail without faults
	}
	for _, r := range w.replicas {
		r.mu.Lock()
		r.held = false
		r.mu.Unlock()
		r.start()
	}
}

// sleep returns false if stop came first.
func sleep(d time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

// move makes random moves, one after the other.
func (w *world) move(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(w.plan.Seed, 3))
	targets := slices.DeleteFunc(slices.Clone(w.replicas), func(r *replica) bool { return r.kind == managed })
	for sleep(time.Duration(r.ExpFloat64()*float64(w.plan.Every)), stop) {
		w.ledger.awaitOpen()
		what := w.plan.Moves[r.IntN(len(w.plan.Moves))]
		target := targets[r.IntN(len(targets))]
		length := pauseLength(r)
		pick := r.Uint64()
		w.scheduler.post(func() { w.scheduler.trace.note("%s (%s)", what, target.name) })
		switch what {
		case moveKill:
			w.killNow(target)
		case moveKillAll:
			for _, each := range w.of(target.kind) {
				w.killNow(each)
			}
		case movePause:
			w.scheduler.post(func() {
				if l := target.current(); l != nil {
					l.pausedUntil = time.Now().Add(length)
					w.report.Pauses++
				}
			})
		case moveTerminate:
			if l := target.current(); l != nil {
				go l.terminate()
			}
		case moveSplit, moveMerge:
			w.reshard(what, pick)
		case moveMergeLate:
			if brokers := w.of(brokering); len(brokers) > 0 {
				w.killNow(brokers[pick%uint64(len(brokers))])
			}
			sleep(time.Duration(pick%3000)*time.Millisecond, stop) // records that come now stay in shards that the killed broker holds
			w.reshard(moveMerge, pick)
		case moveRotate:
			if err := w.aws.RotateShards(w.names.EventLog); err == nil {
				w.report.Reshards++
			}
		case movePoison:
			w.poison(pick)
		case moveUnacceptable:
			w.putUnacceptable(pick)
		case moveKinesisAnew, moveTableAnew:
			w.replaceSource(what, pick, stop)
		case moveDamage:
			w.damage(pick)
		case moveObjectLost:
			w.bucket.lose(pick)
		case moveFencesLost:
			w.loseFences()
		}
	}
}

func (w *world) killNow(r *replica) {
	w.scheduler.post(func() {
		r.mu.Lock()
		l := r.now // it may still be wiring
		r.mu.Unlock()
		if l != nil {
			w.report.Kills++
			l.kill("")
		}
	})
}

// reshard splits a shard of the Kinesis stream, or merges two neighbours.
func (w *world) reshard(what string, pick uint64) {
	k := kinesis.NewFromConfig(w.aws.Config(), func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
	out, err := k.ListShards(w.ctx, &kinesis.ListShardsInput{StreamName: &w.names.Stream})
	if err != nil {
		return
	}
	open := slices.DeleteFunc(out.Shards, func(s types.Shard) bool { return s.SequenceNumberRange.EndingSequenceNumber != nil })
	slices.SortFunc(open, func(a, b types.Shard) int {
		return hashKey(a.HashKeyRange.StartingHashKey).Cmp(hashKey(b.HashKeyRange.StartingHashKey))
	})
	if len(open) == 0 || (what == moveMerge && len(open) < 2) || (what == moveSplit && len(open) > 5) {
		return
	}
	if what == moveSplit {
		s := open[pick%uint64(len(open))]
		low, high := hashKey(s.HashKeyRange.StartingHashKey), hashKey(s.HashKeyRange.EndingHashKey)
		middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		_, err = k.SplitShard(w.ctx, &kinesis.SplitShardInput{
			StreamName: &w.names.Stream, ShardToSplit: s.ShardId, NewStartingHashKey: aws.String(middle.String()),
		})
	} else {
		i := pick % uint64(len(open)-1)
		_, err = k.MergeShards(w.ctx, &kinesis.MergeShardsInput{
			StreamName: &w.names.Stream, ShardToMerge: open[i].ShardId, AdjacentShardToMerge: open[i+1].ShardId,
		})
	}
	if err == nil {
		w.report.Reshards++
	}
}

// replaceSource deletes the Kinesis stream, or switches the table's stream off, and makes it anew after a while: on AWS no two
// begin in the same second.
func (w *world) replaceSource(what string, pick uint64, stop <-chan struct{}) {
	end, begin := w.kinesisAnew(int32(1 + pick%3))
	if what == moveTableAnew {
		end, begin = w.tableStreamAnew()
	}
	must(end())
	sleep(time.Duration(pick%uint64(20*time.Second)), stop)
	time.Sleep(time.Second)
	must(begin())
	w.report.Replaced++
}

func (w *world) kinesisAnew(shards int32) (end, begin func() error) {
	k, name := kinesis.NewFromConfig(w.aws.Config()), &w.names.Stream
	end = func() error {
		_, err := k.DeleteStream(w.ctx, &kinesis.DeleteStreamInput{StreamName: name, EnforceConsumerDeletion: aws.Bool(true)})
		return err
	}
	begin = func() error {
		_, err := k.CreateStream(w.ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: &shards})
		return err
	}
	return end, begin
}

func (w *world) tableStreamAnew() (end, begin func() error) {
	set := func(s *dbtypes.StreamSpecification) func() error {
		return func() error {
			_, err := w.db.UpdateTable(w.ctx, &dynamodb.UpdateTableInput{TableName: &w.names.EventLog, StreamSpecification: s})
			return err
		}
	}
	return set(&dbtypes.StreamSpecification{StreamEnabled: aws.Bool(false)}),
		set(&dbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: dbtypes.StreamViewTypeNewImage})
}

func must(err error) {
	if err != nil {
		panic(err) // the run proves nothing
	}
}

func hashKey(text *string) *big.Int {
	n, ok := new(big.Int).SetString(aws.ToString(text), 10)
	if !ok {
		return new(big.Int)
	}
	return n
}

// poison writes events that no projection can apply into a new stream.
func (w *world) poison(pick uint64) {
	stream := eventsourcing.StreamID{Category: user.Category, ID: clientID(pick, "poison")}
	var records []eventsourcing.Record
	for v := range eventsourcing.Version(1 + pick%3) {
		records = append(records, eventsourcing.Record{
			ID: uuid.Must(uuid.NewV7()).String(), Stream: stream, Version: v + 1,
			Name: "org/iam/user/teleported", Schema: 1, Data: json.RawMessage(`{"to":"Mars"}`),
			RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
		})
	}
	w.ledger.mu.Lock()
	w.ledger.poisoned[stream] = true
	w.ledger.mu.Unlock()
	err := w.log.Append(w.ctx, eventsourcing.Commit{Stream: stream, Records: records})
	if err == nil { // otherwise it may be in the log or not
		w.ledger.mu.Lock()
		w.ledger.toPark = append(w.ledger.toPark, stream.String())
		w.ledger.mu.Unlock()
	}
}

// outage takes one kind of service down while commands continue, then everything for as long as the plan says.
func (w *world) outage(stop <-chan struct{}) {
	if !sleep(15*time.Second, stop) {
		return
	}
	w.scheduler.post(func() { w.scheduler.trace.note("outage of %v", w.plan.Outage) })
	switch w.plan.Seed % 3 {
	case 0:
		w.hold(w.of(streaming))
	case 1:
		w.hold(w.of(brokering))
	default:
		for _, kind := range projectors() {
			w.hold(w.of(kind))
		}
	}
	over := sleep(10*time.Second, stop)
	w.ledger.stopClients()
	w.hold(w.replicas)
	if over {
		sleep(w.plan.Outage, stop)
	}
	w.report.Outages++
	w.release(w.replicas)
	w.ledger.resumeClients()
}

// hold kills processes, and starts none in their place until they are released.
func (w *world) hold(replicas []*replica) {
	for _, r := range replicas {
		r.mu.Lock()
		r.held = true
		r.mu.Unlock()
		w.killNow(r)
	}
}

func (w *world) release(replicas []*replica) {
	for i, r := range replicas {
		r.mu.Lock()
		r.held = false
		r.mu.Unlock()
		time.AfterFunc(time.Duration(i+1)*7654321, r.start)
	}
}
