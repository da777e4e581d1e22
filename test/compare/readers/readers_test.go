package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain lets the test be a worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-work" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestALedgerTellsWhatCameAgainAndWhatCameTooEarly(t *testing.T) {
	t.Parallel()
	l := newLedger()
	_, _, changed := l.snapshot()
	l.take("a", []record{{"k", 0}, {"k", 1}, {"other", 0}})
	<-changed
	l.take("b", []record{{"k", 1}, {"k", 3}}) // 1 again, and 3 without 2
	counts, keys, _ := l.snapshot()
	assert.Equal(t, countsOf(4, 1, 1), counts)
	assert.Equal(t, map[string]progress{"k": {next: 2, worker: "b"}, "other": {next: 1, worker: "a"}}, keys)

	l.take("a", []record{{"k", 2}})
	counts, keys, _ = l.snapshot()
	assert.Equal(t, countsOf(5, 1, 1), counts, "what was missing has come")
	assert.Equal(t, 4, keys["k"].next)
}

func countsOf(read, repeated, outOfOrder int) counts {
	return counts{Read: read, Repeated: repeated, OutOfOrder: outOfOrder}
}

func TestALedgerRefusesABatchThatIsNoneAndTakesNothingOfIt(t *testing.T) {
	t.Parallel()
	l := newLedger()
	for batch, want := range map[string]int{"k 0\nk one\n": http.StatusBadRequest, "k 0\nk 1\n": http.StatusNoContent} {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/worker", strings.NewReader(batch)))
		assert.Equal(t, want, w.Code, batch)
	}
	counts, keys, _ := l.snapshot()
	assert.Equal(t, countsOf(2, 0, 0), counts)
	assert.Equal(t, "worker", keys["k"].worker)
}

// The workers are processes of package shards. What is measured depends on the machine; what must hold does not.
func TestATrialLosesNothingAndSeesEveryChange(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	trial := trial{contender: contenders(self, "", "")[0], steady: time.Second, patience: time.Hour, log: io.Discard}
	saw, err := trial.run(t.Context())
	require.NoError(t, err)
	assert.Zero(t, saw.Lost)
	assert.Zero(t, saw.OutOfOrder)
	assert.Positive(t, saw.LeaseCalls)
	assert.Positive(t, saw.WriteUnits)
	assert.Positive(t, saw.StreamCalls)
	assert.Equal(t, saw.Written, saw.Read)
}

func TestAReportHasARowForEachMeasureAndItsSpread(t *testing.T) {
	t.Parallel()
	text := results{Rounds: 3, Contenders: []contender{
		{Name: "one", Settings: "defaults", Seen: []seen{{TakeOver: 2}, {TakeOver: 1}, {TakeOver: nothing}, {TakeOver: 4}}},
		{Name: "other", Settings: "defaults", Seen: []seen{{TakeOver: nothing, counts: counts{Repeated: 5}}}},
	}}.markdown()
	assert.Contains(t, text, "| measured | one, defaults | other, defaults |\n|---|---|---|\n")
	assert.Contains(t, text, "| a worker is killed: seconds until others read all its shards | 2.0 (1.0–4.0) | it had no shard |\n")
	assert.Contains(t, text, "| records read again in all | 0 | 5 |\n")
}
