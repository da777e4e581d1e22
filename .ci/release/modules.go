package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// module is one that others may import or install.
type module struct {
	path  string
	dir   string   // below the root, such as pkg/localaws: also the prefix of its tags
	needs []string // the modules of this repository that it requires, by path
}

func (m module) tag(version string) string { return m.dir + "/" + version }

// released reports whether others may take a module: those of tests, documents and tools are not for them.
func released(dir string) bool {
	return dir == "pkg" || strings.HasPrefix(dir, "pkg/") || strings.HasPrefix(dir, "services/")
}

// releasedModules returns the modules of the workspace in root, each after those that it requires, and what all paths begin with, such as
// github.com/leftfold/leftfold.
func releasedModules(ctx context.Context, root string) (_ []module, prefix string, err error) {
	var work struct{ Use []struct{ DiskPath string } }
	if err := decode(ctx, command{dir: root}, &work, "go", "work", "edit", "-json", "go.work"); err != nil {
		return nil, "", err
	}
	var all []module
	for _, use := range work.Use {
		dir := filepath.ToSlash(filepath.Clean(use.DiskPath))
		if !released(dir) {
			continue
		}
		var mod struct {
			Module  struct{ Path string }
			Require []struct{ Path string }
		}
		if err := decode(ctx, command{dir: filepath.Join(root, dir)}, &mod, "go", "mod", "edit", "-json"); err != nil {
			return nil, "", err
		}
		p, ok := strings.CutSuffix(mod.Module.Path, "/"+dir)
		if !ok || prefix != "" && prefix != p {
			return nil, "", fmt.Errorf("%s: module %s is not named after its folder", dir, mod.Module.Path)
		}
		prefix = p
		m := module{path: mod.Module.Path, dir: dir}
		for _, require := range mod.Require {
			if strings.HasPrefix(require.Path, prefix+"/") {
				m.needs = append(m.needs, require.Path)
			}
		}
		all = append(all, m)
	}
	ordered, err := inOrder(all)
	return ordered, prefix, err
}

func inOrder(all []module) ([]module, error) {
	var ordered []module
	for len(ordered) < len(all) {
		before := len(ordered)
		for _, m := range all {
			if !contains(ordered, m.path) && !slices.ContainsFunc(m.needs, func(path string) bool { return !contains(ordered, path) }) {
				ordered = append(ordered, m)
			}
		}
		if len(ordered) > before {
			continue
		}
		for _, m := range all {
			if !contains(ordered, m.path) {
				return nil, fmt.Errorf("%s requires a module that is not released, or itself by way of another: %v", m.path, m.needs)
			}
		}
	}
	return ordered, nil
}

func contains(modules []module, path string) bool {
	return slices.ContainsFunc(modules, func(m module) bool { return m.path == path })
}

func decode(ctx context.Context, c command, into any, args ...string) error {
	out, err := c.run(ctx, args...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}
