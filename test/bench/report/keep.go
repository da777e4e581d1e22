package report

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Keep writes what was measured so far, for a run that goes on where this one ends.
func (r Report) Keep(file string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	next := file + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, file) // an end in between leaves the former
}

// GoOn returns the report with what a run of the same command, at the same commit, on the same machine has kept. What was changed and not
// committed is of no commit, so it begins anew.
func (r Report) GoOn(file string) (Report, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	var kept Report
	if err := json.Unmarshal(text, &kept); err != nil {
		return r, nil //nolint:nilerr // another build has written it: it is measured again
	}
	now, then := r.Machine, kept.Machine
	now.Load, then.Load = "", ""
	if kept.Command != r.Command || now != then || !r.Machine.clean() {
		return r, nil
	}
	return kept, nil
}

// Has reports whether a case was measured.
func (r Report) Has(name string) bool {
	return slices.ContainsFunc(r.Sections, func(s Section) bool { return s.Case == name })
}
