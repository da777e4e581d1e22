// Package walkthrough_test runs the step-by-step guides of the documentation.
package walkthrough_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

const root = "../../.." // of the repository

// TestANewAggregateCompilesAndRuns has two aggregates made in a copy of the repository, and follows docs/add-an-aggregate.md.
func TestANewAggregateCompilesAndRuns(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "add-an-aggregate.md"))
	require.NoError(t, err)
	walks := regexp.MustCompile("(?s)<!-- walk -->\n```console\n(.*?)```").FindAllSubmatch(page, -1)
	require.NotEmpty(t, walks)
	scratch := t.TempDir()
	copyTree(t, scratch)
	begun := time.Now()
	run(t, scratch, "go build -o bin/new ./services/leftfold")
	t.Logf("the generator is built after %s", time.Since(begun).Round(time.Second))
	begun = time.Now()
	run(t, scratch, "bin/new new aggregate group --no-update && bin/new new aggregate team --no-update")
	t.Logf("two aggregates are written after %s", time.Since(begun).Round(time.Millisecond))
	run(t, scratch, "go test ./pkg/domain/group -run TestAChangedFoldNeedsANewShape -update-snapshots")
	run(t, scratch, "go test ./pkg/domain/group ./services/projector-group/... ./services/projector-team/...")
	run(t, scratch, "go build -o bin/leftfold ./services/leftfold")
	t.Logf("it runs after %s more", time.Since(begun).Round(time.Second))
	for _, walk := range walks {
		walkIn(t, scratch, string(walk[1]))
	}
}

// TestANewAggregatePassesEveryCheck has two aggregates made with what is written by tests, and runs vet, the linter, the stories of the
// whole system, and the checks of documents and Terraform. It takes many minutes: make test-aggregate runs it.
func TestANewAggregatePassesEveryCheck(t *testing.T) {
	if os.Getenv("LEFTFOLD_AGGREGATE") == "" {
		t.Skip("LEFTFOLD_AGGREGATE is not set: it takes many minutes (make test-aggregate)")
	}
	scratch := t.TempDir()
	copyTree(t, scratch)
	timed := func(command string) {
		begun := time.Now()
		run(t, scratch, command)
		t.Logf("%6s %s", time.Since(begun).Round(time.Second), command)
	}
	timed("go build -o bin/leftfold ./services/leftfold")
	timed("bin/leftfold new aggregate group")
	timed("go build -o bin/leftfold ./services/leftfold")
	timed("bin/leftfold new aggregate policy")
	timed("go vet work")
	timed("for m in services/projector-group services/leftfold test/e2e test/simulation deploy/terraform/check docs/eventdocs; do\n" +
		"go -C $m mod tidy -diff; done")
	linter, err := filepath.Abs(filepath.Join(root, "bin", "tools", "golangci-lint"))
	require.NoError(t, err)
	if _, err := os.Stat(linter); err != nil {
		t.Log("skipped the linter: bin/tools/golangci-lint is not built (make lint builds it)")
	} else {
		timed("'" + linter + "' run --allow-parallel-runners ./pkg/domain/... ./pkg/iam/... ./services/command-api/... " +
			"./services/projector-group/... ./services/projector-policy/... ./services/leftfold/... ./docs/eventdocs/... ./test/e2e/...")
	}
	timed("go test ./pkg/domain/... ./pkg/iam/... ./services/command-api/... ./services/projector-group/... ./services/projector-policy/... " +
		"./docs/eventdocs/... ./deploy/terraform/check/...")
	timed("go test ./services/leftfold/... -run 'TestDocs|Audit|Claims|Help|Seed|Collection|Editor|Program'")
	timed("go test ./test/e2e -run 'Groups|Policies|Deployments|EnvExample|Documented|OpenAPI|Document|Scopes|Operation|Crash|Edge'")
}

func run(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-ec", command)
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
