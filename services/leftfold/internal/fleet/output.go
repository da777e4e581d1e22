package fleet

import (
	"bytes"
	"fmt"
	"io"
)

// output returns the writer of a process.
func (o Options) output(services []Service, process string) io.Writer {
	width, colour := len("aws"), 0
	for i, s := range services {
		width = max(width, len(s.Name))
		if s.Name == process {
			colour = i + 1
		}
	}
	prefix := fmt.Sprintf("%-*s | ", width, process)
	if o.Colour {
		const first, colours = 31, 6 // of a terminal: red to cyan
		prefix = fmt.Sprintf("\x1b[%dm%s\x1b[0m", first+colour%colours, prefix)
	}
	return &lines{to: o.Logs, prefix: []byte(prefix)}
}

// lines writes whole lines to a writer that others use, too, each after a prefix.
type lines struct {
	to     io.Writer // takes one Write at a time
	prefix []byte
	begun  []byte // a line that has not ended
}

// Write implements io.Writer.
func (l *lines) Write(text []byte) (int, error) {
	l.begun = append(l.begun, text...)
	end := bytes.LastIndexByte(l.begun, '\n') + 1
	var out []byte
	for line := range bytes.Lines(l.begun[:end]) {
		out = append(append(out, l.prefix...), line...)
	}
	l.begun = append(l.begun[:0], l.begun[end:]...)
	if len(out) > 0 {
		if _, err := l.to.Write(out); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}
