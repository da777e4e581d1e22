package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// program is a program that this process starts. It must honour STOP_WITH_STDIN: it is stopped by the end of its standard input,
// which also comes when this process is killed, and which needs no signals.
type program struct {
	args      []string // its path first
	env       []string
	out, logs io.Writer // nil: nobody wants it
	grace     time.Duration
}

// run runs the program until ctx ends, and kills it if it has not stopped after grace. That it ends by itself is an error.
func (p program) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...) //nolint:gosec // our own programs
	cmd.Env = append(p.env, "STOP_WITH_STDIN=true")
	cmd.Stdout, cmd.Stderr = p.out, p.logs
	cmd.SysProcAttr = ownGroup()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Cancel, cmd.WaitDelay = stdin.Close, p.grace
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if ctx.Err() != nil && exit.String() == "signal: interrupt" {
			return ctx.Err() // Ctrl-C reached it, too, before it had a group of its own
		}
		err = errors.New(exit.String()) // service.Exit would take its exit code for this process's
	}
	switch {
	case ctx.Err() != nil:
		return err // that of ctx, unless the exit code is not 0
	case err == nil:
		return errors.New("ended by itself")
	default:
		return fmt.Errorf("ended by itself: %w", err)
	}
}

// after is run, once ready is closed.
func (p program) after(ready <-chan struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ready:
			return p.run(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}
