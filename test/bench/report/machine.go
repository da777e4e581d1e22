package report

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine is where a run was made, and of what.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	System string `json:"system"`
	Go     string `json:"go"`
	// Load is the load of the machine before, of one minute; "" where the system does not tell.
	Load   string `json:"load,omitempty"`
	Commit string `json:"commit"`
}

const unknown = "unknown"

// ThisMachine describes the machine and the tree.
func ThisMachine(ctx context.Context) Machine {
	m := Machine{
		CPU: runtime.GOARCH, Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Commit: unknown,
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, after, _ := strings.Cut(string(text), "model name")
		_, after, _ = strings.Cut(after, ":")
		if name, _, ok := strings.Cut(after, "\n"); ok {
			m.CPU = strings.TrimSpace(name)
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(text), " ")
	}
	if out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

// clean reports whether the tree is as it was committed.
func (m Machine) clean() bool { return m.Commit != unknown && !strings.HasSuffix(m.Commit, "-dirty") }

func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), %s, %s.", m.Cores, m.CPU, m.System, m.Go) + loadBefore(m.Load)
}

func loadBefore(load string) string {
	if load == "" {
		return ""
	}
	return " Load of the machine before the run: " + load + "."
}

// at returns the machine at a commit, whatever its load was.
func (m Machine) at(commit string) Machine {
	m.Load, m.Commit = "", commit
	return m
}
