package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/fleet"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

// runServices runs every service as a process of its own, but those that somebody else starts.
func runServices(ctx context.Context, lookup service.Lookup, without []string, out io.Writer, logs *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return err
	}
	options := fleet.Options{
		Leftfold: self, Without: without, Out: out, Logs: logs, Colour: output.IsTerminal(logs) && os.Getenv("NO_COLOR") == "", // https://no-color.org
	}
	start := func(ctx context.Context, cfg app.Config, _ io.Writer) (*fleet.Fleet, error) {
		return fleet.New(ctx, cfg, lookup, options)
	}
	return run(ctx, lookup, out, logs, start, servicesBanner)
}

func servicesBanner(f *fleet.Fleet, cfg app.Config) string {
	var own strings.Builder
	for _, s := range f.Services {
		fmt.Fprintf(&own, "  %-15s http://%s", s.Name, s.Admin)
		if s.API != "" {
			fmt.Fprintf(&own, "   its API http://%s", s.API)
		}
		own.WriteString("\n")
	}
	return fmt.Sprintf(`Leftfold's services are starting, each as a process of its own, with an AWS.
%[1]s

  API             http://%[2]s   of all services
  console         http://%[2]s/console
  AWS             http://%[3]s
%[4]s
The addresses beside the services' names have /healthz, /readyz and /metrics.
LOG_LEVEL=info shows what they do. Ctrl-C stops everything.

`, cfg.Kept(), f.APIAddr, f.AWSAddr, own.String())
}
