package output

import (
	"io"
	"os"
)

// IsTerminal reports whether a person sees what is written to file at once.
func IsTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Terminal returns what tells the columns of the terminal that shows what is written to out, 0 if they are not known. It returns nil if
// out is no terminal.
func Terminal(out io.Writer) func() int {
	file, ok := out.(*os.File)
	if !ok || !IsTerminal(file) {
		return nil
	}
	return func() int { return columns(file) }
}
