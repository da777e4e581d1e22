package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an embedded AWS with a log of loans, and the receiver of the commands. It outlives any program.
type world struct {
	t      *testing.T
	server *localaws.Server
	db     *dynamodb.Client // sees no faults
	log    *dynamostore.Store
	loans  *eventsourcing.Repository[loan, LoanEvent]
	skew   time.Duration // of the programs' clocks, at most

	mu       sync.Mutex
	received []string // keys of commands, repetitions included
	refuse   func(key string) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, server: localaws.New(localaws.Options{}), refuse: func(string) error { return nil }}
	w.db = dynamodb.NewFromConfig(w.server.Config())
	require.NoError(t, provision(t.Context(), w.db))
	w.log = dynamostore.NewStore(w.db, dynamostore.Config{})
	var err error
	w.loans, err = eventsourcing.NewRepository(eventsourcing.Config[loan, LoanEvent]{
		Aggregate: eventsourcing.Aggregate[loan, LoanEvent]{
			Category: "library/loan", Codec: loanCodec(), Evolve: func(l loan, _ LoanEvent) loan { return l },
		},
		Store: w.log,
	})
	require.NoError(t, err)
	return w
}

// happens appends events to a loan's stream.
func (w *world) happens(id string, events ...LoanEvent) {
	w.t.Helper()
	for _, e := range events {
		_, err := w.loans.Do(w.t.Context(), id, record{e})
		require.NoError(w.t, err)
	}
}

func loanStream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "library/loan", ID: id}
}

func reminderStream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "library/reminder", ID: id}
}

func (w *world) records(s eventsourcing.StreamID) (records []eventsourcing.Record) {
	w.t.Helper()
	for r, err := range w.log.Read(w.t.Context(), s, 0) {
		require.NoError(w.t, err)
		records = append(records, r)
	}
	return records
}

// loseFences makes the table of the fences anew.
func (w *world) loseFences() {
	w.t.Helper()
	in := projection.CreateTableInput("reminder-fences")
	_, err := w.db.DeleteTable(w.t.Context(), &dynamodb.DeleteTableInput{TableName: in.TableName})
	require.NoError(w.t, err)
	_, err = w.db.CreateTable(w.t.Context(), in)
	require.NoError(w.t, err)
}

// receive is where commands arrive. The receiver takes each for granted only if the log has asked for it, and not before its time.
func (w *world) receive(r process.Request) (process.Answer, error) {
	var version eventsourcing.Version
	var number int
	_, err := fmt.Sscanf(strings.TrimPrefix(r.Key, r.Process.String()+"/"), "%d#%d", &version, &number)
	require.NoError(w.t, err, r.Key)
	asked := w.records(r.Process)
	if assert.GreaterOrEqual(w.t, len(asked), int(version), "command %s before its event", r.Key) {
		assert.Contains(w.t, asked[version-1].Name, "/commandsAsked", "command %s before its event", r.Key)
	}
	var due time.Time
	if r.Command.Name == "remind" {
		require.NoError(w.t, json.Unmarshal(r.Command.Data, &due))
		assert.False(w.t, time.Now().Add(w.skew).Before(due), "command %s before its time", r.Key)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refuse(r.Key); err != nil {
		return process.Answer{}, err
	}
	w.received = append(w.received, r.Key)
	return process.Answer{}, nil
}

// program is a processor: it hears events and fires timers. Any number of them run at once.
type program struct {
	w       *world
	manager *process.Manager[Reminder, ReminderEvent]
	hears   *projection.Projector
	poller  *timers.Poller
	end     *death
}

// newProgram returns a program whose clock is ahead by an offset, and which dies at the end.
func (w *world) newProgram(ahead time.Duration, end *death, client *dynamodb.Client) *program {
	w.t.Helper()
	now := func() time.Time { return time.Now().Add(ahead) }
	p := &program{w: w, end: end}
	table := timers.Table{DB: client}
	log := dynamostore.NewStore(client, dynamostore.Config{})
	var err error
	p.manager, err = process.NewManager(reminders(), process.Config{
		Log: log, Timers: table, Now: now,
		Send: func(_ context.Context, r process.Request) (answer process.Answer, err error) {
			err = end.strike(func() error { answer, err = w.receive(r); return err }) //nolint:contextcheck // so does the receiver
			return answer, err
		},
	})
	require.NoError(w.t, err)
	p.hears, err = projection.NewProjector(projection.Config{
		Name: "reminders", Table: "reminder-fences", DB: client, EventLog: log, Sources: p.manager.Sources(), Cache: 1 << 20, Now: now,
	})
	require.NoError(w.t, err)
	p.poller, err = timers.NewPoller(timers.Config{
		Table: table, Handle: timers.Handler(p.manager), Leases: shards.NewDynamoDBLeases(client, "leases"), Now: now,
	})
	require.NoError(w.t, err)
	return p
}

// mortal is a program that dies at the n-th call of AWS or of the receiver, before or after its effect.
func (w *world) mortal(n int, after bool) *program {
	cfg := w.server.Config()
	end := &death{next: w.server.Transport(), left: n, after: after}
	cfg.HTTPClient = &http.Client{Transport: end}
	return w.newProgram(0, end, dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }))
}

