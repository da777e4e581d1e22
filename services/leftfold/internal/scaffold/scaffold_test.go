package scaffold_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"

	"github.com/leftfold/leftfold/services/leftfold/internal/scaffold"
)

const root = "../../../.."

// clone copies what the generator reads.
func clone(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for _, at := range []string{
		".ci", ".vscode", "deploy/terraform/check", "docs/eventdocs", "docs/requests.http", "go.work", "pkg", "services", "test",
	} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, at), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" && filepath.Ext(path) != ".mod" &&
				filepath.Ext(path) != ".sum" && entry.Name() != "go.work" && filepath.Ext(path) != ".http" && !strings.Contains(path, ".vscode") {
				return err
			}
			name, err := filepath.Rel(root, path)
			require.NoError(t, err)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.MkdirAll(filepath.Join(folder, filepath.Dir(name)), 0o755))
			return os.WriteFile(filepath.Join(folder, name), text, 0o644)
		}))
	}
	return folder
}

// files returns the texts of a folder.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		if entry.IsDir() {
			out[path] = "folder"
			return nil
		}
		text, err := os.ReadFile(path)
		out[path] = string(text)
		return err
	}))
	return out
}

func TestNamesThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, plural, says string }{
		{"", "", "want one word"},
		{"Group", "", "want one word"},
		{"user-group", "", "want one word"},
		{"../group", "", "want one word"},
		{"g", "", "want one word"},
		{"abcdefghijklmnopqrstu", "", "want one word"},
		{"group", "Groups", "want one word"},
		{"func", "", "a word of Go"},
		{"string", "", "a word of Go"},
		{"group", "range", "a word of Go"},
		{"sheep", "sheep", "its own plural"},
		{"role", "", "exists already"},
		{"user", "", "exists already"},
		{"event", "", "taken"},
		{"context", "", "taken"},
		{"domain", "users", "taken"},
		{"metric", "", "serve /metrics"},
		{"problem", "", "taken"},
	} {
		_, err := scaffold.New(root, scaffold.Aggregate{Name: c.name, Plural: c.plural})
		require.ErrorContains(t, err, c.says, "%s %s", c.name, c.plural)
	}
	for _, name := range []string{"group", "team", "policy", "address", "tenant", "device", "branch"} {
		_, err := scaffold.New(root, scaffold.Aggregate{Name: name})
		require.NoError(t, err, name)
	}
}

func TestWhereThereIsNoCloneNothingIsPlanned(t *testing.T) {
	t.Parallel()
	_, err := scaffold.New(t.TempDir(), scaffold.Aggregate{Name: "group"})
	require.ErrorContains(t, err, "is not in a clone of Leftfold")
}

// TestThePageShowsWhatIsMade holds each block of docs/add-an-aggregate.md that names a file against that file.
func TestThePageShowsWhatIsMade(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs", "add-an-aggregate.md"))
	require.NoError(t, err)
	p, err := scaffold.New(root, scaffold.Aggregate{Name: "group"})
	require.NoError(t, err)
	made := map[string]string{}
	for _, f := range p.Files {
		made[f.Path] = string(f.Text)
	}
	blocks := regexp.MustCompile("(?s)<!-- in (\\S+) -->\n```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	assert.Greater(t, len(blocks), 10)
	for _, b := range blocks {
		assert.Contains(t, made[b[1]], b[2], b[1])
	}
	assert.Less(t, bytes.Count(page, []byte("\n")), 250)
}

// TestThePluralIsEnglish, and names the collection.
func TestThePluralIsEnglish(t *testing.T) {
	t.Parallel()
	for name, plural := range map[string]string{"group": "groups", "policy": "policies", "key": "keys", "branch": "branches", "box": "boxes"} {
		p, err := scaffold.New(root, scaffold.Aggregate{Name: name})
		require.NoError(t, err)
		added, _ := p.Names()
		assert.Contains(t, added, "services/projector-"+name+"/internal/"+plural+"/"+plural+".go")
	}
}

func TestASecondAggregateStandsBehindTheFirst(t *testing.T) {
	t.Parallel()
	folder := clone(t)
	for _, name := range []string{"group", "team"} {
		p, err := scaffold.New(filepath.Join(folder, "pkg", "iam"), scaffold.Aggregate{Name: name}) // anywhere in the clone
		require.NoError(t, err)
		require.NoError(t, p.Write())
	}
	text, err := os.ReadFile(filepath.Join(folder, "pkg", "iam", "topology", "topology.go"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "\t\tn.auditTrail(),\n\t\tn.groups(),\n\t\tn.teams(),\n\t}")
	for module, direct := range map[string]bool{"services/leftfold": true, "test/e2e": false} {
		text, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(module), "go.mod"))
		require.NoError(t, err)
		mod, err := modfile.Parse(module, text, nil)
		require.NoError(t, err)
		at := slices.IndexFunc(mod.Require, func(r *modfile.Require) bool { return strings.HasSuffix(r.Mod.Path, "/projector-team") })
		require.GreaterOrEqual(t, at, 0, module)
		assert.Equal(t, direct, !mod.Require[at].Indirect, "%s imports it", module)
		assert.Equal(t, 1, strings.Count(string(text), "services/projector-team => "), module)
	}
	_, err = scaffold.New(folder, scaffold.Aggregate{Name: "group"})
	require.ErrorContains(t, err, "exists already")
}

func TestAllIsWrittenOrNothing(t *testing.T) {
	t.Parallel()
	folder := clone(t)
	p, err := scaffold.New(folder, scaffold.Aggregate{Name: "group"})
	require.NoError(t, err)
	before := files(t, folder)
	p.Files = append(p.Files, scaffold.File{Path: "go.work/group", New: true}) // no folder can be made there
	require.Error(t, p.Write())
	assert.Equal(t, before, files(t, folder))
}

func TestAChangedFileIsNamedWithTheMissingLine(t *testing.T) {
	t.Parallel()
	folder := clone(t)
	file := filepath.Join(folder, "pkg", "iam", "topology", "topology.go")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, bytes.Replace(text, []byte("type QueueNames"), []byte("type Queues"), 1), 0o600))
	_, err = scaffold.New(folder, scaffold.Aggregate{Name: "group"})
	require.ErrorContains(t, err, `pkg/iam/topology/topology.go has no "type QueueNames struct {"`)
	require.ErrorContains(t, err, "GroupQueueName")
}

// TestLinesThatEndAsOnWindowsAreFound: git may check them out so.
func TestLinesThatEndAsOnWindowsAreFound(t *testing.T) {
	t.Parallel()
	folder := clone(t)
	file := filepath.Join(folder, "pkg", "iam", "topology", "topology.go")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")), 0o600))
	_, err = scaffold.New(folder, scaffold.Aggregate{Name: "group"})
	require.NoError(t, err)
}
