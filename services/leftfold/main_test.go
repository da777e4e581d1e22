package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start wires the whole system on free ports.
func start(t *testing.T) *app.System {
	t.Helper()
	free := map[string]string{"API_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "AWS_ADDR": "127.0.0.1:0"}
	var cfg app.Config
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(free)), &cfg))
	system, err := app.New(t.Context(), cfg, io.Discard)
	require.NoError(t, err)
	return system
}

func TestTheDemoSucceedsAndWritesPlainTextToAPipe(t *testing.T) {
	t.Parallel()
	users, err := strconv.Atoi(os.Getenv("DEMO_USERS"))
	if err != nil {
		users = 30
	}
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, play(t.Context(), start(t), demo.Config{Users: users}, out))
	require.NoError(t, out.Close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	t.Logf("\n%s", text)
	assert.Contains(t, string(text), "50 clients wanted one address; 1 got it")
	assert.Contains(t, string(text), "Both read models equal the fold of the log: "+strconv.Itoa(users+1)+" users, 10 roles")
	assert.NotContains(t, string(text), "\x1b", "no escapes in a pipe")
}

func TestTheSystemStopsWhenAsked(t *testing.T) {
	t.Parallel()
	system := start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	stop()
	require.NoError(t, <-ended)
}
