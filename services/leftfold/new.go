package main

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
	"github.com/leftfold/leftfold/services/leftfold/internal/scaffold"
)

const aboutNewAggregate = `Write a new aggregate into the clone of this repository that the working
directory is in: its rules, commands, read model, service and tests, and the
lines by which everything else knows of it. NAME is one word in the singular.

It writes all files or none, and then runs the tests that write what follows
from them: documents, Compose, Terraform.`

// newNew returns the command that makes parts of a system.
func newNew(out, logs io.Writer) *cobra.Command {
	var a scaffold.Aggregate
	var dryRun, noUpdate bool
	aggregate := &cobra.Command{
		Use: "aggregate NAME", Short: "Add an aggregate with its projector to this clone", Long: aboutNewAggregate,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want one name, as in %s group", c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			a.Name = args[0]
			plan, err := scaffold.New(".", a)
			if err != nil {
				return err
			}
			status := exec.CommandContext(c.Context(), "git", "status", "--porcelain")
			status.Dir = plan.Root
			if changes, err := status.Output(); err == nil && len(changes) > 0 {
				_, _ = fmt.Fprintln(logs, "There are changes that are not committed: git diff will show them among those made now.")
			}
			added, changed := plan.Names()
			_, _ = fmt.Fprintf(out, "%s new:\n  %s\n%s changed:\n  %s\n", amount.Of(len(added), "file"), strings.Join(added, "\n  "),
				amount.Of(len(changed), "file"), strings.Join(changed, "\n  "))
			if dryRun {
				_, _ = fmt.Fprintln(out, "Nothing was written: --dry-run.")
				return nil
			}
			if err := plan.Write(); err != nil {
				return fmt.Errorf("write the new aggregate; nothing is changed: %w", err)
			}
			if err := update(c, out, plan, noUpdate); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(out, "\n%s", a.Summary())
			return nil
		},
	}
	aggregate.Flags().StringVar(&a.Plural, "plural", "", "what many of them are called, if irregular")
	aggregate.Flags().BoolVar(&dryRun, "dry-run", false, "only list the files")
	aggregate.Flags().BoolVar(&noUpdate, "no-update", false, "print the commands, and do not run them")
	c := group("new", "Add to a system of your own", func(err error) error { return err }, aggregate)
	c.GroupID = toRun
	return c
}

// update runs the commands for what tests write, or prints them.
func update(c *cobra.Command, out io.Writer, plan *scaffold.Plan, only bool) error {
	var failed error
	for _, command := range plan.Update {
		line := shown(command)
		_, _ = fmt.Fprintf(out, "$ %s\n", line)
		if only {
			continue
		}
		cmd := exec.CommandContext(c.Context(), command[0], command[1:]...) //nolint:gosec // our own
		cmd.Dir = plan.Root
		if text, err := cmd.CombinedOutput(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("the aggregate is written, but this failed, to be run again: %s: %w\n%s", line, err, text))
		}
	}
	return failed
}

// shown is a command as a shell takes it.
func shown(command []string) string {
	var words []string
	for _, word := range command {
		if strings.ContainsAny(word, "|$") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
