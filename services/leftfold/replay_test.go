package main

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

// The log of a system is loaded elsewhere, from its archive or from its table, and this build runs on it. Rows of two builds on one
// log are compared.
func TestALogIsReplayedElsewhere(t *testing.T) { // not in parallel: it sets the environment
	folder := filepath.Join(t.TempDir(), "archive")
	system, stop := running(t, "ARCHIVE", folder, "ARCHIVE_EVERY", "10ms", "SEED_USERS", "3")
	shows(t, system, 3)
	outside := httptest.NewServer(system.AWS)
	defer outside.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": outside.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	} {
		t.Setenv(name, value)
	}
	t.Setenv("ARCHIVE", folder)
	waittest.Until(t, "an archive of the whole log", func() (any, bool) {
		code, out, failure := operated{system, t}.run("archive", "verify", "--delay", "0s")
		return out + failure, code == 0
	})
	t.Setenv("ARCHIVE", "")

	rows := filepath.Join(t.TempDir(), "rows")
	out, err := execute(t, "run", "--from", "table:EventLog", "--save-rows", rows)
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^\d+ rows saved in `, out)
	before, err := os.ReadFile(rows)
	require.NoError(t, err)
	out, err = execute(t, "run", "--from", folder, "--compare", rows)
	require.NoError(t, err, out)
	assert.Regexp(t, `(?m)^(\d+) rows compared with \d+: 0 differences in 0 streams$`, out)

	lines := strings.SplitAfter(string(before), "\n")
	last := len(lines) - 2                                                                                 // a user's
	first := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"name":"`) }) // a role's
	lines[first], lines[last] = strings.Replace(lines[first], `"name":"`, `"name":"x`, 1), ""
	require.NoError(t, os.WriteFile(rows, []byte(strings.Join(lines, "")), 0o600))
	out, err = execute(t, "run", "--from", folder, "--compare", rows)
	var code outcome
	require.ErrorAs(t, err, &code)
	assert.Equal(t, differs, code.ExitCode())
	assert.Regexp(t, `(?m)^org/iam/role/\S+: row \S+ of \S+ in \S+ differs in name$`, out)
	assert.Regexp(t, `(?m)^org/iam/user/\S+: row \S+ of \S+ in \w+ is this build's alone$`, out)
	assert.Contains(t, out, ": 2 differences in 2 streams\n")
	stop()

	// It is a system as any other: what was loaded is shown, and its values are reserved.
	con := newConsole(io.Discard, io.Discard)
	elsewhere := start(t)
	require.NoError(t, con.load(t.Context(), elsewhere, folder))
	claims, err := dynamodb.NewFromConfig(elsewhere.AWS.Config()).Scan(t.Context(), &dynamodb.ScanInput{
		TableName: &elsewhere.Config.Names.SetValidations,
	})
	require.NoError(t, err)
	assert.Len(t, claims.Items, 3+10)
	require.ErrorContains(t, con.load(t.Context(), elsewhere, filepath.Join(t.TempDir(), "none")), "no archive at ")
	other := filepath.Join(t.TempDir(), "events")
	require.NoError(t, os.Mkdir(other, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(other, "x.gz"), nil, 0o600))
	require.ErrorContains(t, con.load(t.Context(), elsewhere, filepath.Dir(other)), "nothing is loaded", "another history")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- elsewhere.Run(ctx) }()
	shows(t, elsewhere, 3)
	cancel()
	require.NoError(t, <-ended)
}

// Mistakes are found before a log is loaded, which takes long: these name none.
func TestAReplayThatCannotEndWellDoesNotBegin(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none", "rows")
	for mistake, args := range map[string][]string{
		"want --from with them":              {"--compare", none},
		"--compare: want --from":             {"--save-rows", none},
		"want one of them":                   {"--from", none, "--save-rows", none, "--compare", none},
		"there is no such folder":            {"--from", none, "--save-rows", none},
		"rows: no such file":                 {"--from", none, "--compare", none},
		"no archive at " + none + ", which ": {"--from", none},
	} {
		_, err := execute(t, append([]string{"run"}, args...)...)
		require.ErrorContains(t, err, mistake)
	}
}
