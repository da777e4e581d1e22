package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every file, heading, test, make target, metric and constant that a page names exists.
func TestDocsNameOnlyWhatExists(t *testing.T) {
	t.Parallel()
	const root = "../../"
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "pkg/*/*.md"} {
		matches, err := filepath.Glob(root + pattern)
		require.NoError(t, err)
		pages = append(pages, matches...)
	}
	targets := found("(?m)^([a-z-]+):", read(t, root+"Makefile"))
	metrics := found("(?m)^\\| `(leftfold_[a-z_]+)` \\|", read(t, root+"docs/observability.md"))
	source := wordsOfSource(t, root)
	for _, page := range pages {
		// A marked block is a step that test/e2e/walkthrough runs: it may name what the step creates.
		text := regexp.MustCompile("(?s)<!-- (?:new|in|run|walk)[^\n]* -->\n```.*?```").ReplaceAllString(read(t, page), "")
		prose := regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, "")
		for link := range found(`\]\(([^):]+)\)`, prose) {
			path, anchor, _ := strings.Cut(link, "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			_, err := os.Stat(target)
			if assert.NoError(t, err, "%s links to %s", page, link) && anchor != "" {
				assert.True(t, anchors(read(t, target))[anchor], "%s links to %s", page, link)
			}
		}
		for path := range found("[\\s`]((?:pkg|services|test|deploy|docs)/[\\w./*-]*[\\w*])", text) {
			matches, err := filepath.Glob(root + path)
			require.NoError(t, err)
			assert.NotEmpty(t, matches, "%s names %s", page, path)
		}
		for name := range found(`\b((?:Test|Fuzz|Benchmark)[A-Z]\w+|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b`, text) {
			assert.True(t, source[name], "%s names %s", page, name)
		}
		for target := range found("(?:`|\\$ |    )make ([a-z][a-z-]*)", text) {
			assert.True(t, targets[target], "%s names make %s", page, target)
		}
		for expression, in := range map[string]string{"(?m)^ *(?:\\$ )?leftfold ([a-z][^\n`#]*)": text, "`leftfold\\s+([a-z][^`]*)`": prose} {
			for line := range found(expression, in) {
				require.NoError(t, isCommand(line), "%s names leftfold %s", page, line)
			}
		}
		for name := range found(`\b(leftfold_[a-z_]*[a-z])\b`, text) {
			series := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
			assert.True(t, metrics[series], "%s names %s", page, name)
		}
	}
}

// isCommand returns an error unless the program has the command of a line, and its flags, up to the first placeholder.
func isCommand(line string) error {
	words := strings.Fields(line)
	if i := slices.IndexFunc(words, func(word string) bool { return strings.ContainsAny(word, "<[(…|") }); i >= 0 {
		words = words[:i]
	}
	command, rest, err := newRoot(io.Discard, io.Discard).Find(words)
	if err != nil {
		return err
	}
	command.InitDefaultHelpFlag()
	for i, word := range rest {
		name, isFlag := strings.CutPrefix(word, "--")
		if name, _, _ = strings.Cut(name, "="); isFlag && command.Flag(name) == nil {
			return fmt.Errorf("%s has no flag --%s", command.CommandPath(), name)
		}
		if i == 0 && !isFlag && command.HasSubCommands() {
			return fmt.Errorf("%s has no command %s", command.CommandPath(), word)
		}
	}
	return nil
}

// found is the set of what the expression's group matches.
func found(expression, text string) map[string]bool {
	set := map[string]bool{}
	for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		set[match[1]] = true
	}
	return set
}

// anchors are the fragments of a page's headings, as GitHub makes them.
func anchors(page string) map[string]bool {
	set := map[string]bool{}
	for heading := range found(`(?m)^#+ (.+)$`, page) {
		letters := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading), "")
		set[strings.ReplaceAll(letters, " ", "-")] = true
	}
	return set
}

// wordsOfSource are the words of all files that are not pages.
func wordsOfSource(t *testing.T, root string) map[string]bool {
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
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		}) {
			words[word] = true
		}
		return err
	}))
	return words
}
