package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Driver runs tasks with a library.
type Driver struct {
	Variant string // "" is the usual way to use the library
	dir     string
	argv    []string
}

// Command is how the driver is run: a task is the last argument.
func (d Driver) Command() []string { return slices.Clone(d.argv) }

// Work is what a task has to do, and where.
type Work struct {
	Endpoint string // of the AWS
	Table    string // a name of its own
	Streams  int
	Events   int
	Writers  int
}

// Watch tells a driver that works from one that hangs.
type Watch struct {
	// Progress is a number that grows while the driver works.
	Progress func() int64
	// Ticks are the moments at which to look.
	Ticks <-chan time.Time
	// Patience is for how many ticks the number may stay as it is.
	Patience int
}

// Errors of Run.
var (
	// ErrNotOffered means that the library does not offer the task.
	ErrNotOffered = errors.New("not offered")
	// ErrHangs means that the driver was killed, since it made no progress.
	ErrHangs = errors.New("driver makes no progress")
)

// Run has the driver do a task and decodes its answer: the last line that it prints, in JSON. It returns the CPU time of its process.
func (d Driver) Run(ctx context.Context, task string, w Work, watch Watch, answer any) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, d.argv[0], append(slices.Clone(d.argv[1:]), task)...)
	cmd.Dir, cmd.Env = d.dir, environment(w) // a relative path of a program is one in Dir
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second // for what a driver has started and not ended
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		watch.until(ctx, cancel)
	}()
	err := cmd.Run()
	hangs := context.Cause(ctx)
	cancel(nil)
	<-watched
	switch {
	case errors.Is(hangs, ErrHangs):
		return 0, hangs
	case err != nil:
		return 0, fmt.Errorf("%w: %s", err, end(stderr.String()))
	}
	line := []byte(end(stdout.String()))
	var offer struct{ Offered *bool }
	err = json.Unmarshal(line, &offer)
	if err == nil && offer.Offered != nil && !*offer.Offered {
		return 0, ErrNotOffered
	}
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		return 0, fmt.Errorf("driver answers %q: %w", line, err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// until cancels with ErrHangs if there is no progress, and returns when ctx is done.
func (w Watch) until(ctx context.Context, cancel context.CancelCauseFunc) {
	seen, idle := w.Progress(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.Ticks:
		}
		if now := w.Progress(); now != seen {
			seen, idle = now, 0
		} else if idle++; idle >= w.Patience {
			cancel(ErrHangs)
		}
	}
}

// environment is the driver's environment. What it has of AWS is only the embedded one.
func environment(w Work) []string {
	ours := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
	return append(ours,
		"AWS_ENDPOINT_URL="+w.Endpoint, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
		"TABLE="+w.Table, "STREAMS="+strconv.Itoa(w.Streams), "EVENTS="+strconv.Itoa(w.Events), "WRITERS="+strconv.Itoa(w.Writers))
}

// end returns the last line of a text.
func end(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
