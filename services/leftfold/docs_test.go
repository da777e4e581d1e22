package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../../"

// Every file, heading, test, make target, metric and constant that a page names exists.
func TestDocsNameWhatExists(t *testing.T) {
	t.Parallel()
	pages := []string{root + "README.md", root + "CONTRIBUTING.md"}
	for _, folder := range []string{"docs", "pkg/*"} {
		found, err := filepath.Glob(root + folder + "/*.md")
		require.NoError(t, err)
		pages = append(pages, found...)
	}
	source := wordsOfSource(t)
	targets := read(t, root+"Makefile")
	metrics := read(t, root+"docs/observability.md")
	for _, page := range pages {
		text := read(t, page)
		prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, "")
		for _, link := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(prose, -1) {
			target := page
			if link[1] != "" {
				target = filepath.Join(filepath.Dir(page), link[1])
			}
			if _, err := os.Stat(target); !assert.NoError(t, err, "%s links to %s", page, link[0]) {
				continue
			}
			if link[2] != "" {
				assert.Contains(t, anchors(read(t, target)), link[2], "%s links to %s", page, link[0])
			}
		}
		for _, path := range regexp.MustCompile("[\\s`(](?:pkg|services|test|deploy|docs)/[\\w./*-]*[\\w*]").FindAllString(text, -1) {
			found, err := filepath.Glob(root + path[1:])
			require.NoError(t, err)
			assert.NotEmpty(t, found, "%s names %s", page, path)
		}
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b`).FindAllString(text, -1) {
			assert.True(t, source[name], "%s names %s", page, name)
		}
		for _, target := range regexp.MustCompile("(?:`|\\$ |\\n *)make ([a-z][a-z-]*)").FindAllStringSubmatch(text, -1) {
			assert.Contains(t, targets, "\n"+target[1]+":", "%s names make %s", page, target[1])
		}
		for _, name := range regexp.MustCompile(`\bleftfold_[a-z_]*[a-z]\b`).FindAllString(text, -1) {
			base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
			assert.Contains(t, metrics, "\n| `"+base+"` |", "%s names %s", page, name)
		}
	}
}

// anchors are the fragments of a page's headings.
func anchors(page string) []string {
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		kept := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, "#"+strings.ReplaceAll(kept, " ", "-"))
	}
	return all
}

// wordsOfSource are all words of the repository's files that are not pages.
func wordsOfSource(t *testing.T) map[string]bool {
	t.Helper()
	words := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case !entry.Type().IsRegular() || strings.HasSuffix(path, ".md"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			words[word] = true
		}
		return err
	}))
	return words
}
