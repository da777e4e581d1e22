package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Part is one long-lived part of a process. Run works until ctx ends, finishes what is in flight and returns nil. An error
// means that the part cannot continue; it ends the process.
type Part struct {
	Name string // unique in the process
	Run  func(ctx context.Context) error
	// Last parts are stopped when all others have ended: they show how those end.
	Last bool
}

// RunParts runs all parts until ctx ends or one of them returns, then cancels the others and waits at most grace for them.
// Its error joins those of the parts and names the parts that still run.
func RunParts(ctx context.Context, log *slog.Logger, grace time.Duration, parts ...Part) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lastCtx, stopLast := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLast()
	type end struct {
		name string
		err  error
	}
	ends := make(chan end, len(parts))
	running := map[string]bool{}
	var others sync.WaitGroup // those that are not Last
	for _, p := range parts {
		running[p.Name] = true
		if p.Last {
			go func() { ends <- end{p.Name, p.Run(lastCtx)} }()
		} else {
			others.Go(func() { ends <- end{p.Name, p.Run(ctx)} })
		}
	}
	go func() {
		<-ctx.Done()
		others.Wait()
		stopLast()
	}()
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
