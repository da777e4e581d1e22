package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestARunningSystemKeepsItsContract sends traffic to a running system and compares its answers with its log. LEFTFOLD_API is its
// address, such as http://127.0.0.1:8080, the SDK's variables configure its AWS, and LEFTFOLD_LOAD is the duration, 20s by default.
// LEFTFOLD_MEANWHILE is a program to run under that load, such as one that kills replicas: it is started once a command has been
// accepted, must succeed, and commands are sent until one has been accepted after its end.
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
	begun := time.Now()
	outcomes := tr.sendUntil(t.Context(), t, 16, playMeanwhile(t, tr, duration, os.Getenv("LEFTFOLD_MEANWHILE")))
	sent := time.Now()
	fold, err := inspector.Audit(t.Context())
	require.NoError(t, err)
	t.Logf("%d commands in %s, settled and compared %s after the last: %d events of %d users and %d roles",
		len(outcomes), sent.Sub(begun).Round(time.Second), time.Since(sent).Round(time.Millisecond),
		fold.Events, len(fold.Users), len(fold.Roles))
	records, err := inspector.Records(t.Context())
	require.NoError(t, err)
	maps.DeleteFunc(records, func(correlation string, _ []eventsourcing.Record) bool { return before[correlation] != nil })
	inLog(t, outcomes, records)
}

// playMeanwhile runs a program, if there is one, while commands are accepted before and after. The channel is closed after that, but
// not before the duration is over.
func playMeanwhile(t *testing.T, tr *traffic, duration time.Duration, program string) <-chan struct{} {
	t.Helper()
	first, last, over := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	closeFirst, closeLast := sync.OnceFunc(func() { close(first) }), sync.OnceFunc(func() { close(last) })
	tr.accepted = func() {
		closeFirst()
		if ended.Load() {
			closeLast()
		}
	}
	passed := make(chan struct{})
	timer := time.AfterFunc(duration, func() { close(passed) })
	t.Cleanup(func() { timer.Stop() })
	play := func(ctx context.Context) error {
		defer close(over)
		await := func(done <-chan struct{}) error {
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := await(first); err != nil {
			return err
		}
		if program != "" {
			cmd := exec.CommandContext(ctx, program)
			cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", program, err)
			}
		}
		ended.Store(true)
		if err := await(passed); err != nil {
			return err
		}
		return await(last)
	}
	var playing errgroup.Group
	playing.Go(func() error { return play(t.Context()) })
	t.Cleanup(func() { require.NoError(t, playing.Wait(), "while commands were sent") })
	return over
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
