// Package walkthrough_test runs the step-by-step guides of the documentation.
package walkthrough_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

const root = "../../.." // of the repository

// TestAddAnAggregateWorksAsWritten follows docs/add-an-aggregate.md, step by step, in a copy of the repository, and
// compares the page with its own counts.
func TestAddAnAggregateWorksAsWritten(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "make"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "add-an-aggregate.md"))
	require.NoError(t, err)
	steps := stepsOf(t, string(page))
	scratch := t.TempDir()
	copyTree(t, scratch)
	costs := map[string]*cost{}
	for _, s := range steps {
		if costs[s.chapter] == nil {
			costs[s.chapter] = &cost{files: map[string]bool{}}
		}
		s.carryOut(t, scratch, costs[s.chapter])
	}

	event := costs["One more event"]
	require.NotNil(t, event, "the page has lost that chapter")
	assert.LessOrEqual(t, event.places, 6, "places to add an event and its command")
	assert.LessOrEqual(t, len(event.files), 3, "files to add an event and its command")
	assert.LessOrEqual(t, event.lines, 25, "lines to add an event and its command")
	total := cost{files: map[string]bool{}}
	for _, c := range costs {
		total.add(c)
	}
	for _, c := range []*cost{event, &total} {
		assert.Contains(t, string(page), c.String(), "the count that the page gives")
	}
}

// step is a fenced block of the page with what its mark says to do with it.
type step struct{ chapter, mark, text string }

// stepsOf reads the page: a mark is an HTML comment right before a fenced block.
func stepsOf(t *testing.T, page string) []step {
	t.Helper()
	var steps []step
	for i, chapter := range regexp.MustCompile(`(?m)^## `).Split(page, -1) {
		title, _, _ := strings.Cut(chapter, "\n")
		if i == 0 {
			title = ""
		}
		for _, m := range regexp.MustCompile("(?s)<!-- ([^\n]+) -->\n```[a-z]*\n(.*?)```").FindAllStringSubmatch(chapter, -1) {
			steps = append(steps, step{chapter: title, mark: m[1], text: m[2]})
		}
	}
	require.NotEmpty(t, steps)
	return steps
}

// cost counts what the steps of a chapter write, blank lines and comments aside.
type cost struct {
	places, lines int
	files         map[string]bool
}

func (c *cost) wrote(file, text string) {
	c.places++
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			c.lines++
		}
	}
	c.files[file] = true
}

func (c *cost) add(other *cost) {
	c.places += other.places
	c.lines += other.lines
	for file := range other.files {
		c.files[file] = true
	}
}

func (c *cost) String() string {
	return fmt.Sprintf("%d places in %d files, %d lines", c.places, len(c.files), c.lines)
}

var (
	newFile   = regexp.MustCompile(`^new: (\S+)$`)
	afterLine = regexp.MustCompile(`^in (\S+), after: (.+)$`)
	before    = regexp.MustCompile(`^in (\S+), before: (.+)$`)
	instead   = regexp.MustCompile(`^in (\S+), instead of: (.+)$`)
)

func (s step) carryOut(t *testing.T, dir string, spent *cost) {
	t.Helper()
	switch {
	case newFile.MatchString(s.mark):
		file := newFile.FindStringSubmatch(s.mark)[1]
		path := filepath.Join(dir, file)
		require.NoFileExists(t, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(s.text), 0o644))
		spent.wrote(file, s.text)
	case afterLine.MatchString(s.mark):
		m := afterLine.FindStringSubmatch(s.mark)
		edit(t, dir, m[1], m[2], func(line string) string { return line + s.text })
		spent.wrote(m[1], s.text)
	case before.MatchString(s.mark):
		m := before.FindStringSubmatch(s.mark)
		edit(t, dir, m[1], m[2], func(line string) string { return s.text + line })
		spent.wrote(m[1], s.text)
	case instead.MatchString(s.mark):
		m := instead.FindStringSubmatch(s.mark)
		edit(t, dir, m[1], m[2], func(string) string { return s.text })
		spent.wrote(m[1], s.text)
	case s.mark == "run":
		for _, command := range strings.Split("\n"+s.text, "\n$ ")[1:] {
			run(t, dir, strings.TrimSpace(command))
		}
	case s.mark == "walk":
		walkIn(t, dir, s.text)
	default:
		require.Fail(t, "no such mark", s.mark)
	}
}

// edit changes the one line of a file that holds a text.
func edit(t *testing.T, dir, file, text string, change func(line string) string) {
	t.Helper()
	path := filepath.Join(dir, file)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var out strings.Builder
	found := 0
	for line := range strings.Lines(string(content)) {
		if strings.Contains(line, text) {
			found++
			line = change(line)
		}
		out.WriteString(line)
	}
	require.Equal(t, 1, found, "lines of %s that hold %q", file, text)
	require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
}

func run(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, out)
}

// walkIn starts the program that the steps before have built and compares every answer with the page.
func walkIn(t *testing.T, dir, text string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	program := exec.CommandContext(ctx, filepath.Join(dir, "bin", "leftfold"))
	program.Env = append(os.Environ(), "API_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "AWS_ADDR=127.0.0.1:0", "STOP_TIMEOUT=5m")
	program.Cancel = func() error { return program.Process.Signal(os.Interrupt) }
	var failure bytes.Buffer
	program.Stderr = &failure
	stdout, err := program.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, program.Start())
	var api string
	banner := bufio.NewScanner(stdout)
	for api == "" && banner.Scan() {
		if m := regexp.MustCompile(`API +http://(\S+)`).FindStringSubmatch(banner.Text()); m != nil {
			api = m[1]
		}
	}
	require.NotEmpty(t, api, "the program did not start: %s", &failure)
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	for _, command := range strings.Split("\n"+text, "\n$ ")[1:] {
		command, want, _ := strings.Cut(command, "\n")
		command = strings.ReplaceAll(command, "localhost:8080", api)
		var got []byte
		waittest.Until(t, command, func() (any, bool) { // a busy machine may take longer than the command waits
			got, err = exec.CommandContext(ctx, "bash", "-c", command).Output()
			require.NoError(t, err, command)
			return string(got), !bytes.Contains(got, []byte(`"not_yet"`))
		})
		assert.Equal(t, strings.TrimSpace(want), strings.TrimSpace(string(got)), command)
	}
	cancel()
	_ = program.Wait() // it was interrupted
}

// copyTree copies what builds: neither history nor what was built.
func copyTree(t *testing.T, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() && (name == ".git" || name == "bin") {
			return filepath.SkipDir
		}
		target := filepath.Join(to, name)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode().Perm())
	}))
}
