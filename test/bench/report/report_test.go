package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
)

func example() report.Report {
	line := report.Line{Name: "p99 < 1"}
	line.Add(50, measure.Sample{10, 12, 11})
	line.Add(400, measure.Sample{90, 100, 80})
	table := report.Table{Columns: []string{"commands", "a second", "of the floor"}, Headline: "update"}
	table.Add("bare put", measure.Sample{1000, 1100, 900}, nil)
	table.Add("update", measure.Sample{500, 600, 550}, measure.Sample{0.5, 0.545, 0.61})
	return report.Report{
		Command: "make bench-long", At: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Took: report.Duration(90 * time.Second),
		Machine: report.Machine{CPU: "a processor", Cores: 2, System: "linux/amd64", Go: "go1.26", Load: "0.10", Commit: "abc"},
		Sections: []report.Section{{
			Case: "commands", Title: "Commands", Text: "How it was done.", Tables: []report.Table{table},
			Plots: []report.Plot{{Name: "commands", Title: "Rates & times", X: "a second", Y: "ms", LogX: true, Lines: []report.Line{line}}},
		}},
	}
}

const origin = "Made by `make bench-long` on 28 November 2026, in 1m30s, of commit abc. 2 cores (a processor), linux/amd64, go1.26. " +
	"Load of the machine\nbefore the run: 0.10."

func TestTheReportNamesItsCommandMachineAndSpread(t *testing.T) {
	t.Parallel()
	assert.Equal(t, origin+" A value is the median of its rounds, with the least and the largest in parentheses; rounds of what is "+
		`compared take
turns.

## Commands

How it was done.

| commands | a second | of the floor |
|---|---|---|
| bare put | 1,000 (900–1,100) |  |
| update | 550 (500–600) | 0.55 (0.50–0.61) |

![Rates & times](benchmarks/commands.svg)
`, example().Markdown("benchmarks"))
}

func TestJSONHasEveryRound(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, example().JSON(&out))
	var read struct {
		Took     string
		Sections []struct {
			Tables []struct {
				Rows []struct{ Samples [][]float64 }
			}
		}
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &read))
	assert.Equal(t, "1m30s", read.Took)
	assert.Equal(t, []float64{500, 600, 550}, read.Sections[0].Tables[0].Rows[1].Samples[0])
}

func TestThePageAndTheREADMEKeepWhatIsOutsideOfTheMarks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	docs := filepath.Join(root, "docs")
	stale := filepath.Join(docs, "benchmarks", "gone.svg")
	page, readme := filepath.Join(docs, "benchmarks.md"), filepath.Join(root, "README.md")
	require.NoError(t, os.MkdirAll(filepath.Dir(stale), 0o755))
	for file, text := range map[string]string{
		stale: "", page: "Before\n<!-- report: written by make bench-long -->\nold\n<!-- end of report -->\nAfter\n",
		readme: "Before\n<!-- headline: written by make bench-long -->\nold\n<!-- end of headline -->\nAfter\n",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	require.NoError(t, example().Write(docs))
	written, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Regexp(t, `(?s)^Before\n<!-- report: .*Made by .*<!-- end of report -->\nAfter\n$`, string(written))
	assert.NotContains(t, string(written), "old")
	written, err = os.ReadFile(readme)
	require.NoError(t, err)
	assert.Equal(t, "Before\n<!-- headline: written by make bench-long -->\n"+origin+
		"\n\n| commands | a second | of the floor |\n|---|---|---|\n"+
		"| update | 550 (500–600) | 0.55 (0.50–0.61) |\n<!-- end of headline -->\nAfter\n", string(written))
	assert.NoFileExists(t, stale)
	assert.FileExists(t, filepath.Join(docs, "benchmarks", "commands.svg"))

	require.NoError(t, os.WriteFile(page, []byte("no marks"), 0o644))
	require.ErrorContains(t, example().Write(docs), "benchmarks.md: want the lines")
}

