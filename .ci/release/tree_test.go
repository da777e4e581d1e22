package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheTreeIsTakenAsItWillBeReleased makes a release of the tree as it is, changes that are not committed included.
func TestTheTreeIsTakenAsItWillBeReleased(t *testing.T) {
	t.Parallel()
	if os.Getenv("LEFTFOLD_RELEASE") == "" {
		t.Skip("compiles the whole system anew: make release-check")
	}
	root := do(t, command{}, "git", "rev-parse", "--show-toplevel")
	repo := command{dir: t.TempDir()}
	do(t, repo, "git", "init", "--quiet")
	commitAll(t, command{dir: root, env: []string{"GIT_DIR=" + filepath.Join(repo.dir, ".git"), "GIT_WORK_TREE=" + root}})
	do(t, repo, "git", "reset", "--quiet", "--hard")
	do(t, repo, "git", "tag", "v0.1.0")
	tags, err := tagModules(t.Context(), repo.dir, "v0.1.0", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(tags)

	downloaded, rest, _ := strings.Cut(do(t, command{}, "go", "env", "GOMODCACHE", "GOPROXY"), "\n")
	proxies := []string{proxyOf(t, repo, "v0.1.0"), fileProxy(downloaded), rest}

	user := userOf(t, proxies...)
	do(t, user, "go", "install", "github.com/leftfold/leftfold/services/leftfold@v0.1.0")
	version := do(t, user, filepath.Join(user.dir, "bin", "leftfold"), "version")
	if !regexp.MustCompile(`^leftfold v0\.1\.0\b`).MatchString(version) {
		t.Errorf("leftfold version says %q", version)
	}

	outside := userOf(t, proxies...)
	program, err := os.ReadFile(filepath.Join("testdata", "outside", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	do(t, outside, "go", "mod", "init", "example.com/outside")
	do(t, outside, "go", "get", "github.com/leftfold/leftfold/pkg/localaws@v0.1.0", "github.com/leftfold/leftfold/pkg/eventsourcing@v0.1.0")
	write(t, outside.dir, map[string]string{"main.go": string(program)})
	do(t, outside, "go", "mod", "tidy")
	if got, want := do(t, outside, "go", "run", "."), "house/door/opened is stored as version 1"; got != want {
		t.Errorf("the program outside says %q, want %q", got, want)
	}
}
