package report_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/compare/internal/report"
)

func results() report.Results {
	costs := func(cpu ...float64) (out []report.Cost) {
		for _, ms := range cpu {
			out = append(out, report.Cost{Calls: 2, ReadUnits: 1, WriteUnits: 2, CPU: ms})
		}
		return out
	}
	good := report.Contender{
		Name: "good", Language: "Go", Update: costs(3, 1, 2), Open: costs(1, 1, 1), Bare: costs(1, 1, 1),
		Race: []report.Race{{Accepted: 232, Read: 232}, {Accepted: 230, Read: 230}}, Gap: []report.Gap{{}},
		Lost: []report.Lost{{Read: 1}}, Unique: []report.Unique{{Accepted: 1}}, Big: []report.Big{{Written: 150, Read: 150}},
	}
	bad := report.Contender{
		Name: "bad", Variant: "fast", Language: "C", Race: []report.Race{{Accepted: 232, Read: 232}, {Accepted: 232, Read: 200}},
		Gap: []report.Gap{{Accepted: true}}, Lost: []report.Lost{{Read: 2}, {Read: 1, Error: "refused"}, {Read: 2}},
		Unique: []report.Unique{{Accepted: 8}}, Big: []report.Big{{Written: 150, Read: 103}},
	}
	bad.Fail("update", errors.New("no `table`"))
	stuck := report.Contender{Name: "stuck", Big: []report.Big{{Written: 103, Read: 103}}}
	return report.Results{
		Writers: 8, BigEvents: 150, Skipped: []string{"absent"}, Contenders: []report.Contender{good, bad, stuck},
	}
}

func TestCostsAreMediansWithTheirSpreadBesideABareWrite(t *testing.T) {
	t.Parallel()
	text := results().Markdown()
	assert.Contains(t, text, "| good | Go | 2.0 | 1.0 | 2.0 | 1.38 | 2.00 (1.00–3.00) | 2.0 (1.0–3.0) |")
	assert.Contains(t, text, "| bad, fast | C | fails | | | | | |", "also what follows a task that fails")
	assert.Contains(t, text, "- bad, fast fails in the task update: `no 'table'`")
	assert.Contains(t, text, "left out: absent.")
}

func TestTheWorstOfWhatGoesWrongIsShown(t *testing.T) {
	t.Parallel()
	text := results().Markdown()
	assert.Contains(t, text, "| good | 231 (230–232), 0 | refused | written once | 1 has it | whole |")
	assert.Contains(t, text, "| bad, fast | 232, **32** | **accepted** | **written 2 times**; written, but reported as failed | "+
		"**8 have it** | **103 of 150 events** |")
	assert.Contains(t, text, "| stuck | not offered | not offered | not offered | not offered | **no append after event 103** |")
}

func TestTheReportStandsBetweenItsMarkers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	page := filepath.Join(folder, "comparison.md")
	require.ErrorIs(t, results().Write(folder), os.ErrNotExist)
	require.NoError(t, os.WriteFile(page, []byte("before\n"), 0o600))
	require.ErrorContains(t, results().Write(folder), "lacks the lines")

	begin, end := "<!-- comparison: written by a program -->\n", "<!-- end of comparison -->"
	require.NoError(t, os.WriteFile(page, []byte("before\n"+begin+"old\n"+end+"\nafter\n"), 0o600))
	require.NoError(t, results().Write(folder))
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(text), "before\n"+begin) && strings.HasSuffix(string(text), end+"\nafter\n"))
	assert.NotContains(t, string(text), "old")

	raw, err := os.ReadFile(filepath.Join(folder, "comparison.json"))
	require.NoError(t, err)
	var back report.Results
	require.NoError(t, json.Unmarshal(raw, &back))
	assert.Equal(t, results(), back)
}

func TestFailuresNameLibraryAndTask(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, results().Failures(), "bad, fast: update: no `table`")
	require.NoError(t, report.Results{}.Failures())
}
