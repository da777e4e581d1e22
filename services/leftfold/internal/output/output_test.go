package output_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

type record struct {
	Name string `json:"name"`
}

func TestATableHasOneHeadingAndEachRowAtOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := output.New(output.NewResults(&out, nil), output.Table, output.Column{Name: "NAME", Width: 5}, output.Column{Name: "WHY"})
	assert.Empty(t, out.String(), "no heading without rows")
	p.Row(record{}, "a", "two\nlines")
	assert.Equal(t, "NAME   WHY\na      two lines\n", out.String())
	p.Row(record{}, "longer than that", "")
	p.Line(record{}, "a sentence")
	assert.Equal(t, "NAME   WHY\na      two lines\nlonger than that\na sentence\n", out.String())
}

func columns(n int) func() int { return func() int { return n } }

func TestATableThatIsWiderThanTheTerminalHasALineForEachCell(t *testing.T) {
	t.Parallel()
	const table = "NAME   WHY\na      because\nlonger than that\n"
	for terminal, want := range map[int]string{
		0: table, 10: table, // as wide as the table
		9: "NAME  a\nWHY   because\n\nNAME  longer than that\n",
	} {
		var out bytes.Buffer
		results := output.NewResults(&out, columns(terminal))
		p := output.New(results, output.Table, output.Column{Name: "NAME", Width: 5}, output.Column{Name: "WHY"})
		p.Row(record{}, "a", "because")
		p.Row(record{}, "longer than that", "")
		assert.Equal(t, want, out.String(), "%d columns", terminal)
	}
}

// A line that is longer than the terminal would leave a part of itself behind.
func TestProgressOnATerminalIsOneLineOfIt(t *testing.T) {
	t.Parallel()
	for terminal, want := range map[int]string{0: "so far, so good", 16: "so far, so good", 15: "so far, so go…", 8: "so far…"} {
		var out bytes.Buffer
		at := time.Time{}
		p := output.NewProgress(&out, columns(terminal), func() time.Time { return at })
		at = at.Add(time.Second)
		p.Show(func() string { return "so far, so good" })
		p.End()
		assert.Equal(t, "\r\x1b[K"+want+"\r\x1b[K", out.String(), "%d columns", terminal)
	}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := output.New(output.NewResults(&out, nil), output.JSON, output.Column{Name: "NAME"})
	p.Row(record{"<a>"}, "a")
	p.Line(record{"b"}, "a sentence")
	lines := strings.Split(out.String(), "\n")
	require.Len(t, lines, 3)
	assert.JSONEq(t, `{"name":"<a>"}`, lines[0])
	assert.JSONEq(t, `{"name":"b"}`, lines[1])
}

func TestTheFirstErrorOfWritingIsRemembered(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	failing := &failingOnce{err: full}
	results := output.NewResults(failing, nil)
	for _, format := range []output.Format{output.Table, output.JSON} {
		p := output.New(results, format, output.Column{Name: "NAME"})
		p.Row(record{"a"}, "a")
		p.Line(record{"b"}, "a sentence")
	}
	require.ErrorIs(t, results.Err(), full)
	assert.Empty(t, failing.String(), "no part of what follows")
}

// failingOnce fails to write once.
type failingOnce struct {
	bytes.Buffer

	err error
}

func (f *failingOnce) Write(text []byte) (int, error) {
	if err := f.err; err != nil {
		f.err = nil
		return 0, err
	}
	return f.Buffer.Write(text)
}

func TestOnlyTheTwoFormatsAreAccepted(t *testing.T) {
	t.Parallel()
	var f output.Format
	require.NoError(t, f.Set("json"))
	assert.Equal(t, output.JSON, f)
	require.Error(t, f.Set("JSON"))
}

// What a log file gets is whole lines, and few.
func TestProgressElsewhereThanOnATerminalIsALineFromTimeToTime(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	at := time.Time{}
	p := output.NewProgress(&out, nil, func() time.Time { return at })
	for range 11 {
		p.Show(func() string { return "so far" })
		at = at.Add(time.Second)
	}
	p.End()
	assert.Equal(t, strings.Repeat("so far\n", 2), out.String())
}
