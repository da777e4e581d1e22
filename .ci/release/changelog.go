package main

import (
	"fmt"
	"regexp"
	"strings"
)

// breaking marks an entry of the changelog for those who have to change their code. .ci/apidiff knows it, too.
const breaking = "**Breaking"

var (
	versions = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)
	sections = regexp.MustCompile(`(?m)^## \[(.+)\].*$`)
	links    = regexp.MustCompile(`(?m)^\[.+\]: http.*$`)
	relative = regexp.MustCompile(`\]\(([^):]+)\)`)
)

// notesOf returns the section of a version, such as v0.2.0, in a changelog as keepachangelog.com has it. A section with breaking changes
// must be that of a new minor version, and from 1.0.0 on of a new major one. Links to files lead to them as they are in that version, from
// the release's page too.
func notesOf(changelog, version string) (string, error) {
	parts := versions.FindStringSubmatch(version)
	if parts == nil {
		return "", fmt.Errorf("%q is not a version such as v0.1.0", version)
	}
	major, minor, patch := parts[1], parts[2], parts[3]
	if major != "0" && major != "1" {
		return "", fmt.Errorf("%s: from v2 on Go wants the major version in a module's path (https://go.dev/ref/mod#major-version-suffixes)", version)
	}
	notes, found := section(changelog, strings.TrimPrefix(version, "v"))
	switch {
	case !found:
		return "", fmt.Errorf("CHANGELOG.md has no section ## [%s]: rename Unreleased to it", version[1:])
	case notes == "":
		return "", fmt.Errorf("CHANGELOG.md says nothing under ## [%s]", version[1:])
	case strings.Contains(notes, breaking) && (patch != "0" || major != "0" && minor != "0"):
		return "", fmt.Errorf("CHANGELOG.md has a breaking change under ## [%s], which needs a new minor version, from v1 on a new major one",
			version[1:])
	}
	return relative.ReplaceAllString(notes, "](https://github.com/leftfold/leftfold/blob/"+version+"/$1)"), nil
}

func section(changelog, name string) (text string, found bool) {
	heads := sections.FindAllStringSubmatchIndex(changelog, -1)
	for i, head := range heads {
		if changelog[head[2]:head[3]] != name {
			continue
		}
		end := len(changelog)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		return strings.TrimSpace(links.ReplaceAllString(changelog[head[1]:end], "")), true
	}
	return "", false
}
