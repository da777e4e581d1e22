package eventdocs_test

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/kelseyhightower/envconfig"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/docs/eventdocs"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

var update = flag.Bool("update", false, "write docs/events.md and docs/asyncapi.yaml anew")

const (
	root  = "../.."
	page  = "../events.md"
	api   = "../asyncapi.yaml"
	again = "run: go test ./docs/eventdocs -update"
)

func newCatalogue(t *testing.T) eventdocs.Catalogue {
	t.Helper()
	var names topology.Names
	require.NoError(t, envconfig.Process("", &names))
	c, err := eventdocs.New(os.DirFS(root), names)
	require.NoError(t, err)
	return c
}

// TestEventsPageIsCurrent compares the text between the page's marks with the code; -update writes it.
func TestEventsPageIsCurrent(t *testing.T) {
	t.Parallel()
	const from, to = "<!-- catalogue: written by go test ./docs/eventdocs -update -->\n", "<!-- end of catalogue -->\n"
	stands, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(stands), from)
	require.True(t, found, "the page has lost its mark")
	_, after, found := strings.Cut(rest, to)
	require.True(t, found, "the page has lost its mark")
	markdown, err := newCatalogue(t).Markdown()
	require.NoError(t, err)
	want := before + from + "\n" + markdown + "\n" + to + after
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	assert.Equal(t, want, string(stands), again)
}

// TestAsyncAPIIsCurrent compares the document with the code; -update writes it.
func TestAsyncAPIIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := newCatalogue(t).AsyncAPI()
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(api, want, 0o644))
		return
	}
	stands, err := os.ReadFile(api)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want, stands), again)
}

// TestAShapeThatIsNotWrittenYetIsCalledSo: the first release that reads a shape documents it and writes the one before.
func TestAShapeThatIsNotWrittenYetIsCalledSo(t *testing.T) {
	t.Parallel()
	c := newCatalogue(t)
	for i, e := range c.Aggregates[0].Events {
		if e.Name == (user.Updated{}).EventName() {
			e.Writes = 1
			e.Versions[0].Written, e.Versions[1].Written = true, false
			c.Aggregates[0].Events[i] = e
		}
	}
	markdown, err := c.Markdown()
	require.NoError(t, err)
	assert.Contains(t, markdown, "Schema version 1 is written; all others are read, for ever.")
	assert.Contains(t, markdown, "**Schema version 2**, not written yet: the next release writes it.\n")
	document, err := c.AsyncAPI()
	require.NoError(t, err)
	assert.Contains(t, string(document), "summary: Not written yet. Gives the user its names.")
}
