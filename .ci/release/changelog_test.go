package main

import (
	"strings"
	"testing"
)

const changelog = `# Changelog

## [Unreleased]

- not yet

## [0.2.1] - 2026-03-01

- **Breaking:** what may not be in a patch

## [0.2.0] - 2026-02-01

### Changed

- **Breaking:** what may be

## [0.1.1] - 2026-01-02

## [0.1.0] - 2026-01-01

- the first ([docs](docs/a.md#b), [pkg](pkg/x), [more](https://x.org))

[0.1.0]: https://github.com/leftfold/leftfold/releases/tag/v0.1.0
`

func TestTheNotesOfAReleaseAreItsSectionOfTheChangelog(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v0.2.0": "### Changed\n\n- **Breaking:** what may be",
		"v0.1.0": "- the first ([docs](https://github.com/leftfold/leftfold/blob/v0.1.0/docs/a.md#b), " +
			"[pkg](https://github.com/leftfold/leftfold/blob/v0.1.0/pkg/x), [more](https://x.org))",
	} {
		if got, err := notesOf(changelog, version); got != want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", version, got, err, want)
		}
	}
}

func TestAReleaseIsRefused(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"0.1.0":  `"0.1.0" is not a version such as v0.1.0`,
		"v0.1":   `"v0.1" is not a version such as v0.1.0`,
		"v2.0.0": "wants the major version in a module's path",
		"v0.3.0": "CHANGELOG.md has no section ## [0.3.0]: rename Unreleased to it",
		"v0.1.1": "CHANGELOG.md says nothing under ## [0.1.1]",
		"v0.2.1": "CHANGELOG.md has a breaking change under ## [0.2.1], which needs a new minor version",
	} {
		if _, err := notesOf(changelog, version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", version, err, want)
		}
	}
}
