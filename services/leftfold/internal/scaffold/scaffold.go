// Package scaffold writes a new aggregate into a clone of this repository: its rules, its commands, its read model with the service
// that keeps it, their tests, and the lines by which the rest knows of them.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// templates are the new files, at their paths: thing stands for the name and things for its plural.
//
//go:embed all:templates
var templates embed.FS

// File is a file of the clone as it shall be.
type File struct {
	Path string // from the root, with slashes
	Text []byte
	New  bool
}

// Plan is what a new aggregate changes.
type Plan struct {
	Root  string
	Files []File // by path
	// Update are the commands that bring up to date what is written by tests, each to be run at the root.
	Update [][]string
}

// New plans an aggregate in the clone that the folder is in. It writes nothing.
func New(folder string, a Aggregate) (*Plan, error) {
	root, module, err := cloneAt(folder)
	if err != nil {
		return nil, err
	}
	a.module = module
	if err := a.check(root); err != nil {
		return nil, err
	}
	p := &Plan{Root: root, Update: a.update()}
	add := func(files []File, err error) error {
		p.Files = append(p.Files, files...)
		return err
	}
	if err := errors.Join(add(a.files()), add(a.edits(root)), add(a.modules(root)), add(a.forDevelopers(root))); err != nil {
		return nil, err
	}
	for _, f := range p.Files {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(f.Path))); f.New && err == nil {
			return nil, fmt.Errorf("%s exists already: choose another name, or remove it", f.Path)
		}
	}
	slices.SortFunc(p.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return p, nil
}

// cloneAt finds the root of the clone that a folder is in, and what its module paths begin with.
func cloneAt(folder string) (root, module string, err error) {
	start, err := filepath.Abs(folder)
	if err != nil {
		return "", "", err
	}
	for root = start; ; root = filepath.Dir(root) {
		text, err := os.ReadFile(filepath.Join(root, "pkg", "go.mod")) //nolint:gosec // it is looked for here
		if module, ok := strings.CutSuffix(modfile.ModulePath(text), "/pkg"); err == nil && ok {
			if _, err := os.Stat(filepath.Join(root, "pkg", "iam", "topology", "topology.go")); err == nil {
				return root, module, nil
			}
		}
		if root == filepath.Dir(root) {
			return "", "", fmt.Errorf("%s is not in a clone of Leftfold: git clone it, and run this in there", start)
		}
	}
}

// files returns the new files.
func (a Aggregate) files() (files []File, err error) {
	err = fs.WalkDir(templates, "templates", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		path := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".tmpl")
		path = strings.NewReplacer("things", a.plural(), "thing", a.Name).Replace(path)
		source, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		text, err := a.render(path, string(source))
		files = append(files, File{Path: path, Text: text, New: true})
		return err
	})
	return files, err
}

// render fills a template in; Go comes formatted. It does without text/template, which keeps the linker from leaving out what no code of
// leftfold calls: megabytes.
func (a Aggregate) render(path, source string) ([]byte, error) {
	w := a.words()
	text := strings.NewReplacer("{{.Module}}", w.Module, "{{.Name}}", w.Name, "{{.Names}}", w.Names, "{{.Type}}", w.Type,
		"{{.Types}}", w.Types, "{{.UPPER}}", w.UPPER, "{{.UPPERS}}", w.UPPERS, "{{.ExampleID}}", w.ExampleID).Replace(source)
	if unknown := placeholder.FindString(text); unknown != "" {
		return nil, fmt.Errorf("the template of %s has %s, which stands for nothing", path, unknown)
	}
	return formatted(path, []byte(text))
}

var placeholder = regexp.MustCompile(`{{\.\w*}}`) // read only

func formatted(path string, text []byte) ([]byte, error) {
	if !strings.HasSuffix(path, ".go") {
		return text, nil
	}
	out, err := format.Source(text)
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", path, err)
	}
	return out, nil
}

// Write writes all files, or none: what was written before an error is taken back.
func (p *Plan) Write() (err error) {
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for _, u := range slices.Backward(undo) {
			err = errors.Join(err, u())
		}
	}()
	for _, f := range p.Files {
		path := filepath.Join(p.Root, filepath.FromSlash(f.Path))
		if f.New {
			made, err := folders(filepath.Dir(path))
			undo = append(undo, made...)
			if err != nil {
				return err
			}
			undo = append(undo, func() error { return ignoreMissing(os.Remove(path)) })
		} else {
			was, err := os.ReadFile(path) //nolint:gosec // a file of the clone
			if err != nil {
				return err
			}
			undo = append(undo, func() error { return write(path, was) })
		}
		if err := write(path, f.Text); err != nil {
			return err
		}
	}
	return nil
}

// write writes source code. A file that exists keeps its mode.
func write(path string, text []byte) error {
	return os.WriteFile(path, text, 0o644) //nolint:gosec // as git makes it
}

// folders makes a folder and those above it, and returns what takes back those that were not there.
func folders(path string) (undo []func() error, err error) {
	if _, err := os.Stat(path); err == nil {
		return nil, nil
	}
	if undo, err = folders(filepath.Dir(path)); err != nil {
		return undo, err
	}
	if err := os.Mkdir(path, 0o755); err != nil { //nolint:gosec // as git makes them
		return undo, err
	}
	return append(undo, func() error { return os.Remove(path) }), nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
