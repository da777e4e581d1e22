package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	fatal    = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|goleak: |SIGQUIT|SIGSEGV|signal: )`)
	detector = regexp.MustCompile(`^(ThreadSanitizer: CHECK failed|FATAL: ThreadSanitizer)`)
	inC      = regexp.MustCompile(`^goroutine 0 gp=\S+ m=\d+ mp=\S+ \[idle\]:`)
	placed   = regexp.MustCompile(`^\s*([\w.-]+\.go:\d+): ?(.*)$`)
	compiled = regexp.MustCompile(`^\S+\.go:\d+:\d+: `)
	label    = regexp.MustCompile(`^\s+(Error Trace|Error|Test|Messages):\s*(.*)$`)
)

// detectorCrashed reports whether the race detector itself crashed: it says so, or a wrong address was used by C code, of which the tests
// have no other.
func detectorCrashed(output []string) bool {
	segv := slices.IndexFunc(output, func(line string) bool { return strings.HasPrefix(line, "SIGSEGV: ") })
	return slices.ContainsFunc(output, detector.MatchString) || segv >= 0 && slices.ContainsFunc(output[segv:], inC.MatchString)
}

// reason returns the one line of a failed test's output that says why it failed.
func reason(output []string) string {
	last := "no output"
	for i, line := range output {
		switch m := placed.FindStringSubmatch(line); {
		case fatal.MatchString(line), compiled.MatchString(line):
			return clip(line)
		case m != nil && strings.TrimSpace(m[2]) == "" && i+1 < len(output):
			if why := assertion(output[i+1:]); why != "" {
				return clip(m[1] + ": " + why)
			}
		case m != nil:
			last = m[1] + ": " + m[2]
		case last == "no output" && strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "=== "):
			last = strings.TrimSpace(line)
		}
	}
	return clip(last)
}

// assertion joins the error and the messages that testify prints, up to the name of the test.
func assertion(lines []string) string {
	var parts []string
	part := ""
	for _, line := range lines {
		text := strings.TrimSpace(line)
		if m := label.FindStringSubmatch(line); m != nil {
			part, text = m[1], strings.TrimSpace(m[2])
		} else if placed.MatchString(line) || strings.HasPrefix(text, "--- ") {
			break
		}
		if strings.HasPrefix(text, "Diff:") {
			part = text
		}
		if text != "" && (part == "Error" || part == "Messages") {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " ")
}

const widest = 300

func clip(line string) string {
	line = filepath.ToSlash(strings.TrimSpace(line))
	if text := []rune(line); len(text) > widest {
		return string(text[:widest]) + "…"
	}
	return line
}
