package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

func TestMain(m *testing.M) {
	if os.Getenv(isProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// start wires the whole system on free ports.
func start(t *testing.T, variables ...string) *app.System {
	t.Helper()
	system, err := app.New(t.Context(), freePorts(t, variables...), io.Discard)
	require.NoError(t, err)
	return system
}

// freePorts returns a configuration with variables, given as name and value in turn.
func freePorts(t *testing.T, variables ...string) (cfg app.Config) {
	t.Helper()
	free := map[string]string{"API_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "AWS_ADDR": "127.0.0.1:0", "STOP_TIMEOUT": "5m"}
	for i := 0; i < len(variables); i += 2 {
		free[variables[i]] = variables[i+1]
	}
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(free)), &cfg))
	return cfg
}

// running runs a system until the function that it returns is called.
func running(t *testing.T, variables ...string) (system *app.System, stop func()) {
	t.Helper()
	system = start(t, variables...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	return system, func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// printed calls f with a file and returns what it wrote there.
func printed(t *testing.T, f func(*os.File) error) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	require.NoError(t, f(out))
	require.NoError(t, out.Close())
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	t.Logf("\n%s", text)
	for line := range strings.Lines(string(text)) {
		assert.LessOrEqual(t, len([]rune(line)), service.Columns+1, line)
	}
	return string(text)
}

func TestTheDemoSucceedsAloneAndWritesPlainTextToAPipe(t *testing.T) {
	t.Parallel()
	users, err := strconv.Atoi(os.Getenv("DEMO_USERS"))
	if err != nil {
		users = 30
	}
	text := printed(t, func(out *os.File) error {
		return playAlone(t.Context(), freePorts(t), demo.Config{Users: users}, out, io.Discard)
	})
	assert.Contains(t, text, "50 clients wanted one address; 1 got it")
	assert.Contains(t, text, "The read models equal the fold of the log:\n"+strconv.Itoa(users+1)+" users (the race's winner, too), 10 roles")
	assert.NotContains(t, text, "\x1b", "no escapes in a pipe")
}

// The demo finds the system that runs, and can be played again on what it has written before.
func TestTheDemoPlaysAgainOnASystemThatRuns(t *testing.T) {
	t.Parallel()
	system, stop := running(t, "AWS_REGION", "eu-central-1")
	of := map[string]string{"API_ADDR": system.APIAddr, "ADMIN_ADDR": system.AdminAddr, "AWS_ADDR": system.AWSAddr, "DEMO_USERS": "1"}
	lookup := service.Fixed(of)
	err := runDemo(t.Context(), app.Lookup(lookup), os.Stdout, io.Discard)
	require.ErrorContains(t, err, "AWS_REGION", "the log is in another region")
	of["AWS_DEFAULT_REGION"] = "eu-central-1"
	for range 2 {
		text := printed(t, func(out *os.File) error { return runDemo(t.Context(), app.Lookup(lookup), out, io.Discard) })
		assert.Contains(t, text, "A story of 1 user and 10 roles, played by 32 clients,\nat http://"+system.APIAddr)
		assert.Contains(t, text, "\n2 users (the race's winner, too), 10 roles, 27 events.")
		assert.Regexp(t, `(?m)^  routed: Kinesis → SQS +\d+ +[\d.]+ ms`, text)
	}
	stop()
}

func TestTheDemoSaysWhereItWasStopped(t *testing.T) {
	t.Parallel()
	system, stop := running(t)
	ctx, interrupt := context.WithCancel(t.Context())
	on, err := stage(t.Context(), "http://"+system.APIAddr, system.Config, system.AWS.Config())
	require.NoError(t, err)
	var out interrupter
	out.interrupt = interrupt
	on.Out = &out
	require.ErrorIs(t, demo.Play(ctx, demo.Config{Users: 1000}, on), demo.ErrStopped)
	assert.Regexp(t, `\nStopped after [\d,]+ of 8,070 commands\.\n$`, out.String())
	stop()
}

// interrupter interrupts what writes to it.
type interrupter struct {
	strings.Builder

	interrupt func()
}

func (i *interrupter) Write(text []byte) (int, error) {
	i.interrupt()
	return i.Builder.Write(text)
}

func TestASystemCanBeginWithUsers(t *testing.T) {
	t.Parallel()
	system, stop := running(t, "SEED_USERS", "3")
	var shown oracle.Shown
	waittest.Until(t, "3 users and 10 roles", func() (any, bool) {
		var err error
		shown, err = oracle.Show(t.Context(), http.DefaultClient, "http://"+system.APIAddr)
		return []int{len(shown.Users), len(shown.Roles)}, err == nil && len(shown.Users) == 3 && len(shown.Roles) == 10
	})
	for _, variables := range [][]string{
		{"SEED_USERS", "-1"},
		{"SEED_USERS", "3", "AUTH_MODE", "oidc", "OIDC_ISSUER", "https://issuer.example.com", "OIDC_AUDIENCE", "leftfold"},
	} {
		vars := map[string]string{}
		for i := 0; i < len(variables); i += 2 {
			vars[variables[i]] = variables[i+1]
		}
		require.ErrorContains(t, service.LoadConfig(app.Lookup(service.Fixed(vars)), &app.Config{}), "SEED_USERS=")
	}
	stop()
}

// The first users, and the console's story, come by the process's own address, whatever name its certificate has.
func TestASystemWithACertificateBeginsWithUsers(t *testing.T) {
	t.Parallel()
	other := httptest.NewTLSServer(nil) // whose certificate it is
	defer other.Close()
	dir, pair := t.TempDir(), other.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	file := func(name, kind string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
		return path
	}
	system, stop := running(t, "SEED_USERS", "3",
		"TLS_CERT_FILE", file("cert.pem", "CERTIFICATE", pair.Certificate[0]), "TLS_KEY_FILE", file("key.pem", "PRIVATE KEY", key))
	waittest.Until(t, "3 users", func() (any, bool) {
		shown, err := oracle.Show(t.Context(), other.Client(), "https://"+system.APIAddr)
		return err, err == nil && len(shown.Users) == 3
	})
	other.Client().CloseIdleConnections()
	stop()
}

// What the program prints for people to copy runs as it stands: curl, and the AWS command line where it is installed.
func TestThePrintedCommandsRunAsPrinted(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	system, stop := running(t)
	text := banner(system, system.Config)
	script := ""
	for line := range strings.Lines(text) {
		assert.LessOrEqual(t, len(line), service.Columns+1, line)
		if _, err := exec.LookPath("aws"); err != nil && strings.HasPrefix(line, "  aws ") {
			line = "  test $AWS_ENDPOINT_URL/$AWS_DEFAULT_REGION/$AWS_ACCESS_KEY_ID/$AWS_SECRET_ACCESS_KEY = http://" + system.AWSAddr + "/us-east-1/local/local\n"
		}
		if strings.HasPrefix(line, "  ") && !strings.Contains(line, "  http") { // not the table of addresses
			script += strings.ReplaceAll(line, "curl ", "curl -fsS ")
		}
	}
	out, err := exec.CommandContext(t.Context(), "bash", "-euc", script).CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, out)
	assert.Contains(t, string(out), "202 Accepted")
	stop()
}

func TestTheSystemStopsWhenAsked(t *testing.T) {
	t.Parallel()
	_, stop := running(t)
	stop()
}
