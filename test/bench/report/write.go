package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	folder        = "benchmarks"
	page          = "benchmarks.md"
	rounds        = "report.json"
	beginReport   = "<!-- report: written by make bench-long -->\n"
	endReport     = "<!-- end of report -->"
	beginHeadline = "<!-- headline: written by make bench-long -->\n"
	endHeadline   = "<!-- end of headline -->"
)

// Write writes the report into the documentation: the page benchmarks.md of the directory, between two marks, its plots beside it and the
// rounds in report.json, and the headlines into the README above, between two marks as well.
func (r Report) Write(docs string) error {
	plots := filepath.Join(docs, folder)
	old, err := filepath.Glob(filepath.Join(plots, "*.svg"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	for _, s := range r.Sections {
		for _, p := range s.Plots {
			if err := os.WriteFile(filepath.Join(plots, p.File()), []byte(p.SVG()), 0o644); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(plots, rounds), append(text, '\n'), 0o644),
		replace(filepath.Join(docs, page), beginReport, endReport, r.Markdown(folder)),
		replace(filepath.Join(docs, "..", "README.md"), beginHeadline, endHeadline, r.Headlines()),
	)
}

// replace replaces what a file has between two marks.
func replace(file, begin, end, text string) error {
	all, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(all), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s: want the lines %q and %q", file, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}
