// Command release makes the tags under which Leftfold's modules are taken, and prints what the changelog says of a release. docs/release.md
// has the steps around it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
)

var errUsage = errors.New(`usage:
  release notes v0.1.0   print what CHANGELOG.md says of a version
  release tag v0.1.0     commit and tag the modules of the commit that is checked out, without touching the checkout, and print the tags`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, ".", os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, repo string, args []string, out io.Writer) error {
	if len(args) != 2 || args[0] != "notes" && args[0] != "tag" {
		return errUsage
	}
	version := args[1]
	changelog, err := os.ReadFile(filepath.Join(repo, "CHANGELOG.md")) //nolint:gosec // the caller's own repository
	if err != nil {
		return err
	}
	notes, err := notesOf(string(changelog), version)
	if err != nil {
		return err
	}
	if args[0] == "notes" {
		_, err := fmt.Fprintln(out, notes)
		return err
	}
	cache, err := os.MkdirTemp("", "release-modules")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(cache) }()
	tags, err := tagModules(ctx, repo, version, cache)
	for _, tag := range tags {
		_, _ = fmt.Fprintln(out, tag)
	}
	return err
}
