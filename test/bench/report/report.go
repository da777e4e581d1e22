// Package report writes what was measured: as JSON with every round, and as Markdown with plots, medians and spreads.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/leftfold/leftfold/test/bench/measure"
)

// Report is what a run has measured.
type Report struct {
	// Command is what was run.
	Command  string    `json:"command"`
	At       time.Time `json:"at"`
	Took     Duration  `json:"took"`
	Machine  Machine   `json:"machine"`
	Sections []Section `json:"sections"`
}

// Duration is a time span, in JSON as Go writes it.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	span, err := time.ParseDuration(string(text))
	*d = Duration(span)
	return err
}

func (d Duration) String() string { return time.Duration(d).Round(time.Second).String() }

// Section is what one case has measured.
type Section struct {
	Case  string `json:"case"`
	Title string `json:"title"`
	// Text says what was done, and how to read the tables.
	Text   string  `json:"text"`
	Tables []Table `json:"tables"`
	Plots  []Plot  `json:"plots,omitempty"`
	// Again says when it was measured, if that was by itself, after the report.
	Again *Again `json:"again,omitempty"`
}

// Again is a run of one case, on the machine of the report.
type Again struct {
	At     time.Time `json:"at"`
	Took   Duration  `json:"took"`
	Load   string    `json:"load,omitempty"`
	Commit string    `json:"commit"`
}

func (a *Again) String() string {
	return fmt.Sprintf("Measured again by itself on %s, in %s, of commit %s.%s",
		a.At.Format("2 January 2006"), a.Took, a.Commit, loadBefore(a.Load))
}

// Table has a row for each thing that was measured, and in each a sample for each column but the first, which names the row.
type Table struct {
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
	// Headline is the name of the row that the README shows; "" for none.
	Headline string `json:"headline,omitempty"`
}

// Row is one row of a Table.
type Row struct {
	Name    string           `json:"name"`
	Samples []measure.Sample `json:"samples"`
}

// Add adds a row.
func (t *Table) Add(name string, samples ...measure.Sample) {
	t.Rows = append(t.Rows, Row{name, samples})
}

// JSON writes the report with every round.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Markdown returns the report. Plots are files of that folder, named by Plot.File.
func (r Report) Markdown(folder string) string {
	var out strings.Builder
	out.WriteString(wrap(r.origin() + " A value is the median of its rounds, with the least and the largest in parentheses; rounds of " +
		"what is compared take turns."))
	for _, s := range r.Sections {
		text := s.Text
		if s.Again != nil {
			text += " " + s.Again.String()
		}
		fmt.Fprintf(&out, "\n## %s\n\n%s", s.Title, wrap(text))
		for _, t := range s.Tables {
			out.WriteString("\n" + t.String())
		}
		for _, p := range s.Plots {
			fmt.Fprintf(&out, "\n![%s](%s/%s)\n", p.Title, folder, p.File())
		}
	}
	return out.String()
}

// origin says how the report was made.
func (r Report) origin() string {
	return fmt.Sprintf("Made by `%s` on %s, in %s, of commit %s. %s",
		r.Command, r.At.Format("2 January 2006"), r.Took, r.Machine.Commit, r.Machine)
}

// wrap breaks a paragraph into lines of at most 140 characters.
func wrap(text string) string {
	const most = 140
	var out strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case length == 0:
		case length+1+n > most:
			out.WriteByte('\n')
			length = 0
		default:
			out.WriteByte(' ')
			length++
		}
		out.WriteString(word)
		length += n
	}
	out.WriteByte('\n')
	return out.String()
}

// String returns the table in Markdown.
func (t Table) String() string {
	var out strings.Builder
	out.WriteString("| " + strings.Join(t.Columns, " | ") + " |\n|" + strings.Repeat("---|", len(t.Columns)) + "\n")
	for _, row := range t.Rows {
		cells := []string{row.Name}
		for _, sample := range row.Samples {
			cells = append(cells, sample.String())
		}
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return out.String()
}

// Headlines are the rows that the README shows, with the columns of their tables, as a table each, after how they were made.
func (r Report) Headlines() string {
	var out strings.Builder
	out.WriteString(wrap(r.origin()))
	for _, s := range r.Sections {
		for _, t := range s.Tables {
			for _, row := range t.Rows {
				if t.Headline != "" && row.Name == t.Headline {
					out.WriteString("\n" + Table{Columns: t.Columns, Rows: []Row{row}}.String())
				}
			}
		}
	}
	return out.String()
}
