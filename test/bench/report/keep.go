package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
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
	if kept.Command != r.Command || r.Machine.at(r.Machine.Commit) != kept.Machine.at(kept.Machine.Commit) || !r.Machine.clean() {
		return r, nil
	}
	return kept, nil
}

// Over returns the report of the documentation in that directory with the sections of r in place of its own, in the order of the cases.
// They must be of the same machine: a page whose numbers are of two compares nothing.
func (r Report) Over(docs string, order []string) (Report, error) {
	file := filepath.Join(docs, folder, rounds)
	text, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	var all Report
	if err := json.Unmarshal(text, &all); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	if then := all.Machine.at(""); then != r.Machine.at("") {
		return r, fmt.Errorf("%s is of another machine, %s Want all cases of one", file, then)
	}
	for _, s := range r.Sections {
		s.Again = &Again{At: r.At, Took: r.Took, Load: r.Machine.Load, Commit: r.Machine.Commit}
		all.Sections = slices.DeleteFunc(all.Sections, func(old Section) bool { return old.Case == s.Case })
		all.Sections = append(all.Sections, s)
	}
	slices.SortStableFunc(all.Sections, func(a, b Section) int {
		return cmp.Compare(slices.Index(order, a.Case), slices.Index(order, b.Case))
	})
	return all, nil
}

// Has reports whether a case was measured.
func (r Report) Has(name string) bool {
	return slices.ContainsFunc(r.Sections, func(s Section) bool { return s.Case == name })
}
