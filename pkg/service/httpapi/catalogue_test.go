package httpapi_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

var update = flag.Bool("update", false, "write docs/problems.md anew")

// TestTheDocsHaveTheCatalogue keeps the tables of docs/problems.md what the code answers.
func TestTheDocsHaveTheCatalogue(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../../../docs/problems.md", "<!-- begin of the catalogue, made by go test ./pkg/service/httpapi -update -->\n", "<!-- end of the catalogue -->\n"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "no begin")
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "no end")

	var out strings.Builder
	for _, chapter := range httpapi.Catalogue() {
		fmt.Fprintf(&out, "\n## %s\n\n| code | status | meaning | what to do |\n|---|---|---|---|\n", chapter.Title)
		for _, e := range chapter.Entries {
			fmt.Fprintf(&out, "| `%s` | %d | %s | %s |\n", e.Code, e.Status, e.Meaning, e.Remedy)
		}
	}
	want := before + begin + out.String() + "\n" + end + after
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
		return
	}
	assert.Equal(t, want, string(text), "run go test ./pkg/service/httpapi -update")
}

func TestEachCodeIsExplainedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, chapter := range httpapi.Catalogue() {
		for _, e := range chapter.Entries {
			assert.False(t, seen[e.Code], e.Code)
			seen[e.Code] = true
			assert.NotEmpty(t, e.Meaning)
			assert.NotEmpty(t, e.Remedy)
			assert.Zero(t, strings.Count(e.Meaning, "`")%2+strings.Count(e.Remedy, "`")%2, "%s: quotes that do not close", e.Code)
		}
	}
}
