package main

import (
	"context"
	"os"
	"os/exec"
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

// Every file that a page names is there.
func TestDocsNameFilesThatExist(t *testing.T) {
	t.Parallel()
	pages := map[string]string{"README.md": "../../", "CONTRIBUTING.md": "../../"}
	for page, root := range pages {
		prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(read(t, root+page), "")
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(prose, -1) {
			_, err := os.Stat(root + link[1])
			require.NoError(t, err, "%s names %s", page, link[1])
		}
	}
}
