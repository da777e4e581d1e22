package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMakeReadsTheEnvFile: what it says of ports and of the profile holds for each target that starts or asks what runs in containers,
// unless the environment or the command line says otherwise.
func TestMakeReadsTheEnvFile(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"make", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir := t.TempDir()
	write := func(path, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o755))
	}
	const said = "#!/bin/sh\necho \"$LEFTFOLD_API $AWS_ENDPOINT_URL $COMPOSE_PROFILES $LEFTFOLD_LOAD\"\n"
	write("Makefile", read(t, "../../Makefile"))
	write(".ci/named", said)
	write("deploy/compose/up", said)
	run := func(env string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "make", append([]string{"--silent", "DOCKER=true"}, args...)...)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), env}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	assert.Equal(t, "http://127.0.0.1:8080   \n", run("X=", "smoke"))
	write(".env", "COMPOSE_PROFILES=embedded\nEDGE_PORT=18080\nAWS_PORT=14566\n")
	assert.Equal(t, "http://127.0.0.1:18080  embedded \n", run("X=", "up"))
	assert.Equal(t, "http://127.0.0.1:18080  embedded \n", run("X=", "smoke"))
	assert.Equal(t, "http://127.0.0.1:18080 http://127.0.0.1:14566 embedded 60s\n", run("X=", "accidents"))
	assert.Equal(t, "http://127.0.0.1:28080 http://127.0.0.1:14566 embedded 60s\n", run("EDGE_PORT=28080", "accidents"))
	assert.Equal(t, "http://there http://127.0.0.1:1 localstack 5s\n",
		run("X=", "accidents", "AWS_PORT=1", "API=http://there", "PROFILE=localstack", "LOAD=5s"))
}
