package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// Every curl of the README is run, in order, and must answer what the README says.
func TestTheReadmesWalk(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	system := start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	walked := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(read(t, "../../README.md"), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			if !strings.HasPrefix(command, "curl ") {
				continue
			}
			command = strings.ReplaceAll(command, "localhost:8080", system.APIAddr)
			got, err := exec.CommandContext(ctx, "bash", "-c", command).Output()
			require.NoError(t, err, command)
			assert.Equal(t, strings.TrimSpace(want), strings.TrimSpace(string(got)), command)
			walked++
		}
	}
	assert.Greater(t, walked, 8)
	stop()
	require.NoError(t, <-ended)
}

// The README's Go is the example that compiles and runs.
func TestTheReadmesExampleCompiles(t *testing.T) {
	t.Parallel()
	lines := func(text string) string { // without indentation
		var out []string
		for line := range strings.Lines(text) {
			out = append(out, strings.TrimSpace(line))
		}
		return strings.Join(out, "\n")
	}
	example := lines(read(t, "../../pkg/projection/example_test.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "../../README.md"), -1)
	assert.Len(t, blocks, 5)
	for _, b := range blocks {
		assert.Contains(t, example, lines(b[1]))
	}
}

// Every file and every test that a page names is there.
func TestDocsNameWhatExists(t *testing.T) {
	t.Parallel()
	const root = "../../"
	pages, err := filepath.Glob(root + "docs/*.md")
	require.NoError(t, err)
	tests := testsBelow(t, root)
	for _, page := range append(pages, root+"README.md", root+"CONTRIBUTING.md") {
		prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(read(t, page), "")
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(prose, -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), link[1]))
			require.NoError(t, err, "%s names %s", page, link[1])
		}
		for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(prose, -1) {
			assert.Contains(t, tests, name[1], page)
		}
	}
}

func testsBelow(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(read(t, path), -1) {
			names[f[1]] = true
		}
		return nil
	}))
	return names
}
