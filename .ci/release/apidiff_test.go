package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnIncompatibleChangeIsReportedUntilItIsAnnounced(t *testing.T) {
	t.Parallel()
	if os.Getenv("LEFTFOLD_RELEASE") == "" {
		t.Skip("needs apidiff: make release-check")
	}
	script, err := os.ReadFile("../apidiff")
	if err != nil {
		t.Fatal(err)
	}
	tool, err := filepath.Abs("../../bin/tools/apidiff")
	if err != nil {
		t.Fatal(err)
	}
	lib := func(code string) map[string]string {
		return map[string]string{"pkg/eventsourcing/lib.go": "// Package eventsourcing is a library.\npackage eventsourcing\n\n" + code}
	}
	repo := commit(t, map[string]string{
		".ci/apidiff":         string(script),
		"CHANGELOG.md":        "## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n\n- **Breaking:** of before\n",
		"go.work":             "go 1.26.0\n\nuse (\n\t./pkg\n\t./pkg/localaws\n)\n",
		"pkg/go.mod":          "module github.com/leftfold/leftfold/pkg\n\ngo 1.26.0\n",
		"pkg/localaws/go.mod": "module github.com/leftfold/leftfold/pkg/localaws\n\ngo 1.26.0\n",
		"pkg/localaws/aws.go": "// Package localaws is another module.\npackage localaws\n\n// Server is one.\ntype Server struct{}\n",
		"pkg/engine/e.go":     "// Package engine is a library, too.\npackage engine\n",
		"pkg/retry/r.go":      "// Package retry is a library, too.\npackage retry\n",
		"pkg/iam/i.go":        "// Package iam is not for others.\npackage iam\n\n// X may go.\nvar X int\n",
	})
	change := func(files map[string]string) {
		write(t, repo.dir, files)
		commitAll(t, repo)
	}
	expect := func(fails bool, want string, env ...string) {
		t.Helper()
		in := command{dir: repo.dir, env: env}
		out, err := in.run(t.Context(), "bash", ".ci/apidiff", tool)
		if err != nil {
			out += err.Error()
		}
		if fails != (err != nil) || !strings.Contains(out, want) {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
		if trees := do(t, repo, "git", "worktree", "list"); strings.Contains(trees, "\n") {
			t.Errorf("a work tree is left:\n%s", trees)
		}
	}

	change(lib("// Do does.\nfunc Do(n int) {}\n"))
	expect(false, "skipped: no release is tagged yet")
	do(t, repo, "git", "tag", "v0.1.0")
	expect(false, "skipped: no release is tagged yet") // before this one
	change(lib("// Do does.\nfunc Do(n int) {}\n\n// Undo undoes.\nfunc Undo() {}\n"))
	expect(false, "compatible with v0.1.0")
	change(map[string]string{"pkg/iam/i.go": "// Package iam is not for others.\npackage iam\n"})
	expect(false, "compatible with v0.1.0")
	change(lib("// Do does.\nfunc Do(n string) {}\n\n// Undo undoes.\nfunc Undo() {}\n"))
	expect(true, "CHANGELOG.md")
	change(map[string]string{"CHANGELOG.md": "## [Unreleased]\n\n- **Breaking:** Do\n\n## [0.1.0] - 2026-01-01\n"})
	expect(false, "Do: changed from func(int) to func(string)")
	change(map[string]string{"pkg/localaws/aws.go": "// Package localaws is another module.\npackage localaws\n"})
	expect(false, "Server: removed")

	shallow := filepath.Join(t.TempDir(), "shallow")
	do(t, repo, "git", "clone", "--quiet", "--depth", "1", "file://"+repo.dir, shallow)
	repo = command{dir: shallow}
	expect(false, "skipped: this is a shallow clone")
	expect(true, "", "STRICT=1")
}
