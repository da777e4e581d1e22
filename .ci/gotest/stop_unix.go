//go:build unix

package main

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
)

// stopAll lets the end of ctx stop the test processes, too. If they stalled, each writes what its goroutines wait for.
func stopAll(ctx context.Context, cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		signal := syscall.SIGINT
		if errors.Is(context.Cause(ctx), errStalled) {
			signal = syscall.SIGQUIT
		}
		return syscall.Kill(-cmd.Process.Pid, signal)
	}
}
