// Package output prints what the operators' commands find: as a table or sentences for people, or as JSON for programs.
package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Format says for whom is printed. It is the value of a flag.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json" // one object a line
)

// String implements pflag.Value.
func (f *Format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *Format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *Format) Set(text string) error {
	switch Format(text) {
	case Table, JSON:
		*f = Format(text)
		return nil
	}
	return errors.New("want table or json")
}

// Column is a column of a table. A longer cell moves those behind it; widths are fixed so that each row is shown as it is found.
type Column struct {
	Name  string
	Width int // the last column's is not used
}

// Results is where the results of a command are written. It remembers the first error: what was not written is not known.
type Results struct {
	out      io.Writer
	terminal func() int
	err      error
}

// NewResults returns Results that are written to out. terminal is that of out: see Terminal.
func NewResults(out io.Writer, terminal func() int) *Results {
	return &Results{out: out, terminal: terminal}
}

// columns are those of the terminal; 0: there is none, or they are not known.
func (r *Results) columns() int {
	if r.terminal == nil {
		return 0
	}
	return r.terminal()
}

// Write implements io.Writer. Nothing is written after an error.
func (r *Results) Write(text []byte) (n int, err error) {
	if r.err == nil {
		n, r.err = r.out.Write(text)
	}
	return n, r.err
}

// Err returns the first error of Write.
func (r *Results) Err() error { return r.err }

// Printer prints records, each at once. Its Results have the errors.
type Printer struct {
	out     *Results
	format  Format
	columns []Column
	headed  bool
}

// New returns a Printer of a table with these columns.
func New(out *Results, format Format, columns ...Column) *Printer {
	return &Printer{out: out, format: format, columns: columns}
}

// Row prints a record as a row of the table, under a heading, or as object. On a terminal that is too narrow for the table, each cell has
// a line.
func (p *Printer) Row(object any, cells ...string) {
	switch columns := p.out.columns(); {
	case p.format == JSON:
		p.json(object)
		return
	case columns > 0 && p.width() > columns:
		p.record(cells)
		return
	}
	if !p.headed {
		names := make([]string, len(p.columns))
		for i, c := range p.columns {
			names[i] = c.Name
		}
		p.headed = true
		p.row(names)
	}
	p.row(cells)
}

// Line prints a record as a sentence, or as object.
func (p *Printer) Line(object any, sentence string) {
	if p.format == JSON {
		p.json(object)
		return
	}
	_, _ = fmt.Fprintln(p.out, sentence)
}

func (p *Printer) json(object any) {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(object)
}

const gap = 2 // between columns

// width is that of a table whose last column is as wide as its name.
func (p *Printer) width() int {
	last := len(p.columns) - 1
	width := len(p.columns[last].Name)
	for _, c := range p.columns[:last] {
		width += c.Width + gap
	}
	return width
}

// record prints a cell a line, behind its column's name, and an empty line between records.
func (p *Printer) record(cells []string) {
	if p.headed {
		_, _ = fmt.Fprintln(p.out)
	}
	p.headed = true
	widest := 0
	for _, c := range p.columns {
		widest = max(widest, len(c.Name))
	}
	for i, c := range p.columns {
		if cells[i] != "" {
			_, _ = fmt.Fprintf(p.out, "%-*s%s\n", widest+gap, c.Name, oneLine(cells[i]))
		}
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (p *Printer) row(cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		if cell = oneLine(cell); i < len(cells)-1 {
			cell = fmt.Sprintf("%-*s", p.columns[i].Width, cell) + strings.Repeat(" ", gap)
		}
		line.WriteString(cell)
	}
	_, _ = fmt.Fprintln(p.out, strings.TrimRight(line.String(), " "))
}
