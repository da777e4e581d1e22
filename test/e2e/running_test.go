package e2e_test

import (
	"context"
	"maps"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestARunningSystemKeepsItsContract sends traffic to a running system and compares its answers with its log. LEFTFOLD_API is its
// address, such as http://127.0.0.1:8080, the SDK's variables configure its AWS, and LEFTFOLD_LOAD is the duration, 20s by default.
// Meanwhile its replicas may be killed and scaled.
func TestARunningSystemKeepsItsContract(t *testing.T) {
	base := os.Getenv("LEFTFOLD_API")
	if base == "" {
		t.Skip("LEFTFOLD_API is not set: no system to test")
	}
	duration := 20 * time.Second
	if text := os.Getenv("LEFTFOLD_LOAD"); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err, "LEFTFOLD_LOAD")
	}
	var names topology.Names
	require.NoError(t, service.LoadConfig(os.LookupEnv, &names))
	cfg, err := awsconfig.Load(t.Context())
	require.NoError(t, err)
	connections := &http.Transport{MaxIdleConnsPerHost: 64}
	defer connections.CloseIdleConnections()
	cfg.HTTPClient = &http.Client{Transport: connections}
	client := systemtest.Client{HTTP: &http.Client{Transport: connections, Timeout: 40 * time.Second}, Base: base}
	inspector := systemtest.NewInspector(cfg, names, client)

	before, err := inspector.Records(t.Context())
	require.NoError(t, err)
	tr := newTraffic(inspector.Client, 5*int(duration.Seconds()+1), 5)
	run := newID() // earlier runs have taken the usual addresses
	for i, email := range tr.emails {
		tr.emails[i] = run + email
	}
	tr.down = func(ctx context.Context) error { return awaitAnswer(ctx, inspector.Client) }
	done := make(chan struct{})
	timer := time.AfterFunc(duration, func() { close(done) })
	defer timer.Stop()
	outcomes := tr.sendUntil(t.Context(), t, 16, done)
	sent := time.Now()
	fold, err := inspector.Audit(t.Context())
	require.NoError(t, err)
	t.Logf("%d commands in %s, settled and compared %s after the last: %d events of %d users and %d roles",
		len(outcomes), duration, time.Since(sent).Round(time.Millisecond), fold.Events, len(fold.Users), len(fold.Roles))
	records, err := inspector.Records(t.Context())
	require.NoError(t, err)
	maps.DeleteFunc(records, func(correlation string, _ []eventsourcing.Record) bool { return before[correlation] != nil })
	inLog(t, outcomes, records)
}

// awaitAnswer returns once the API answers.
func awaitAnswer(ctx context.Context, client systemtest.Client) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		answer, err := client.Do(ctx, systemtest.Request{Method: http.MethodGet, Path: "/users/" + newID()})
		if err == nil && answer.Status < http.StatusInternalServerError {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
