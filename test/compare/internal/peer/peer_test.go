package peer_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/test/compare/internal/peer"
)

func TestMain(m *testing.M) {
	if task := os.Getenv("FAKE_DRIVER"); task != "" {
		fake(task)
		return
	}
	goleak.VerifyTestMain(m)
}

// folder writes a peer's source and returns the folder of peers.
func folder(t *testing.T, change func(map[string]any)) string {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	description := map[string]any{
		"name": "fake", "version": "1", "language": "Go", "homepage": "https://example.com", "licence": "MIT", "strengths": "none",
		"install": [][]string{{program, "step"}}, "run": []string{program},
	}
	if change != nil {
		change(description)
	}
	peers := t.TempDir()
	for _, name := range []string{"fake", "shared"} {
		require.NoError(t, os.Mkdir(filepath.Join(peers, name), 0o700))
	}
	text, err := json.Marshal(description)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(peers, "fake", "peer.json"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(peers, "shared", "tasks"), []byte("shared"), 0o600))
	return peers
}

func load(t *testing.T, peers string) peer.Peer {
	t.Helper()
	found, err := peer.Load(peers)
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

func TestLoadNamesWhatAPeerLacks(t *testing.T) {
	t.Parallel()
	_, err := peer.Load(folder(t, func(d map[string]any) {
		delete(d, "licence")
		d["version"], d["run"] = "", []string{}
	}))
	require.ErrorContains(t, err, `"licence" is missing`)
	require.ErrorContains(t, err, `"version" is missing`)
	require.ErrorContains(t, err, "a command is empty")

	_, err = peer.Load(folder(t, func(d map[string]any) { d["name"] = "other" }))
	require.ErrorContains(t, err, `the name is "other"`)

	_, err = peer.Load(folder(t, func(d map[string]any) { d["instal"] = "" }))
	require.ErrorContains(t, err, "instal")
}

func TestAPeerIsInstalledFromItsSourceAsItIsNow(t *testing.T) {
	t.Setenv("FAKE_DRIVER", "installs")
	peers, scratch := folder(t, func(d map[string]any) { d["shared"] = "shared" }), t.TempDir()
	p := load(t, peers)
	require.ErrorIs(t, p.Installed(scratch), peer.ErrNotInstalled)

	require.NoError(t, p.Install(t.Context(), scratch, io.Discard))
	require.NoError(t, p.Installed(scratch))
	for _, file := range []string{"peer.json", "tasks", "built by step"} {
		assert.FileExists(t, filepath.Join(scratch, "fake", file))
	}

	require.NoError(t, os.WriteFile(filepath.Join(peers, "shared", "tasks"), []byte("changed"), 0o600))
	require.ErrorIs(t, p.Installed(scratch), peer.ErrNotInstalled)
}

func TestAPeerWhoseStepFailsIsNotInstalled(t *testing.T) {
	t.Setenv("FAKE_DRIVER", "fails")
	p, scratch := load(t, folder(t, nil)), t.TempDir()
	require.ErrorContains(t, p.Install(t.Context(), scratch, io.Discard), "exit status 3")
	require.ErrorIs(t, p.Installed(scratch), peer.ErrNotInstalled)
}

func TestInstallNamesTheProgramThatIsMissing(t *testing.T) {
	t.Parallel()
	p := load(t, folder(t, func(d map[string]any) { d["install"] = [][]string{{"leftfold-has-no-such-program"}} }))
	var missing *peer.MissingError
	require.ErrorAs(t, p.Install(t.Context(), t.TempDir(), io.Discard), &missing)
	assert.Equal(t, "leftfold-has-no-such-program", missing.Program)
}
