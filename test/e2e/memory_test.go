package e2e_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestMemoryStaysSmall sends 10,000 commands to the system of `make run`, over sockets, and measures the heap afterwards.
func TestMemoryStaysSmall(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("ten thousand commands over sockets; go test without -race weighs them, and make bench")
	}
	before := heap()
	fold, after := heapAfter(t, 10_000)
	t.Logf("heap in use: %d MB before, %d MB after %d events of 10,000 commands", before>>20, after>>20, fold.Events)
	assert.Less(t, after, uint64(300<<20))
}

// heapAfter runs the whole system for so many commands and returns the heap in use once the read models have settled.
func heapAfter(t testing.TB, commands int) (*oracle.Fold, uint64) {
	t.Helper()
	free := map[string]string{
		"API_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "AWS_ADDR": "127.0.0.1:0", "LOG_LEVEL": "error", "STOP_TIMEOUT": "5m",
	}
	var cfg app.Config
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(free)), &cfg))
	system, err := app.New(t.Context(), cfg, io.Discard)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	defer func() {
		stop()
		require.NoError(t, <-ended)
	}()

	connections := &http.Transport{MaxIdleConnsPerHost: 64}
	defer connections.CloseIdleConnections()
	client := systemtest.Client{HTTP: &http.Client{Transport: connections}, Base: "http://" + system.APIAddr}
	newTraffic(client, 500, 20).send(t.Context(), t, 64, commands)

	db, names := dynamodb.NewFromConfig(system.AWS.Config()), cfg.Names
	fold, err := oracle.FoldLog(t.Context(), dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: names.EventLog}}))
	require.NoError(t, err)
	models, err := oracle.Models(t.Context(), db, names)
	require.NoError(t, err)
	require.NoError(t, fold.Settle(t.Context(), 2*time.Minute, models...))
	return fold, heap()
}

// heap returns the heap in use after a garbage collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
