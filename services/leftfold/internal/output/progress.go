package output

import (
	"fmt"
	"io"
	"os"
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
	now      func() time.Time
	terminal bool
	last     time.Time
	shown    bool
}

// NewProgress returns a Progress on out, which is the standard error of commands whose results go to standard output.
func NewProgress(out io.Writer, now func() time.Time) *Progress {
	file, ok := out.(*os.File)
	return &Progress{out: out, now: now, terminal: ok && IsTerminal(file), last: now()}
}

// IsTerminal reports whether a person sees what is written to file at once.
func IsTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Show shows what text returns, unless it is too early.
func (p *Progress) Show(text func() string) {
	every := everyElsewhere
	if p.terminal {
		every = everyOnTerminal
	}
	now := p.now()
	if now.Sub(p.last) < every {
		return
	}
	p.last, p.shown = now, true
	if p.terminal {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", text())
		return
	}
	_, _ = fmt.Fprintln(p.out, text())
}

// End removes the line from a terminal, so that results follow. Show may be called again.
func (p *Progress) End() {
	if p.terminal && p.shown {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
