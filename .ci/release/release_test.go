package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scratch is a repository with two released modules, of which the program requires the library, and one that is not released.
func scratch() map[string]string {
	return map[string]string{
		"CHANGELOG.md": "## [0.1.0] - 2026-01-01\n\n- all\n",
		"LICENSE":      "Apache-2.0",
		"go.work":      "go 1.26.0\n\nuse (\n\t./pkg\n\t./services/program\n\t./test\n)\n",
		"pkg/go.mod":   "module github.com/leftfold/leftfold/pkg\n\ngo 1.26.0\n",
		"pkg/lib/lib.go": "// Package lib is a library.\npackage lib\n\n" +
			"// Greeting is what there is.\nconst Greeting = \"hello\"\n",
		"services/program/go.mod": "module github.com/leftfold/leftfold/services/program\n\ngo 1.26.0\n\n" +
			"require github.com/leftfold/leftfold/pkg v0.0.0\n\nreplace github.com/leftfold/leftfold/pkg => ../../pkg\n",
		"services/program/main.go": "// Command program says which version it is.\npackage main\n\n" +
			"import (\n\t\"fmt\"\n\t\"runtime/debug\"\n\n\t\"github.com/leftfold/leftfold/pkg/lib\"\n)\n\n" +
			"func main() {\n\tinfo, _ := debug.ReadBuildInfo()\n\tfmt.Println(lib.Greeting, info.Main.Version, info.Deps[0].Version)\n}\n",
		"test/go.mod": "module github.com/leftfold/leftfold/test\n\ngo 1.26.0\n",
	}
}

