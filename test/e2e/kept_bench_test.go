package e2e_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/localaws/filestore"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// BenchmarkDataDirectory registers users on an embedded AWS that keeps its state in a directory and, in turn with them, on one in
// memory; ratio is the median, over the rounds, of the first's rate by the second's. Only command-api runs.
func BenchmarkDataDirectory(b *testing.B) {
	memory, kept := commandAPIOnly(b, nil, nil), onlyCommandAPI(b, keptSystem(b))
	register := func(sys *systemtest.System, i int) error {
		answer, err := sys.Do(b.Context(), post("/users", object{"email": fmt.Sprintf("user%d@example.com", i)}))
		if err == nil && answer.Status != 202 {
			err = fmt.Errorf("%d %s", answer.Status, answer.Body)
		}
		return err
	}
	var ratios []float64
	writes := 0
	for range b.N * benchRounds {
		m := together(b, func(i int) error { return register(memory, writes+i) })
		k := together(b, func(i int) error { return register(kept, writes+i) })
		ratios = append(ratios, m.took.Seconds()/k.took.Seconds())
		writes += perRound
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// keptSystem returns the whole pipeline on an embedded AWS that keeps its state in a directory.
func keptSystem(b *testing.B) *systemtest.System {
	b.Helper()
	store, err := filestore.Open(filepath.Join(b.TempDir(), "data"))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	server, err := localaws.Open(store, localaws.Options{})
	require.NoError(b, err)
	b.Cleanup(server.Close)
	return systemtest.On(b, server.Config(), server.Transport(), nil)
}
