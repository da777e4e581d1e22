package simulation

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// Names of the services.
const (
	commandAPI     = "command-api"
	streaming      = "streamer"
	brokering      = "broker"
	projectorUser  = "projector-user"
	projectorRole  = "projector-role"
	projectorAudit = "projector-audit"
	processing     = topology.Processor
)

// Services returns the services that are played: those that the clients use.
func Services() []string {
	return []string{commandAPI, streaming, brokering, projectorUser, projectorRole, projectorAudit, processing}
}

// projectors returns those of them that keep a read model.
func projectors() (kinds []string) {
	for _, p := range (topology.Names{}).Projections() {
		kinds = append(kinds, p.Service)
	}
	return kinds
}

// world is one run: a fleet, an AWS, clients and the trouble.
type world struct {
	plan      Plan
	config    app.Config
	names     topology.Names
	aws       *localaws.Server
	db        *dynamodb.Client // bypassing the services and the scheduler
	log       *dynamostore.Store
	scheduler *scheduler
	trace     *trace
	monitor   *monitor
	ledger    *ledger
	bucket    *bucket
	loss      atomic.Pointer[loss] // nil: the log was not lost
	mutant    *mutant
	variant   *variant // nil: none is counted
	logs      io.Writer

	ctx      context.Context // of the run
	end      context.CancelFunc
	replicas []*replica
	quiet    atomic.Bool // no more trouble: operators take their last turn
	upgraded atomic.Bool // or there is no upgrade: the clients may end
	calm     bool        // no more faults; used by the scheduler's goroutine only

	mu     sync.Mutex
	lives  []*life
	done   map[string]bool // the operators that have taken their last turn
	random *rand.Rand      // for restarts; used by the scheduler's goroutine only
	report Report
}

// Run runs one plan to its end and judges it. Call it from a test that runs nothing in parallel, since it seeds the process's
// source of random bytes.
func Run(t *testing.T, p Plan) *Report {
	t.Helper()
	began := time.Now()
	var report Report
	synctest.Test(t, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, p.Seed)
		w, err := newWorld(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		report = *w.play()
	})
	report.Took = time.Since(began)
	return &report
}

func newWorld(ctx context.Context, p Plan) (*world, error) {
	w := &world{
		plan: p, logs: io.Discard, mutant: p.mutant(), variant: p.variant(), done: map[string]bool{}, report: Report{Seed: p.Seed, Plan: p},
	}
	if p.Logs != nil {
		w.logs = p.Logs
	}
	env := map[string]string{
		"ENVIRONMENT": auth.Local, "AUTH_MODE": "none", "RATE_LIMIT": "0",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "text", "STREAM_POLL": "1s", "STOP_TIMEOUT": "15s", "AUDIT_INTERVAL": "0s",
		// States come from the cache, from snapshots or from the log only.
		"SNAPSHOT_EVERY": []string{"0", "1", "3", "100"}[p.Seed%4], "COMMAND_CACHE": []string{"0", "1", "10000"}[p.Seed%3],
		"PROJECTION_CACHE": strconv.Itoa(p.Cache),
		"RETIREMENT_RATE":  "0", // goroutines would take turns in any order
	}
	if err := service.LoadConfig(service.Fixed(env), &w.config); err != nil {
		return nil, err
	}
	w.names = w.config.Names
	w.upgraded.Store(p.Upgrade == "")
	w.aws = localaws.New(localaws.Options{Seed: p.Seed, Now: time.Now})
	if err := provision.Run(ctx, w.aws.Config(), provision.Config{Names: w.names, StreamShards: int32(1 + p.Seed%3)}); err != nil {
		return nil, err
	}
	begin := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC) // the waits above differ from run to run
	time.Sleep(time.Until(begin))
	own := func(longest time.Duration) time.Duration { return w.jitter("world", longest) }
	w.db = dynamodb.NewFromConfig(repeatable(w.aws.Config(), own))
	w.log = dynamostore.NewStore(w.db, dynamostore.Config{Now: time.Now, Backoff: retry.Backoff{Jitter: own}, Tables: dynamostore.Tables{
		Events: w.names.EventLog, Claims: w.names.SetValidations, Scopes: w.names.Scopes, Commands: w.names.Commands,
	}})
	w.ctx, w.end = context.WithCancel(ctx)
	w.trace = newTrace()
	w.random = rand.New(rand.NewPCG(p.Seed, 1))
	w.scheduler = newScheduler(rand.New(rand.NewPCG(p.Seed, 2)), w.trace)
	w.ledger, w.monitor, w.bucket = newLedger(), newMonitor(w), &bucket{}
	w.scheduler.fate, w.scheduler.do = w.fate, w.do
	w.addReplicas()
	return w, nil
}

