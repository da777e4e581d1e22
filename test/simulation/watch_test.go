package simulation_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A run has work until it ends, since its time is virtual. So it stands still, and would for ever, if none of its threads runs or wants
// to in as many looks as these, one a second.
const looks = 60

// watch ends a process that stands still, with the stacks of its goroutines, until stop is called. It knows only Linux.
func watch(p *os.Process, pause time.Duration) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		asleep := 0
		for tick := time.Tick(pause); ; {
			select {
			case <-stopped:
				return
			case <-tick:
			}
			if asleep++; !sleeps(p.Pid) {
				asleep = 0
			}
			if asleep == looks {
				_ = p.Signal(syscall.SIGQUIT) // it is gone otherwise
				return
			}
		}
	}()
	return func() { close(stopped) }
}

// sleeps reports whether no thread of a process runs or wants to.
func sleeps(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			return false
		}
		_, after, _ := bytes.Cut(stat, []byte(") ")) // the name may have anything but that
		if !bytes.HasPrefix(after, []byte("S ")) {
			return false
		}
	}
	return true
}

// TestStandStill is a process for TestARunThatStandsStillEnds.
func TestStandStill(t *testing.T) { //nolint:paralleltest // not a test of its own
	if os.Getenv(workerVariable) == "" {
		t.Skip("it is run by TestARunThatStandsStillEnds")
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // nobody writes
}

func TestARunThatStandsStillEnds(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("only Linux says whether a thread sleeps")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStandStill$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), workerVariable+"=1")
	var output bytes.Buffer
	cmd.Stderr = &output
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	stop := watch(cmd.Process, 10*time.Millisecond)
	defer stop()
	require.Error(t, cmd.Wait())
	assert.Contains(t, output.String(), "TestStandStill", "its stacks say where")
}