// processor is the access key of those who meet the faults.
const processor = "processor"

// immortal is a program that is never killed, though it meets the faults of the server.
func (w *world) immortal(ahead time.Duration) *program {
	cfg := w.server.Config()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(processor, "secret", "")
	return w.newProgram(ahead, &death{}, dynamodb.NewFromConfig(cfg))
}

// delivery is what a message queue delivers at once: the versions of events of one loan.
type delivery struct {
	loan     string
	versions []int
}

// deliver delivers until all is acknowledged, or the program is dead.
func (p *program) deliver(ctx context.Context, deliveries ...delivery) {
	for _, d := range deliveries {
		all := p.w.records(loanStream(d.loan)) //nolint:contextcheck // the world outlives the program
		var records []eventsourcing.Record
		for _, v := range d.versions {
			records = append(records, all[v-1])
		}
		for len(records) > 0 && ctx.Err() == nil && !p.end.dead() {
			done, err := p.hears.Apply(ctx, records)
			if records = records[done:]; err != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}
}

// run fires timers for a time, and hears meanwhile what is delivered.
func (p *program) run(d time.Duration, deliveries ...delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() { assert.NoError(p.w.t, p.poller.Run(ctx)) })
	work.Go(func() { p.deliver(ctx, deliveries...) })
	work.Wait()
}

// death ends a program: from one call on, no call is answered.
type death struct {
	next  http.RoundTripper
	after bool // that call takes effect

	mu   sync.Mutex
	left int // calls until then; 0: for ever
	over bool
}

var errDead = errors.New("the program is dead")

// RoundTrip implements http.RoundTripper.
func (d *death) RoundTrip(r *http.Request) (res *http.Response, err error) {
	err = d.strike(func() error { res, err = d.next.RoundTrip(r); return err }) //nolint:bodyclose // the caller's, or closed below
	if err != nil && res != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return res, err
}

func (d *death) strike(call func() error) error {
	d.mu.Lock()
	if d.over {
		d.mu.Unlock()
		return errDead
	}
	last := false
	if d.left > 0 {
		d.left--
		last = d.left == 0
	}
	d.over = last
	d.mu.Unlock()
	if last && !d.after {
		return errDead
	}
	err := call()
	if last {
		return errDead
	}
	return err
}

func (d *death) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.over
}

// judge proves of a loan's process, after all of its times: each event was heard once, each timer that was set and neither replaced nor
// cancelled fired once and not early, each command has one answer, and its receiver knows it. It returns the names of the process's
// events.
func (w *world) judge(id string) (names []string) {
	w.t.Helper()
	open, set := map[string]bool{}, map[string]time.Time{}
	counts := map[string]int{}
	for _, r := range w.records(reminderStream(id)) {
		_, name, _ := strings.Cut(r.Name, "library/reminder/")
		names = append(names, name)
		counts[name]++
		var e struct {
			Name     string
			Due      time.Time
			Commands []process.Command
			Version  eventsourcing.Version
			Number   int
		}
		require.NoError(w.t, json.Unmarshal(r.Data, &e))
		key := func(version eventsourcing.Version, number int) string {
			return fmt.Sprintf("%s/%d#%d", r.Stream, version, number)
		}
		switch name {
		case "timerSet":
			set[e.Name] = e.Due
		case "timerCancelled":
			assert.Contains(w.t, set, e.Name)
			delete(set, e.Name)
		case "timerFired":
			assert.Equal(w.t, set[e.Name], e.Due, "fired without being set, or twice")
			assert.False(w.t, r.RecordedAt.Add(w.skew).Before(e.Due), "fired early")
			delete(set, e.Name)
		case "commandsAsked":
			for i := range e.Commands {
				open[key(r.Version, i+1)] = true
			}
		case "commandAnswered":
			assert.Contains(w.t, open, key(e.Version, e.Number), "answered twice, or not asked")
			assert.Contains(w.t, w.received, key(e.Version, e.Number), "answered without its receiver")
			delete(open, key(e.Version, e.Number))
		}
	}
	assert.Empty(w.t, open, "%s: commands without an answer", id)
	assert.Empty(w.t, set, "%s: timers that did not fire", id)
	assert.Equal(w.t, counts["commandAnswered"], counts["reminded"], "%s: answers without their reactions", id)
	heard := map[string]int{}
	for _, r := range w.records(loanStream(id)) {
		heard[strings.TrimPrefix(r.Name, "library/loan/")]++
	}
	assert.Equal(w.t, heard["lent"]+heard["prolonged"], counts["expected"], "%s: events heard never or twice", id)
	assert.Equal(w.t, heard["returned"], counts["done"], "%s: events heard never or twice", id)
	return names
}

// waiting counts the timers that are stored.
func (w *world) waiting() (n int) {
	w.t.Helper()
	for _, err := range (timers.Table{DB: w.db}).All(w.t.Context()) {
		require.NoError(w.t, err)
		n++
	}
	return n
}