// One case is measured again, the others stay, and the page says which is newer.
func TestACaseIsMeasuredAgainByItself(t *testing.T) {
	t.Parallel()
	docs := t.TempDir()
	order := []string{"commands", "backlog", "growth"}
	first := example()
	first.Sections = append(first.Sections, report.Section{Case: "growth", Title: "Growth"})
	again := example()
	again.Machine.Load, again.Machine.Commit = "0.20", "def"
	again.Sections = []report.Section{{Case: "backlog", Title: "Backlogs", Text: "New."}, {Case: "growth", Title: "Growth", Text: "Newer."}}
	_, err := again.Over(docs, order)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(docs, "benchmarks"), 0o755))
	_ = first.Write(docs) // there is no page
	all, err := again.Over(docs, order)
	require.NoError(t, err)
	const by = "Measured again by itself on 28 November 2026, in 1m30s, of commit def. Load of the machine before the run: 0.20.\n"
	page := all.Markdown("benchmarks")
	assert.Contains(t, page, "of commit abc. 2 cores")
	assert.Contains(t, page, "## Backlogs\n\nNew. "+by+"\n## Growth\n\nNewer. "+by)
	assert.Less(t, strings.Index(page, "## Commands"), strings.Index(page, "## Backlogs"))
	assert.Equal(t, 1, strings.Count(page, "## Growth"))

	again.Machine.Cores = 64
	_, err = again.Over(docs, order)
	require.ErrorContains(t, err, "report.json is of another machine, 2 cores (a processor), linux/amd64, go1.26. Want all cases of one")
}

func TestAPlotIsWellFormedAndShowsEachPointWithItsSpread(t *testing.T) {
	t.Parallel()
	svg := example().Sections[0].Plots[0].SVG()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	elements := map[string]int{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			for _, a := range start.Attr {
				elements[start.Name.Local+"."+a.Name.Local+"="+a.Value]++
			}
		}
	}
	assert.Equal(t, 2, elements["line.class=spread c0"])
	assert.Equal(t, 2, elements["circle.class=c0"])
	assert.Contains(t, svg, "Rates &amp; times")
	assert.Contains(t, svg, "p99 &lt; 1")
	assert.Contains(t, svg, "prefers-color-scheme:dark")
	assert.NotContains(t, svg, "NaN")
	assert.NotContains(t, svg, "Inf")
}

func TestAPlotOfNothingOrOnePointIsOne(t *testing.T) {
	t.Parallel()
	one := report.Line{Name: "one"}
	one.Add(5, measure.Sample{7})
	ofOne := []report.Line{one}
	for _, p := range []report.Plot{{}, {Lines: ofOne}, {LogX: true, LogY: true, Lines: ofOne}, {Lines: []report.Line{{}}}} {
		svg := p.SVG()
		assert.NotContains(t, svg, "NaN")
		assert.NotContains(t, svg, "Inf")
	}
}

// A long run that was ended goes on where it was, and no run takes what another commit, machine or command has measured.
func TestARunGoesOnWhereTheOneBeforeWasEnded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new", "kept.json")
	begun := report.Report{Command: "bench --long", Machine: report.Machine{Cores: 2, Commit: "abc", Load: "1"}}
	first, err := begun.GoOn(file)
	require.NoError(t, err)
	assert.Empty(t, first.Sections)
	first.Sections, first.Took = []report.Section{{Case: "commands"}}, report.Duration(90*time.Second)
	require.NoError(t, first.Keep(file))

	begun.Machine.Load = "2"
	again, err := begun.GoOn(file)
	require.NoError(t, err)
	assert.Equal(t, first, again)
	assert.True(t, again.Has("commands"))
	assert.False(t, again.Has("growth"))
	for _, other := range []report.Report{
		{Command: "bench", Machine: begun.Machine},
		{Command: begun.Command, Machine: report.Machine{Cores: 4, Commit: "abc"}},
		{Command: begun.Command, Machine: report.Machine{Cores: 2, Commit: "def"}},
	} {
		got, err := other.GoOn(file)
		require.NoError(t, err)
		assert.Empty(t, got.Sections)
	}
	changed := report.Report{Machine: report.Machine{Commit: "abc-dirty"}, Sections: first.Sections}
	require.NoError(t, changed.Keep(file))
	got, err := report.Report{Machine: report.Machine{Commit: "abc-dirty"}}.GoOn(file)
	require.NoError(t, err)
	assert.Empty(t, got.Sections)

	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	got, err = begun.GoOn(file)
	require.NoError(t, err)
	assert.Empty(t, got.Sections)
}
