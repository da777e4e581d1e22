// Package peer installs the libraries that are compared, each in a folder of its own, and runs their drivers there.
package peer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Peer is a library that is compared, as its peer.json describes it. The folder of peer.json has its driver's source, too.
type Peer struct {
	Name     string `json:"name"` // of the folder, too
	Version  string `json:"version"`
	Language string `json:"language"`
	Homepage string `json:"homepage"`
	Licence  string `json:"licence"`
	// Shared is a folder beside the peer's, with source that drivers share. Defaults to none.
	Shared string `json:"shared"`
	// Steps are the commands that install the library and build the driver, run in a folder that has a copy of the source.
	Steps [][]string `json:"install"`
	// Run is the driver's command, which gets a task as its last argument.
	Run []string `json:"run"`
	// Runtime is a command that prints the version of what runs the driver. Defaults to none.
	Runtime []string `json:"runtime"`
	// Variants are other ways to use the library, each by a driver's command of its own. Default to none.
	Variants []Variant `json:"variants"`
	// Strengths say what the library is good at, and Notes how the driver uses it.
	Strengths string `json:"strengths"`
	Notes     string `json:"notes"`

	sources []string // folders
}

// Variant is another way to use a library.
type Variant struct {
	Name string   `json:"name"`
	Run  []string `json:"run"`
}

// Load returns the peers of a folder in the order of their names. The error names every part that is missing.
func Load(folder string) ([]Peer, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "peer.json"))
	if err != nil {
		return nil, err
	}
	var peers []Peer
	var errs []error
	for _, file := range files { // Glob sorts
		p, err := load(file)
		peers, errs = append(peers, p), append(errs, err)
	}
	return peers, errors.Join(errs...)
}

func load(file string) (Peer, error) {
	var p Peer
	text, err := os.ReadFile(file)
	if err != nil {
		return p, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%s: %w", file, err)
	}
	own := filepath.Dir(file)
	p.sources = []string{own}
	if p.Shared != "" {
		p.sources = append(p.sources, filepath.Join(filepath.Dir(own), p.Shared))
	}
	if p.Name != filepath.Base(own) {
		return p, fmt.Errorf("%s: the name is %q, not that of the folder", file, p.Name)
	}
	for name, value := range map[string]string{
		"version": p.Version, "language": p.Language, "homepage": p.Homepage, "licence": p.Licence, "strengths": p.Strengths,
	} {
		if value == "" {
			err = errors.Join(err, fmt.Errorf("%s: %q is missing", file, name))
		}
	}
	commands := append(slices.Clone(p.Steps), p.Run)
	for _, v := range p.Variants {
		commands = append(commands, v.Run)
	}
	if slices.ContainsFunc(commands, func(c []string) bool { return len(c) == 0 }) {
		err = errors.Join(err, fmt.Errorf("%s: a command is empty", file))
	}
	return p, err
}

// stamp is the file that says which source a folder was installed from.
const stamp = ".installed"

// ErrNotInstalled means that a peer is not installed, or was from another state of its source.
var ErrNotInstalled = errors.New("not installed")

// MissingError means that a program is missing that a peer needs.
type MissingError struct{ Program string }

func (e *MissingError) Error() string { return e.Program + " is not installed" }

// Install installs the peer anew below scratch; log gets what its commands print. It is a *MissingError if one of their programs is
// missing.
func (p Peer) Install(ctx context.Context, scratch string, log io.Writer) error {
	for _, argv := range p.Steps {
		if _, err := exec.LookPath(argv[0]); err != nil && filepath.Base(argv[0]) == argv[0] {
			return &MissingError{Program: argv[0]}
		}
	}
	to := filepath.Join(scratch, p.Name)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	for _, source := range p.sources {
		if err := os.CopyFS(to, os.DirFS(source)); err != nil {
			return err
		}
	}
	for _, argv := range p.Steps {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = to, log, log
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", cmd, err)
		}
	}
	sum, err := p.sum()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, stamp), []byte(sum), 0o600)
}

// Installed returns ErrNotInstalled unless the peer is installed below scratch from its source as it is now.
func (p Peer) Installed(scratch string) error {
	sum, err := p.sum()
	if err != nil {
		return err
	}
	installed, err := os.ReadFile(filepath.Join(scratch, p.Name, stamp))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(installed) != sum {
		return ErrNotInstalled
	}
	return nil
}

// sum identifies the state of the source.
func (p Peer) sum() (string, error) {
	hash := sha256.New()
	var errs []error
	for _, source := range p.sources {
		files := os.DirFS(source)
		errs = append(errs, fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, path)
			_, _ = fmt.Fprintf(hash, "%q %d\n%s", path, len(text), text)
			return err
		}))
	}
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(errs...)
}

// RuntimeVersion returns what the Runtime command prints first, or "" if there is none. The peer must be installed.
func (p Peer) RuntimeVersion(ctx context.Context, scratch string) (string, error) {
	if len(p.Runtime) == 0 {
		return "", nil
	}
	cmd := exec.CommandContext(ctx, p.Runtime[0], p.Runtime[1:]...)
	cmd.Dir = filepath.Join(scratch, p.Name)
	out, err := cmd.CombinedOutput() // java -version prints on stderr
	if err != nil {
		return "", fmt.Errorf("ask for the version of what runs %s: %w", p.Name, err)
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	return string(line), nil
}

// Drivers returns the peer's drivers by the names of its variants, the usual one as "". It must be installed.
func (p Peer) Drivers(scratch string) []Driver {
	drivers := []Driver{{dir: filepath.Join(scratch, p.Name), argv: p.Run}}
	for _, v := range p.Variants {
		drivers = append(drivers, Driver{Variant: v.Name, dir: drivers[0].dir, argv: v.Run})
	}
	return drivers
}
