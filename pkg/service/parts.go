package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Part is one long-lived part of a process. Run works until ctx ends, finishes what is in flight and returns nil. An error
// means that the part cannot continue; it ends the process.
type Part struct {
	Name string // unique in the process
	Run  func(ctx context.Context) error
}

// RunParts runs all parts until ctx ends or one of them returns, then cancels the others and waits at most grace for them.
// Its error joins those of the parts and names the parts that still run.
func RunParts(ctx context.Context, log *slog.Logger, grace time.Duration, parts ...Part) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type end struct {
		name string
		err  error
	}
	ends := make(chan end, len(parts))
	running := map[string]bool{}
	for _, p := range parts {
		running[p.Name] = true
		go func() { ends <- end{p.Name, p.Run(ctx)} }()
	}
	var errs []error
	var deadline <-chan time.Time
	stopping := ctx.Done()
	for len(running) > 0 {
		select {
		case e := <-ends:
			delete(running, e.name)
			cancelled := ctx.Err() != nil && errors.Is(e.err, context.Canceled)
			if e.err != nil && !cancelled {
				errs = append(errs, fmt.Errorf("%s: %w", e.name, e.err))
				log.ErrorContext(ctx, "part failed, stopping", slog.String("part", e.name), slog.Any(telemetry.KeyError, e.err))
			}
			stop()
		case <-stopping:
			timer := time.NewTimer(grace)
			defer timer.Stop()
			deadline, stopping = timer.C, nil
		case <-deadline:
			return errors.Join(append(errs, fmt.Errorf("still running %s after the stop: %s",
				grace, strings.Join(slices.Sorted(maps.Keys(running)), ", ")))...)
		}
	}
	return errors.Join(errs...)
}
