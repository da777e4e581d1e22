package processes

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func (r *run) peakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read memory in use: %w", err)
	}
	var kilobytes int64
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		return 0, fmt.Errorf("read memory in use: %w", err)
	}
	return kilobytes << 10, nil
}

// tick is the unit of /proc/<pid>/stat, which is the same on all architectures that Go runs on.
//
// Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, sysconf(_SC_CLK_TCK)
const tick = 10 * time.Millisecond

func (r *run) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read time of CPU: %w", err)
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name of the program, which may have spaces
	fields := strings.Fields(after)
	const user, system = 14 - 3, 15 - 3 // fields 14 and 15, the first after the name being the third
	if len(fields) <= system {
		return 0, fmt.Errorf("read time of CPU: %q has too few fields", stat)
	}
	var ticks [2]time.Duration
	if _, err := fmt.Sscan(fields[user]+" "+fields[system], &ticks[0], &ticks[1]); err != nil {
		return 0, fmt.Errorf("read time of CPU: %w", err)
	}
	return (ticks[0] + ticks[1]) * tick, nil
}
