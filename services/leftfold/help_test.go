package main

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
)

// execute runs the program with arguments and returns what it prints.
func execute(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var text bytes.Buffer
	root := newRoot(&text, io.Discard)
	root.SetArgs(withDoubleDashes(args))
	err = root.ExecuteContext(t.Context())
	return text.String(), err
}

func TestTheHelpOfEveryCommandFitsIntoATerminal(t *testing.T) {
	t.Parallel()
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		args := strings.Fields(c.CommandPath())[1:]
		out, err := execute(t, append(args, "-help")...)
		require.NoError(t, err)
		for line := range strings.Lines(out) {
			assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), service.Columns, "%s: %s", c.CommandPath(), line)
		}
		for _, child := range c.Commands() {
			if child.Name() != "completion" { // cobra's own
				visit(child)
			}
		}
	}
	visit(newRoot(io.Discard, io.Discard))
}

func TestTheHelpShowsTheCommandsOwnDefaults(t *testing.T) {
	t.Parallel()
	for command, environment := range map[string]string{"run": "local", "demo": "local", "issuer": "production"} {
		out, err := execute(t, command, "--help")
		require.NoError(t, err)
		assert.Regexp(t, `(?m)^  ENVIRONMENT .*(\n {26}.*)*\[`+environment+`\]`, out, command)
	}
	for _, command := range []string{"provision", "claims audit"} {
		out, err := execute(t, append(strings.Fields(command), "--help")...)
		require.NoError(t, err)
		assert.Contains(t, out, "AWS_ENDPOINT_URL", command)
	}
}

func TestMistakesOnTheCommandLineSayWhereTheHelpIs(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"demos":      `unknown arguments "demos"; leftfold --help lists what there is; did you mean leftfold demo?`,
		"demo now":   `unknown arguments "now"; leftfold demo --help lists what there is`,
		"demo --now": `unknown flag: --now; leftfold demo --help lists what there is`,
		"claims adit": `claims audit: unknown arguments "adit"; leftfold claims --help lists what there is; ` +
			`did you mean leftfold claims audit?`,
		"claims":             `claims audit: a command is missing; leftfold claims --help lists them`,
		"claims audit --fix": `claims audit: unknown flag: --fix; leftfold claims audit --help lists what there is`,
	} {
		_, err := execute(t, strings.Fields(line)...)
		require.EqualError(t, err, want)
	}
}

func TestTheVersionIsPrinted(t *testing.T) {
	t.Parallel()
	out, err := execute(t, "version")
	require.NoError(t, err)
	assert.Regexp(t, "^leftfold .*, commit .*\n$", out)
}

func TestTheListOfMakesTargetsFitsIntoATerminal(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed")
	}
	out, err := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", "../..", "help").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), service.Columns, line)
	}
	for target := range found(`(?m)^([a-z-]+):.*## `, read(t, "../../Makefile")) {
		assert.Regexp(t, `(?m)^  make `+target+`\b`, string(out))
	}
}