// addReplicas creates the fleet.
func (w *world) addReplicas() {
	for _, s := range w.config.All() {
		n := 2
		switch {
		case !slices.Contains(Services(), s.Name) || w.variant.replaced(s.Name):
			n = 0
		case s.Name == commandAPI:
			n += int(w.plan.Seed % 2)
		}
		w.addReplica(s.Name, n, s.New)
	}
	w.addVariant()
	if w.plan.Rebuilds {
		w.addOperator(operating, w.ofEach("rebuild", w.operatorOf))
	}
	if w.plan.Audits {
		w.addOperator(auditing, w.ofEach("audit", w.auditorOf))
	}
	if w.plan.Archive {
		w.addReplica(archiving, 2, w.newArchiver)
		w.addOperator(restoring, map[string]task{"restore": w.restorerOf})
		w.addOperator(verifying, map[string]task{"comparison of the archive": w.verifierOf})
	}
}

func (w *world) addReplica(kind string, n int, newApp func(context.Context, service.Platform) (service.App, error)) {
	for i := range n {
		w.replicas = append(w.replicas, &replica{world: w, kind: kind, name: fmt.Sprintf("%s-%d", kind, i+1), newApp: newApp})
	}
}

func (w *world) closing() bool { return w.ctx.Err() != nil }

func (w *world) of(kind string) []*replica {
	return slices.DeleteFunc(slices.Clone(w.replicas), func(r *replica) bool { return r.kind != kind })
}

// models returns the tables of the read models.
func (w *world) models() (tables []string) {
	for _, p := range w.names.Projections() {
		tables = append(tables, p.Table)
	}
	return tables
}

// addLife adds a life.
func (w *world) addLife(l *life) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives = append(w.lives, l)
}

// crash ends a life whose process exited with an error.
func (w *world) crash(l *life, err error) {
	if w.closing() || l.dead() {
		return
	}
	w.scheduler.post(func() { l.kill(fmt.Sprintf("crashed: %v", err)) })
}

// scheduleRestart starts the next life after a while, as an orchestrator does.
func (w *world) scheduleRestart(l *life) {
	if w.closing() {
		return
	}
	pause := 500*time.Millisecond + l.jitter(15*time.Second)
	time.AfterFunc(pause, l.replica.start)
}

// play runs the plan: trouble, then calm, then judgement.
func (w *world) play() *Report {
	go w.scheduler.run()
	started := time.Now()
	for i, r := range w.replicas {
		time.AfterFunc(time.Duration(i+1)*1234567*time.Nanosecond, r.start)
	}
	time.Sleep(2 * time.Second)
	if w.plan.Busy {
		w.append(newBusyNeighbour(w.plan.Seed, "busy"), busyInTrouble)
	}
	trouble := w.trouble()
	w.clients()
	trouble()
	w.settle()
	if w.plan.Busy {
		w.fairness()
		w.settle()
	}
	w.judge()
	w.report.Virtual = time.Since(started)
	w.count()
	w.close()
	return &w.report
}

// close ends every process and waits for all of its goroutines.
func (w *world) close() {
	w.end()
	w.mu.Lock()
	lives := slices.Clone(w.lives)
	w.mu.Unlock()
	for _, l := range lives {
		l.kill("")
	}
	for _, l := range lives {
		<-l.ended
	}
	w.scheduler.stop()
	w.aws.Close()
}
