package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service/adminclient"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServices answer what they are told.
type fakeServices struct {
	mu      sync.Mutex
	metrics string
	ready   adminclient.Answer
	asked   int
}

func (f *fakeServices) All(_ context.Context, path string) []adminclient.Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if path == "/metrics" {
		return []adminclient.Answer{{Address: "http://one", Status: http.StatusOK, Body: []byte(f.metrics)}}
	}
	return []adminclient.Answer{f.ready}
}

func (f *fakeServices) say(metrics ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.metrics = strings.Join(metrics, "\n") + "\n"
}

func (f *fakeServices) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

const isReady = `{"status":"ready","dependencies":{"table EventLog":"ok"}}`

func newFake() *fakeServices {
	return &fakeServices{ready: adminclient.Answer{Address: "http://one", Status: http.StatusOK, Body: []byte(isReady)}}
}

var users = []pipeline.Consumer{{Name: "users", Service: "projector-user", Queue: "users.fifo"}}

// times is a histogram of a name, with so many values up to 10 ms and so many more up to 1 s.
func times(name, labels string, fast, slow int) string {
	line := func(bound string, n int) string {
		return fmt.Sprintf("%s_bucket{%sle=%q} %d\n", name, labels, bound, n)
	}
	return "# TYPE " + name + " histogram\n" + line("0.01", fast) + line("1", fast+slow) + line("+Inf", fast+slow) +
		fmt.Sprintf("%s_sum{%s} 1\n%s_count{%s} %d", name, strings.TrimSuffix(labels, ","), name, strings.TrimSuffix(labels, ","), fast+slow)
}

func built(service string) string {
	return fmt.Sprintf("# TYPE leftfold_build_info gauge\nleftfold_build_info{service=%q} 1", service)
}

func TestRatesAndTimesAreOfTheLastMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		w := pipeline.NewWatcher(f, time.Now, users)
		f.say(built("streamer"), times("leftfold_publish_seconds", "", 0, 1000))
		w.Look(t.Context())
		v := w.View()
		assert.False(t, v.RatesKnown())
		assert.Equal(t, "505 ms", pipeline.Duration(v.Stages[1].P50), "of all, as long as there are no later ones")
		time.Sleep(10 * time.Second)
		f.say(built("streamer"), times("leftfold_publish_seconds", "", 100, 1000))
		w.Look(t.Context())
		v = w.View()
		streamer := v.Stages[1]
		assert.Equal(t, "streamer", streamer.Name)
		assert.True(t, streamer.Seen)
		assert.InDelta(t, 10, streamer.Rate, .001)
		assert.Equal(t, "5.0 ms", pipeline.Duration(streamer.P50))
		assert.False(t, v.Stages[2].Seen, "no broker was seen")
		time.Sleep(2 * time.Minute)
		w.Look(t.Context())
		assert.Zero(t, w.View().Watched, "what is older than a minute is forgotten")
	})
}

func TestServicesAreAskedOnlyWhileSomebodyWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		w := pipeline.NewWatcher(f, time.Now, users)
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		time.Sleep(time.Minute)
		assert.Zero(t, f.calls())
		looked, stop := w.Watch()
		<-looked
		time.Sleep(9 * time.Second)
		stop()
		asked := f.calls()
		assert.GreaterOrEqual(t, asked, 8)
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, f.calls(), asked+2)
		end()
		require.NoError(t, <-ended)
	})
}

// Each line is wrong in one way, and the overview says so.
func TestWhatIsWrongNeedsAttention(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metrics string
		ready   adminclient.Answer
		want    string
	}{
		"a process does not answer": {
			ready: adminclient.Answer{Address: "http://one", Err: errors.New("refused")}, want: "http://one: does not answer",
		},
		"it is something else": {
			ready: adminclient.Answer{Address: "http://one", Status: 200, Body: []byte("<html>")}, want: "http://one: is no service of Leftfold",
		},
		"it is not ready": {
			ready: adminclient.Answer{Address: "http://one", Status: 503, Body: []byte(`{"status":"not ready"}`)}, want: "http://one: not ready",
		},
		"a dependency is away": {
			ready: adminclient.Answer{
				Address: "http://one", Status: 200, Body: []byte(`{"status":"ready","dependencies":{"queue users":"away: no"}}`),
			},
			want: "http://one: queue users: away: no",
		},
		"a shard is behind": {
			metrics: "# TYPE leftfold_shards_behind_seconds gauge\nleftfold_shards_behind_seconds{consumer=\"broker\",shard=\"1\"} 300",
			want:    "broker: a shard is 5m0s behind",
		},
		"something was set aside": {
			metrics: "# TYPE leftfold_publish_undecodable_total counter\nleftfold_publish_undecodable_total 1",
			want:    "streamer: 1 set aside since its start",
		},
		"an aggregate is parked": {
			metrics: "# TYPE leftfold_projection_parked_total counter\nleftfold_projection_parked_total{projection=\"users\",category=\"c\"} 2\n" +
				"# TYPE leftfold_projection_redriven_total counter\nleftfold_projection_redriven_total{projection=\"users\",category=\"c\"} 1",
			want: "projector-user: 1 parked since its start, and not redriven",
		},
		"a message waits": {
			metrics: "# TYPE leftfold_fifoqueue_oldest_age_seconds gauge\nleftfold_fifoqueue_oldest_age_seconds{queue=\"users.fifo\"} 90",
			want:    "projector-user: a message waits for 90 s",
		},
		"a row differed": {
			metrics: "# TYPE leftfold_projection_audit_differences_total counter\n" +
				"leftfold_projection_audit_differences_total{projection=\"users\",kind=\"stale\"} 1",
			want: "projector-user: 1 rows differed from the log in an audit",
		},
		"a process is stuck": {
			metrics: "# TYPE leftfold_timers_stuck gauge\nleftfold_timers_stuck{service=\"projector-user\",category=\"c\"} 2",
			want:    "projector-user: 2 timers or commands of processes are stuck",
		},
		"a rebuild is due": {
			metrics: "# TYPE leftfold_projection_rebuild_due gauge\nleftfold_projection_rebuild_due{projection=\"users\"} 1",
			want:    "projector-user: this build has a newer shape of the rows: rebuild",
		},
		"nothing": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.say(c.metrics)
			if c.ready.Address != "" {
				f.ready = c.ready
			}
			w := pipeline.NewWatcher(f, time.Now, users)
			w.Look(t.Context())
			var got []string
			for _, a := range w.View().Attention {
				got = append(got, strings.TrimPrefix(a.Stage+": "+a.Text, ": "))
			}
			if c.want == "" {
				assert.Empty(t, got)
			} else {
				assert.Equal(t, []string{c.want}, got)
			}
		})
	}
}

func TestDurationsAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		340 * time.Microsecond: "340 µs", 1234 * time.Microsecond: "1.2 ms", 56 * time.Millisecond: "56 ms", 1500 * time.Millisecond: "1.5 s",
		42 * time.Second: "42 s", 150 * time.Minute: "2h30m0s",
	} {
		assert.Equal(t, want, pipeline.Duration(d))
	}
	assert.Equal(t, "1,234,567", pipeline.Count(1234567))
	assert.Equal(t, "999", pipeline.Count(999))
}
