package e2e_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestReport measures the pipeline and prints tables, with the promised numbers beside the measured ones; make bench runs it.
// Other tests check the promises.
func TestReport(t *testing.T) {
	if os.Getenv("LEFTFOLD_REPORT") == "" {
		t.Skip("LEFTFOLD_REPORT is not set: it takes minutes")
	}
	var r report
	t.Run("calls", r.calls)
	t.Run("parked", r.parked)
	t.Run("fleet", r.fleet)
	t.Run("memory", r.memory)
	for _, table := range r.tables {
		_, err := fmt.Fprintln(t.Output(), "\n"+table.String())
		require.NoError(t, err)
	}
}

type report struct{ tables []table }

func (r *report) table(header ...string) { r.tables = append(r.tables, table{header}) }

func (r *report) row(cells ...string) {
	last := &r.tables[len(r.tables)-1]
	*last = append(*last, cells)
}

// table is rows of cells; the first row is the header.
type table [][]string

// String aligns the first column left and the others right.
func (t table) String() string {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out strings.Builder
	for _, row := range t {
		for i, cell := range row {
			if i == 0 {
				fmt.Fprintf(&out, "%-*s", widths[i], cell)
			} else {
				fmt.Fprintf(&out, "   %*s", widths[i], cell)
			}
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func number(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 20:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.0f", x)
	}
}

func milliseconds(d time.Duration) string { return d.Round(time.Millisecond).String() }

// calls counts the AWS calls of a backlog, on virtual time, and of 10,000 commands sent as fast as possible.
func (r *report) calls(t *testing.T) {
	var backlog, flatOut bill
	t.Run("backlog", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { backlog = billOfBacklog(t) })
	})
	t.Run("flat-out", func(t *testing.T) {
		sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"})
		before := billOf(t, sys)
		newTraffic(sys.Client, 500, 20).send(t.Context(), t, benchClients, 10_000)
		fold, err := sys.Audit(t.Context())
		require.NoError(t, err)
		flatOut = billOf(t, sys).since(before, float64(fold.Events)/1_000)
	})
	r.table("AWS calls for 1,000 events, each projected twice", "floor", "ceiling", "backlog of 20,000", "flat-out commands")
	part := func(ceiling string) {
		for i, p := range purposes() {
			if p.ceiling == ceiling {
				r.row(fmt.Sprintf("  %s: %s", p.service, p.what), "", "", number(backlog[i]), number(flatOut[i]))
			}
		}
	}
	for _, c := range ceilings() {
		r.row(c.of, number(c.floor), number(c.most), number(backlog.sum(c.of)), number(flatOut.sum(c.of)))
		part(c.of)
	}
	r.row("other", "", "", number(backlog.sum("")), number(flatOut.sum("")))
	part("")
}

// parked compares the same traffic with and without parked aggregates.
func (r *report) parked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r.table("from commit to visible, at 100 events a second", "none parked", "every sixth aggregate parked", "ratio")
		for _, d := range delays(t) {
			mean := d.parked.Mean().Seconds() / d.before.Mean().Seconds()
			r.row(d.projector+": mean of the others", milliseconds(d.before.Mean()), milliseconds(d.parked.Mean()), fmt.Sprintf("%.2f", mean))
			before, parked := d.before.Quantile(0.99), d.parked.Quantile(0.99)
			ratio := fmt.Sprintf("%.2f", parked.Seconds()/before.Seconds())
			r.row(d.projector+": p99, to a third", milliseconds(before), milliseconds(parked), ratio)
		}
	})
}

