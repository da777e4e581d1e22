package report

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Machine says on what this program runs.
func Machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile(filepath.FromSlash("/proc/cpuinfo")); err == nil { // on Linux
		_, after, _ := strings.Cut(string(info), "model name")
		line, _, _ := strings.Cut(after, "\n")
		model = cmp.Or(strings.TrimLeft(line, "\t :"), model)
	}
	return fmt.Sprintf("%s, %d processors, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
