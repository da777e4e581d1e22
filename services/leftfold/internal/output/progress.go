package output

import (
	"fmt"
	"io"
	"time"
)

// How often progress is shown: on a terminal, and elsewhere, where each time adds a line.
const (
	everyOnTerminal = 200 * time.Millisecond
	everyElsewhere  = 5 * time.Second
)

// Progress shows how far long work has come: on a terminal in one line that changes, elsewhere in a line from time to time.
type Progress struct {
	out      io.Writer
	terminal func() int // its columns; nil: there is none
	now      func() time.Time
	last     time.Time
	shown    bool
}

// NewProgress returns a Progress on out, which is the standard error of commands whose results go to standard output. terminal is that of
// out: see Terminal.
func NewProgress(out io.Writer, terminal func() int, now func() time.Time) *Progress {
	return &Progress{out: out, terminal: terminal, now: now, last: now()}
}

// Show shows what text returns, unless it is too early.
func (p *Progress) Show(text func() string) {
	every := everyElsewhere
	if p.terminal != nil {
		every = everyOnTerminal
	}
	now := p.now()
	if now.Sub(p.last) < every {
		return
	}
	p.last, p.shown = now, true
	if p.terminal != nil {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", cut(text(), p.terminal()))
		return
	}
	_, _ = fmt.Fprintln(p.out, text())
}

// cut shortens text to one line of a terminal: what is longer begins another line, which nothing removes.
func cut(text string, columns int) string {
	if runes := []rune(text); columns > 1 && len(runes) >= columns {
		return string(runes[:columns-2]) + "…"
	}
	return text
}

// End removes the line from a terminal, so that results follow. Show may be called again.
func (p *Progress) End() {
	if p.terminal != nil && p.shown {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