// fleet lets two streamers and two brokers share the shards, as processes, and stops and kills one. A take-over waits for the
// default lease duration, 10 s.
func (r *report) fleet(t *testing.T) {
	fleet := systemtest.NewFleet(t, programs(t), map[string]string{"ENVIRONMENT": "local", "AUTH_MODE": "none"})
	pairs := fleet.Add(2, "streamer", "broker")
	var services []string
	for _, p := range fleet.Names.Projections() {
		services = append(services, p.Service)
	}
	projectors := fleet.Add(1, services...)
	table := shards.NewDynamoDBLeases(dynamodb.NewFromConfig(fleet.Config), fleet.Names.Leases)
	share := func() {
		t.Helper()
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for _, consumer := range []string{"streamer", "broker"} {
			for !isEven(ownersOf(t, table, consumer), 2, 2) {
				<-ticker.C
			}
		}
	}
	r.table("a reader goes, until events written then are visible", "promised", "streamer", "broker")
	events := 0
	measure := func(name, promised string, leave func(*processes.Process)) {
		var took [2]time.Duration
		for i := range took {
			share()
			stop := r.trickle(t, fleet, &events)
			began := time.Now()
			leave(pairs[i])
			ids := make([]string, 64) // some in every shard
			w := newWriter(fleet.Inspector)
			for i := range ids {
				ids[i] = newID()
				require.NoError(t, w.Append(t.Context(), ids[i], 0, 1))
				events++
			}
			settled(t, fleet.Inspector, 1, ids...)
			took[i] = time.Since(began)
			stop()
			require.NoError(t, pairs[i].Restart(t.Context()))
		}
		r.row(name, promised, milliseconds(took[0]), milliseconds(took[1]))
	}
	measure("by SIGKILL: taken over", "15s", func(p *processes.Process) { require.NoError(t, p.Kill()) })
	measure("by SIGTERM: handed on", "1s", func(p *processes.Process) { require.NoError(t, p.Stop()) })
	r.table(fmt.Sprintf("of %d events meanwhile", events), "fenced duplicates", "healed gaps")
	for _, p := range projectors {
		m, err := p.Metrics(t.Context())
		require.NoError(t, err)
		r.row(p.Service, number(m["leftfold_projection_duplicates_total"]), number(m["leftfold_projection_healed_total"]))
	}
}

// trickle writes 200 events a second until stop, which waits for the end and counts them.
func (r *report) trickle(t *testing.T, fleet *systemtest.Fleet, events *int) (stop func()) {
	t.Helper()
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = newID()
	}
	enough := make(chan struct{})
	var writing errgroup.Group
	written := 0
	writing.Go(func() error {
		w := newWriter(fleet.Inspector)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-enough:
				return nil
			case <-tick.C:
			}
			if err := w.Append(t.Context(), ids[written%len(ids)], eventsourcing.Version(written/len(ids)), 1); err != nil {
				return err
			}
			written++
		}
	})
	return func() {
		close(enough)
		require.NoError(t, writing.Wait())
		*events += written
	}
}

// memory processes backlogs, ten times as large the second time, with a process for each service and one for the AWS.
func (r *report) memory(t *testing.T) {
	fleet := systemtest.NewFleet(t, programs(t), map[string]string{"ENVIRONMENT": "local", "AUTH_MODE": "none"})
	services := slices.DeleteFunc(processes.ServiceNames(), func(name string) bool { return name == topology.CommandAPI })
	replicas := fleet.Add(1, services...)
	header, rows := []string{"memory while a backlog is worked off, MB: heap at most (resident at most)"}, make([][]string, len(services)+2)
	for i, p := range replicas {
		rows[i] = []string{p.Service}
	}
	rows[len(services)], rows[len(services)+1] = []string{"the embedded AWS, which keeps all"}, []string{"events a second"}
	for _, events := range []int{20_000, 200_000} {
		for _, p := range replicas {
			require.NoError(t, p.Stop())
		}
		backlog(t, fleet.Inspector, events/10, 10)
		began := time.Now()
		for _, p := range replicas {
			require.NoError(t, p.Start(t.Context()))
		}
		heaps := watch(t, replicas, events)
		header = append(header, fmt.Sprintf("%d events", events))
		for i, p := range replicas {
			rows[i] = append(rows[i], fmt.Sprintf("%.0f (%s)", heaps[i]/(1<<20), resident(p.PeakMemory())))
		}
		rows[len(services)] = append(rows[len(services)], resident(fleet.AWSPeakMemory()))
		rows[len(services)+1] = append(rows[len(services)+1], number(float64(events)/time.Since(began).Seconds()))
	}
	r.table(header...)
	for _, row := range rows {
		r.row(row...)
	}
}

func resident(bytes int64, err error) string {
	if err != nil {
		return "?"
	}
	return fmt.Sprint(bytes >> 20)
}

// watch returns the largest heap of each replica until the projectors, which are the last two, have deleted so many messages.
func watch(t *testing.T, replicas []*processes.Process, messages int) (heaps []float64) {
	t.Helper()
	heaps = make([]float64, len(replicas))
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for done := 0; done < 2; <-ticker.C {
		done = 0
		for i, p := range replicas {
			m, err := p.Metrics(t.Context())
			require.NoError(t, err)
			heaps[i] = max(heaps[i], m["go_memstats_heap_inuse_bytes"])
			if m["leftfold_fifoqueue_deleted_total"] >= float64(messages) {
				done++
			}
		}
	}
	return heaps
}
