package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// Folder is a Storage in a folder of the file system. The folder need not exist: the first Put makes it.
type Folder string

// begun is below what files are written until they are whole.
const begun = "begun"

// List implements Storage.
func (f Folder) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		ended := errors.New("ended by the caller")
		err := filepath.WalkDir(filepath.Join(string(f), filepath.FromSlash(path.Dir(prefix))),
			func(file string, entry fs.DirEntry, err error) error {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil || entry.IsDir() {
					return err
				}
				name, err := filepath.Rel(string(f), file)
				if name = filepath.ToSlash(name); err == nil && strings.HasPrefix(name, prefix) && !yield(name, nil) {
					return ended
				}
				return err
			})
		if err != nil && !errors.Is(err, ended) && !errors.Is(err, fs.ErrNotExist) {
			yield("", fmt.Errorf("list the archive: %w", err))
		}
	}
}

// Get implements Storage.
func (f Folder) Get(_ context.Context, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), filepath.FromSlash(name)))
}

// Put implements Storage: by a file beside the others, which is synced and then renamed.
func (f Folder) Put(_ context.Context, name string, content []byte) error {
	to, from := filepath.Join(string(f), filepath.FromSlash(name)), filepath.Join(string(f), begun, path.Base(name))
	for _, dir := range []string{filepath.Dir(from), filepath.Dir(to)} {
		if err := makeDir(dir); err != nil {
			return err
		}
	}
	if err := writeSynced(from, content); err != nil {
		return errors.Join(err, os.Remove(from))
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func writeSynced(name string, content []byte) (err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the operator's folder
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// makeDir makes a directory durable, with those above it that are missing.
func makeDir(dir string) error {
	switch _, err := os.Stat(dir); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // another writer may have made it
		return err
	}
	return syncDir(above)
}

// syncDir makes the names in a directory durable. Windows cannot, and needs no asking: it keeps names in its file system's journal.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	opened, err := os.Open(dir) //nolint:gosec // the operator's folder
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}
