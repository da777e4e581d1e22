package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// Every curl of these pages is run, in order, and must answer what the page says.
func TestThePagesWalksWork(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	for _, page := range []string{"../../README.md", "../../docs/processes.md"} {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			system, stop := running(t)
			walk(t.Context(), t, page, strings.NewReplacer("localhost:8080", system.APIAddr, "+8sec", "+30sec")) // the machine may be slow
			stop()
		})
	}
}

// TestSmoke runs those of the README against the system at LEFTFOLD_API, such as http://127.0.0.1:8080, with values that are new to it.
func TestSmoke(t *testing.T) {
	t.Parallel()
	api := os.Getenv("LEFTFOLD_API")
	if api == "" {
		t.Skip("LEFTFOLD_API is not set: no system to test")
	}
	run := strings.ToLower(rand.Text())
	letters := strings.NewReplacer("2", "u", "3", "v", "4", "w", "5", "x", "6", "y", "7", "z").Replace(run)
	walk(t.Context(), t, "../../README.md", strings.NewReplacer(
		"http://localhost:8080", api, "localhost:8080", api,
		"such as dan@example.com", "such as dan@example.com", // what the service says
		"Example.com", run+".example.com", "example.com", run+".example.com", "email:daniel", "email:daniel@"+run,
		"auditor", "auditor-"+letters[:16],
		"11111111-1111-4111-8111-111111111111", uuid.NewString(),
		"22222222-2222-4222-8222-222222222222", uuid.NewString(),
		"33333333-3333-4333-8333-333333333333", uuid.NewString(),
	))
}

func walk(ctx context.Context, t *testing.T, page string, change *strings.Replacer) {
	t.Helper()
	walked := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(read(t, page), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			if !strings.Contains(command, "curl ") {
				continue
			}
			command, want = change.Replace(command), change.Replace(want)
			var got []byte
			waittest.Until(t, command, func() (any, bool) { // a busy machine may take longer than the command waits
				var err error
				got, err = exec.CommandContext(ctx, "bash", "-c", command).Output()
				require.NoError(t, err, command)
				return string(got), !bytes.Contains(got, []byte(`"not_yet"`))
			})
			require.Equal(t, strings.TrimSpace(want), strings.TrimSpace(string(got)), command)
			walked++
		}
	}
	assert.Greater(t, walked, 8)
}

// The Go of these pages is that of examples which compile and run.
func TestExamplesOfPagesCompile(t *testing.T) {
	t.Parallel()
	lines := func(text string) string { // without indentation
		var out []string
		for line := range strings.Lines(text) {
			out = append(out, strings.TrimSpace(line))
		}
		return strings.Join(out, "\n")
	}
	for page, of := range map[string]struct {
		file   string
		blocks int
	}{
		"library":   {"pkg/engine/projection/example_test.go", 5},
		"processes": {"pkg/engine/process/example_test.go", 5},
		"scopes":    {"pkg/eventsourcing/example_scope_test.go", 3},
	} {
		example := lines(read(t, "../../"+of.file))
		blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "../../docs/"+page+".md"), -1)
		assert.Len(t, blocks, of.blocks, page)
		for _, b := range blocks {
			assert.Contains(t, example, lines(b[1]))
		}
	}
}
