package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/bench/cases"
)

// The programs are those of the tests of the whole system.
var programs = filepath.Join("..", "..", "bin", "processes")

// Each case runs to its end, and every row of its tables has what was measured.
func TestEveryCaseMeasures(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: builds the services and runs them as processes")
	}
	dir, err := build(t.Context(), programs)
	require.NoError(t, err)
	for _, c := range cases.All() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b := cases.Bench{Programs: dir, Size: cases.Tiny(), Say: t.Logf}
			section, err := c.Run(t.Context(), b)
			require.NoError(t, err)
			assert.Equal(t, c.Name, section.Case)
			assert.NotEmpty(t, section.Text)
			require.NotEmpty(t, section.Tables)
			for _, table := range section.Tables {
				headline := table.Headline == ""
				for _, row := range table.Rows {
					assert.Len(t, row.Samples, len(table.Columns)-1, "%s: %s", c.Name, row.Name)
					assert.NotEmpty(t, slices.Concat(row.Samples...), "%s: %s: %v", c.Name, row.Name, table)
					headline = headline || row.Name == table.Headline
				}
				assert.True(t, headline, "the README shows the row %q", table.Headline)
			}
			for _, plot := range section.Plots {
				for _, line := range plot.Lines {
					assert.NotEmpty(t, line.At, "%s: %s", plot.Name, line.Name)
				}
			}
		})
	}
}

func TestTheCasesAreListed(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"--list"}, &out, io.Discard))
	assert.Equal(t, len(cases.All()), strings.Count(out.String(), "\n"))
	out.Reset()
	require.NoError(t, run(t.Context(), []string{"--list", "--only", "rebuild,commands"}, &out, io.Discard))
	assert.Regexp(t, `(?s)^rebuild .*\ncommands .*\n$`, out.String())
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--only nothing: no case has this name; --list shows them": {"--only", "nothing"},
		"--quick and --long: want one of them":                     {"--quick", "--long"},
		"commands: not a flag; --help lists them":                  {"commands"},
	} {
		require.EqualError(t, run(t.Context(), args, io.Discard, io.Discard), want)
	}
}

// The pages of this repository have the marks that a report is written between.
func TestTheDocumentationHasAPlaceForTheReport(t *testing.T) {
	t.Parallel()
	for file, mark := range map[string]string{"docs/benchmarks.md": "report", "README.md": "headline"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		require.NoError(t, err)
		assert.Contains(t, string(text), "<!-- "+mark+": written by make bench-long -->\n", file)
		assert.Contains(t, string(text), "<!-- end of "+mark+" -->", file)
	}
}
