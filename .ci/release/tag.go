package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// tagModules releases the modules of the repository's HEAD: each gets a commit in which it requires this version of the others in place of
// replacing them by folders, which go install refuses, and a tag. The commits follow each other from HEAD on and are on no branch. They
// depend on nothing but HEAD and the version, so that everyone can make them again. Modules are resolved in the module cache given.
// Without an error the tags are returned, otherwise there are none.
func tagModules(ctx context.Context, repo, version, cache string) (tags []string, err error) {
	git := command{dir: repo}
	scratch, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	tree := filepath.Join(scratch, "tree")
	if _, err := git.run(ctx, "git", "worktree", "add", "--quiet", "--detach", tree); err != nil {
		return nil, err
	}
	defer func() {
		cleanup := context.WithoutCancel(ctx)
		_, failed := git.run(cleanup, "git", "worktree", "remove", "--force", tree)
		err = errors.Join(err, failed)
		if err != nil && len(tags) > 0 {
			_, failed := git.run(cleanup, append([]string{"git", "tag", "--delete"}, tags...)...)
			tags, err = nil, errors.Join(err, failed)
		}
	}()

	modules, prefix, err := releasedModules(ctx, tree)
	if err != nil {
		return nil, err
	}
	env, err := fromTags(ctx, repo, prefix, cache)
	if err != nil {
		return nil, err
	}
	author, err := authorOf(ctx, git)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		if err := drop(ctx, command{dir: filepath.Join(tree, m.dir), env: append(env, author...)}, m, version); err != nil {
			return tags, fmt.Errorf("%s: %w", m.dir, err)
		}
		if _, err := (command{dir: tree}).run(ctx, "git", "tag", m.tag(version)); err != nil {
			return tags, err
		}
		tags = append(tags, m.tag(version))
	}
	return tags, nil
}

// drop commits a module that requires others by version, which must have their tags, in place of replacing them.
func drop(ctx context.Context, in command, m module, version string) error {
	if len(m.needs) == 0 {
		return nil
	}
	var mod struct {
		Replace []struct{ Old struct{ Path string } }
	}
	if err := decode(ctx, in, &mod, "go", "mod", "edit", "-json"); err != nil {
		return err
	}
	edit := []string{"go", "mod", "edit"}
	for _, replace := range mod.Replace {
		edit = append(edit, "-dropreplace="+replace.Old.Path)
	}
	for _, path := range m.needs {
		edit = append(edit, "-require="+path+"@"+version)
	}
	for _, args := range [][]string{
		edit,
		{"go", "mod", "tidy"}, // the sums
		{"git", "add", "."},
		{"git", "commit", "--quiet", "--no-verify", "--message", "Release " + m.dir + " " + version},
	} {
		if _, err := in.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// authorOf returns git's variables for commits that say they were made when and by whom HEAD was.
func authorOf(ctx context.Context, git command) ([]string, error) {
	head, err := git.run(ctx, "git", "log", "-1", "--format=%an%n%ae%n%cI")
	if err != nil {
		return nil, err
	}
	of := strings.Split(head, "\n")
	return []string{
		"GIT_AUTHOR_NAME=" + of[0], "GIT_AUTHOR_EMAIL=" + of[1], "GIT_AUTHOR_DATE=" + of[2],
		"GIT_COMMITTER_NAME=" + of[0], "GIT_COMMITTER_EMAIL=" + of[1], "GIT_COMMITTER_DATE=" + of[2],
	}, nil
}

// fromTags returns variables with which the go command takes modules below prefix from the tags of the repository, as it takes them from
// GitHub once the tags are there. All other modules come from where they always do, what was downloaded before first. None of it is kept in
// the user's module cache, where a release that is made again would contradict the first.
func fromTags(ctx context.Context, repo, prefix, cache string) ([]string, error) {
	in := command{dir: repo}
	gitDir, err := in.run(ctx, "git", "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return nil, err
	}
	settings, err := in.run(ctx, "go", "env", "GOMODCACHE", "GOPROXY", "GONOSUMDB", "GOFLAGS")
	if err != nil {
		return nil, err
	}
	of := strings.Split(settings+"\n\n\n", "\n")
	return []string{
		"GOWORK=off", "GOMODCACHE=" + cache, "GOFLAGS=" + of[3] + " -modcacherw",
		"GOPROXY=" + fileProxy(of[0]) + "," + of[1], "GONOPROXY=" + prefix, "GONOSUMDB=" + prefix + "," + of[2],
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + fileURL(gitDir) + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + prefix,
	}, nil
}

// fileProxy returns a GOPROXY that serves what is in a module cache.
func fileProxy(cache string) string { return fileURL(filepath.Join(cache, "cache", "download")) }

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}
