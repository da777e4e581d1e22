package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// shows waits until a system shows its read models with so many users, and returns them.
func shows(t *testing.T, system *app.System, users int) (shown oracle.Shown) {
	t.Helper()
	waittest.Until(t, fmt.Sprintf("%d users and 10 roles", users), func() (any, bool) {
		var err error
		shown, err = oracle.Show(t.Context(), http.DefaultClient, "http://"+system.APIAddr)
		return []int{len(shown.Users), len(shown.Roles)}, err == nil && len(shown.Users) == users && len(shown.Roles) == 10
	})
	return shown
}

func register(t *testing.T, system *app.System, email string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+system.APIAddr+"/users",
		strings.NewReader(`{"email":"`+email+`"}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
}

func frontPage(t *testing.T, system *app.System) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+system.APIAddr, http.NoBody)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, errors.Join(err, answer.Body.Close()))
	return string(text)
}

func TestWithADataDirectoryASystemGoesOnWhereItStopped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	system, stop := running(t, "DATA_DIR", dir, "SEED_USERS", "3")
	const kept = "It keeps everything across restarts, in "
	assert.Contains(t, banner(system, system.Config), kept+dir)
	assert.Contains(t, frontPage(t, system), kept+dir)
	_, err := app.New(t.Context(), freePorts(t, "DATA_DIR", dir), io.Discard)
	require.ErrorContains(t, err, fmt.Sprintf("is in use by process %d on host ", os.Getpid()))
	shows(t, system, 3)
	stop()

	system, stop = running(t, "DATA_DIR", dir, "SEED_USERS", "5")
	assert.NotContains(t, banner(system, system.Config), "are being added", "they are only added to nothing")
	register(t, system, "kept@example.com")
	before := shows(t, system, 4)

	// A copy of the running system, and another of the directory after its end, are systems of their own.
	t.Setenv("AWS_ADDR", system.AWSAddr)
	live, stopped := filepath.Join(t.TempDir(), "live"), filepath.Join(t.TempDir(), "stopped")
	out, err := execute(t, "aws", "snapshot", "save", live)
	require.NoError(t, err)
	assert.Contains(t, out, live+" has everything of the embedded AWS at "+system.AWSAddr)
	_, err = execute(t, "aws", "snapshot", "save", live)
	require.ErrorContains(t, err, "exists already: name another file, or remove it")
	stop()
	_, err = execute(t, "aws", "snapshot", "save", stopped)
	require.ErrorContains(t, err, "DATA_DIR names no directory")
	out, err = execute(t, "aws", "snapshot", "save", stopped, "--data-dir", dir)
	require.NoError(t, err)
	assert.Contains(t, out, stopped+" has everything of "+dir)

	for _, file := range []string{live, stopped} {
		copied := filepath.Join(t.TempDir(), "copy")
		_, err = execute(t, "aws", "snapshot", "load", file, "--data-dir", copied)
		require.NoError(t, err)
		_, err = execute(t, "aws", "snapshot", "load", file, "--data-dir", copied)
		require.ErrorContains(t, err, "is not empty: name another one, or remove it")
		system, stop = running(t, "DATA_DIR", copied)
		assert.ElementsMatch(t, slices.Collect(maps.Keys(before.Users)), slices.Collect(maps.Keys(shows(t, system, 4).Users)))
		register(t, system, "later@example.com")
		shows(t, system, 5)
		stop()
	}
}

// TestAfterAKillNoReaderWaitsForLeases: a snapshot of a running system is what its kill would leave.
func TestAfterAKillNoReaderWaitsForLeases(t *testing.T) {
	dir := t.TempDir()
	live, copied := filepath.Join(dir, "live"), filepath.Join(dir, "copied")
	system, stop := running(t, "DATA_DIR", filepath.Join(dir, "data"), "SEED_USERS", "3", "LEASE_DURATION", "1000h")
	shows(t, system, 3)
	t.Setenv("AWS_ADDR", system.AWSAddr)
	_, err := execute(t, "aws", "snapshot", "save", live)
	require.NoError(t, err)
	stop()
	_, err = execute(t, "aws", "snapshot", "load", live, "--data-dir", copied)
	require.NoError(t, err)
	system, stop = running(t, "DATA_DIR", copied, "LEASE_DURATION", "1000h")
	register(t, system, "later@example.com")
	shows(t, system, 4)
	stop()
}

func TestASystemInMemoryHasNoSnapshot(t *testing.T) {
	system, stop := running(t)
	assert.Contains(t, frontPage(t, system), "stop it, and all is gone")
	t.Setenv("AWS_ADDR", system.AWSAddr)
	file := filepath.Join(t.TempDir(), "file")
	_, err := execute(t, "aws", "snapshot", "save", file)
	require.ErrorContains(t, err, "this server keeps its state in memory only: there is no copy of it")
	require.ErrorContains(t, err, "set DATA_DIR where it is started")
	require.NoFileExists(t, file)
	stop()
}
