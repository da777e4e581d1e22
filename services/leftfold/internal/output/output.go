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
	out io.Writer
	err error
}

// NewResults returns Results that are written to out.
func NewResults(out io.Writer) *Results { return &Results{out: out} }

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

// Row prints a record as a row of the table, under a heading, or as object.
func (p *Printer) Row(object any, cells ...string) {
	if p.format == JSON {
		p.json(object)
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

func (p *Printer) row(cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		cell = strings.Join(strings.Fields(cell), " ") // a row is a line
		if i < len(cells)-1 {
			cell = fmt.Sprintf("%-*s  ", p.columns[i].Width, cell)
		}
		line.WriteString(cell)
	}
	_, _ = fmt.Fprintln(p.out, strings.TrimRight(line.String(), " "))
}
