//go:build unix

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// leftfoldServices is a running "leftfold services", the leader of a process group, as a shell makes it.
type leftfoldServices struct {
	*exec.Cmd

	systemtest.Client // of the one address

	addresses map[string]string // of its processes, by the names that it prints
	out       *bufio.Scanner
	logs      bytes.Buffer // once ended
	ended     chan struct{}
	err       error // once ended
}

// startServices starts it with variables, and returns once it has printed its addresses.
func startServices(t *testing.T, variables ...string) *leftfoldServices {
	t.Helper()
	program := filepath.Join(programs(t), "leftfold")
	for {
		s := &leftfoldServices{addresses: map[string]string{}, ended: make(chan struct{})}
		s.Cmd = exec.CommandContext(context.WithoutCancel(t.Context()), program, "services")
		s.Env = append([]string{
			"API_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "AWS_ADDR=127.0.0.1:0", "STOP_TIMEOUT=5m", "HOME=" + os.DevNull,
			"AWS_REGION=eu-central-1", "AWS_PROFILE=none-such", "AWS_ENDPOINT_URL_SQS=http://127.0.0.1:1", // none of which reach the services
		}, variables...)
		s.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		s.Stderr = &s.logs
		out, in, err := os.Pipe()
		require.NoError(t, err)
		s.Stdout, s.out = in, bufio.NewScanner(out)
		require.NoError(t, s.Start())
		require.NoError(t, in.Close())
		go func() {
			s.err = s.Wait()
			close(s.ended)
		}()
		t.Cleanup(func() {
			_ = syscall.Kill(-s.Process.Pid, syscall.SIGKILL) // what a failed test has left
			<-s.ended
			_ = out.Close()
			if t.Failed() {
				t.Logf("%v\n%s", s.err, &s.logs)
			}
		})
		for s.out.Scan() && !strings.HasPrefix(s.out.Text(), "LOG_LEVEL") {
			if m := regexp.MustCompile(`^  (\S+) +http://(\S+)`).FindStringSubmatch(s.out.Text()); m != nil {
				s.addresses[m[1]] = m[2]
			}
		}
		if len(s.addresses) > 0 {
			s.Client = systemtest.Client{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Base: "http://" + s.addresses["API"]}
			return s
		}
		<-s.ended
		require.Contains(t, s.logs.String(), syscall.EADDRINUSE.Error(), "another program took a port that was free: again")
	}
}

// awaitReady returns once it says that all are ready, or has ended.
func (s *leftfoldServices) awaitReady() {
	for s.out.Scan() && !strings.HasPrefix(s.out.Text(), "All ready after ") {
		continue
	}
}

// interrupt sends what a terminal sends to the whole group when Ctrl-C is pressed.
func (s *leftfoldServices) interrupt(t *testing.T) {
	t.Helper()
	require.NoError(t, syscall.Kill(-s.Process.Pid, syscall.SIGINT))
}

// requireNothingLeft waits until none of its processes has its address.
func (s *leftfoldServices) requireNothingLeft(t *testing.T) {
	t.Helper()
	<-s.ended
	for name, addr := range s.addresses {
		waittest.Until(t, name+" to be gone", func() (any, bool) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			return nil, err != nil
		})
	}
}

func TestTheServicesRunAsProcessesBehindOneAddress(t *testing.T) {
	t.Parallel()
	s := startServices(t, "SEED_USERS=2", "LOG_LEVEL=info")
	s.awaitReady()
	require.Len(t, s.addresses, 3+len(processes.ServiceNames()))
	register := systemtest.Request{Method: http.MethodPost, Path: "/users", Body: `{"email":"dan@example.com"}`}
	accepted, err := s.Do(t.Context(), register)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, accepted.Status, "%s", accepted.Body)
	waittest.Until(t, "the user, and those of SEED_USERS", func() (any, bool) {
		shown, err := s.Do(t.Context(), systemtest.Request{Method: http.MethodGet, Path: "/users"})
		require.NoError(t, err)
		return string(shown.Body), bytes.Count(shown.Body, []byte(`"email"`)) == 3 && bytes.Contains(shown.Body, []byte("dan@example.com"))
	})
	for _, path := range []string{"/", "/docs", "/roles", "/problems", "/console"} {
		shown, err := s.Do(t.Context(), systemtest.Request{Method: http.MethodGet, Path: path})
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, shown.Status, path)
	}
	s.interrupt(t)
	s.requireNothingLeft(t)
	require.NoError(t, s.err)
	for _, name := range processes.ServiceNames() {
		assert.Regexp(t, `(?m)^`+name+` +\| .*msg=stopped`, s.logs.String())
	}
	// A busy machine may warn of calls that took long. None has failed for want of an AWS.
	assert.NotRegexp(t, `level=(WARN|ERROR).*(connection re(fused|set)|EOF)`, s.logs.String(), "the AWS stops last")
}

func TestAProcessThatDiesEndsTheOthersAndIsNamed(t *testing.T) {
	t.Parallel()
	s := startServices(t)
	s.awaitReady()
	require.NoError(t, syscall.Kill(childOf(t, s.Process.Pid, "projector-role"), syscall.SIGKILL))
	s.requireNothingLeft(t)
	var exit *exec.ExitError
	require.ErrorAs(t, s.err, &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, s.logs.String(), "\nleftfold: projector-role: ended by itself: signal: killed\n")
}

func TestNoServiceOutlivesTheProgramThatStartedIt(t *testing.T) {
	t.Parallel()
	s := startServices(t)
	s.awaitReady()
	require.NoError(t, s.Process.Kill())
	s.requireNothingLeft(t)
}

func TestTheServicesStopWhileTheyStart(t *testing.T) {
	t.Parallel()
	s := startServices(t)
	s.interrupt(t)
	s.requireNothingLeft(t)
	require.NoError(t, s.err)
	assert.NotContains(t, s.logs.String(), "ended by itself")
}

// childOf returns the process with that name that another one has started.
func childOf(t *testing.T, parent int, name string) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skip("there is no /proc here to find a process in")
	}
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		var state string
		var of int
		_, rest, _ := strings.Cut(string(stat), "("+name+") ") // https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
		if n, _ := fmt.Sscan(rest, &state, &of); err == nil && n == 2 && of == parent {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			return pid
		}
	}
	require.FailNow(t, "no such process", name)
	return 0
}