func TestAProgramOfAReleaseIsInstalledAndALibraryTaken(t *testing.T) {
	t.Parallel()
	repo := commit(t, scratch())
	do(t, repo, "git", "tag", "v0.1.0") // that of the binaries: it is no module's
	var out bytes.Buffer
	if err := run(t.Context(), repo.dir, []string{"tag", "v0.1.0"}, &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "pkg/v0.1.0\nservices/program/v0.1.0\n"; got != want {
		t.Errorf("tagged %q, want %q", got, want)
	}
	mod := do(t, repo, "git", "show", "services/program/v0.1.0:services/program/go.mod")
	if strings.Contains(mod, "replace") || !strings.Contains(mod, "pkg v0.1.0") {
		t.Errorf("the released go.mod:\n%s", mod)
	}
	if sums := do(t, repo, "git", "show", "services/program/v0.1.0:services/program/go.sum"); !strings.Contains(sums, "pkg v0.1.0 h1:") {
		t.Errorf("the released go.sum:\n%s", sums)
	}
	if changed := do(t, repo, "git", "status", "--porcelain"); changed != "" {
		t.Errorf("the checkout has changed:\n%s", changed)
	}
	if trees := do(t, repo, "git", "worktree", "list"); strings.Contains(trees, "\n") {
		t.Errorf("a work tree is left:\n%s", trees)
	}

	user := userOf(t, proxyOf(t, repo, "v0.1.0"))
	do(t, user, "go", "install", "github.com/leftfold/leftfold/services/program@v0.1.0")
	if got, want := do(t, user, filepath.Join(user.dir, "bin", "program")), "hello v0.1.0 v0.1.0"; got != want {
		t.Errorf("installed: %q, want %q", got, want)
	}
	do(t, user, "go", "mod", "init", "example.com/outside")
	do(t, user, "go", "get", "github.com/leftfold/leftfold/pkg@v0.1.0")
	write(t, user.dir, map[string]string{"main.go": "package main\n\nimport \"github.com/leftfold/leftfold/pkg/lib\"\n\n" +
		"func main() { println(lib.Greeting) }\n"})
	do(t, user, "go", "run", ".")
}

func TestEveryoneMakesTheSameReleaseOfACommit(t *testing.T) {
	t.Parallel()
	repo := commit(t, scratch())
	cloned := filepath.Join(t.TempDir(), "clone")
	do(t, repo, "git", "clone", "--quiet", repo.dir, cloned)
	other := command{dir: cloned}
	for _, in := range []command{repo, other} {
		if _, err := tagModules(t.Context(), in.dir, "v0.1.0", t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	ask := []string{"git", "rev-parse", "pkg/v0.1.0", "services/program/v0.1.0"}
	if a, b := do(t, repo, ask...), do(t, other, ask...); a != b {
		t.Errorf("one has\n%s\nthe other\n%s", a, b)
	}
}

func TestAReleaseThatFailsLeavesNoTags(t *testing.T) {
	t.Parallel()
	unreleased := scratch()
	unreleased["services/program/go.mod"] = strings.ReplaceAll(unreleased["services/program/go.mod"], "/pkg", "/test")
	missing := scratch()
	missing["services/program/main.go"] = strings.ReplaceAll(missing["services/program/main.go"], "pkg/lib", "pkg/none")
	elsewhere := scratch()
	elsewhere["pkg/go.mod"] = "module github.com/leftfold/leftfold/lib\n"
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{unreleased, "services/program requires a module that is not released"},
		{missing, "does not contain package github.com/leftfold/leftfold/pkg/none"},
		{elsewhere, "module github.com/leftfold/leftfold/lib is not named after its folder"},
	} {
		repo := commit(t, c.files)
		if _, err := tagModules(t.Context(), repo.dir, "v0.1.0", t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if tags := do(t, repo, "git", "tag"); tags != "" {
			t.Errorf("tags are left after %q: %s", c.want, tags)
		}
	}
}

func TestATagIsNeverMoved(t *testing.T) {
	t.Parallel()
	repo := commit(t, scratch())
	do(t, repo, "git", "tag", "services/program/v0.1.0")
	before := do(t, repo, "git", "show-ref", "--tags")
	if _, err := tagModules(t.Context(), repo.dir, "v0.1.0", t.TempDir()); err == nil {
		t.Error("released again")
	}
	if after := do(t, repo, "git", "show-ref", "--tags"); after != before {
		t.Errorf("tags were\n%s\nand are\n%s", before, after)
	}
}

// commit returns a repository with the files in its only commit.
func commit(t *testing.T, files map[string]string) command {
	t.Helper()
	repo := command{dir: t.TempDir()}
	write(t, repo.dir, files)
	do(t, repo, "git", "init", "--quiet")
	commitAll(t, repo)
	return repo
}

func commitAll(t *testing.T, repo command) {
	t.Helper()
	do(t, repo, "git", "add", "--all")
	do(t, repo, "git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--no-verify", "--message", "All")
}

// proxyOf returns a GOPROXY of the modules that the repository has tagged: a folder as the go command fills it from the tags.
func proxyOf(t *testing.T, repo command, version string) string {
	t.Helper()
	modules, prefix, err := releasedModules(t.Context(), repo.dir)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	env, err := fromTags(t.Context(), repo.dir, prefix, cache)
	if err != nil {
		t.Fatal(err)
	}
	download := []string{"go", "mod", "download"}
	for _, m := range modules {
		download = append(download, m.path+"@"+version)
	}
	do(t, command{dir: t.TempDir(), env: env}, download...)
	return fileProxy(cache)
}

// userOf returns an empty folder of someone who has nothing but these proxies.
func userOf(t *testing.T, proxies ...string) command {
	t.Helper()
	dir := t.TempDir()
	return command{dir: dir, env: []string{
		"GOWORK=off", "GOBIN=" + filepath.Join(dir, "bin"), "GOMODCACHE=" + t.TempDir(), "GOFLAGS=-trimpath -modcacherw",
		"GOPROXY=" + strings.Join(proxies, ","), "GOSUMDB=off", "GONOPROXY=none",
	}}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// do returns what a program prints, and fails the test if the program fails.
func do(t *testing.T, in command, args ...string) string {
	t.Helper()
	out, err := in.run(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
