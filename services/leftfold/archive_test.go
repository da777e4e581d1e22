package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// The system writes an archive, which is compared with the log, and from which another log is filled, with its reserved values.
func TestTheArchiveIsVerifiedAndRestored(t *testing.T) { // not in parallel: it sets the environment
	folder := filepath.Join(t.TempDir(), "archive")
	system, stop := running(t, "ARCHIVE", folder, "ARCHIVE_EVERY", "10ms")
	outside := httptest.NewServer(system.AWS)
	defer outside.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": outside.URL, "AWS_REGION": "us-east-1", "ARCHIVE": folder,
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	} {
		t.Setenv(name, value)
	}
	run := operated{system, t}.run
	const events = 6
	for n := range events {
		body := strings.NewReader(fmt.Sprintf(`{"email":"secret%d@example.com"}`, n))
		res, err := http.Post("http://"+system.APIAddr+"/users", "application/json", body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	waittest.Until(t, "an archive of the whole log", func() (any, bool) {
		code, out, failure := run("archive", "verify", "--delay", "0s")
		return out + failure, code == 0
	})
	code, out, _ := run("archive", "verify")
	assert.Zero(t, code)
	assert.Regexp(t, `^6 events archived, 0 of them copies; 6 logged, 0 of them young: 0 findings, 0 events added\n$`, out)

	require.NoError(t, os.RemoveAll(filepath.Join(folder, "events")))
	code, _, failed := run("archive", "verify")
	assert.Equal(t, trouble, code, "nothing is proved by what is not there")
	assert.Contains(t, failed, "no archive at "+folder)
	code, out, _ = run("archive", "verify", "--delay", "0s", "--repair")
	assert.Zero(t, code)
	assert.Equal(t, events, strings.Count(out, "missing: org/iam/user/"))
	assert.Contains(t, out, ": 6 findings, 6 events added\n")

	restored := dynamostore.Tables{Events: "EventLog-restored", Claims: "set-validations-restored"}
	db := dynamodb.NewFromConfig(system.AWS.Config())
	for _, table := range restored.CreateTableInputs()[:2] {
		_, err := db.CreateTable(t.Context(), table)
		require.NoError(t, err)
	}
	t.Setenv("TABLE_EVENT_LOG", restored.Events)
	t.Setenv("TABLE_SET_VALIDATIONS", restored.Claims)
	code, out, _ = run("restore", "--dry-run")
	assert.Zero(t, code)
	assert.Equal(t, "6 events of 6 streams: 0 there before, 6 would be written; 0 findings\n", out)
	code, out, _ = run("restore", "--rate", "1000")
	assert.Zero(t, code)
	assert.Equal(t, "6 events of 6 streams: 0 there before, 6 written; 0 findings\n"+
		"6 values of 6 streams reserved or freed, 0 not\n"+"0 scopes counted anew, 0 not\n", out)
	code, _, _ = run("claims", "audit")
	assert.Zero(t, code)
	code, out, _ = run("restore", "--from-table", "EventLog")
	assert.Zero(t, code)
	assert.Contains(t, out, "6 events of 6 streams: 6 there before, 0 written; 0 findings\n")

	require.NoError(t, os.WriteFile(filepath.Join(folder, "events", "x.gz"), []byte("nothing that gzip wrote"), 0o600))
	code, out, _ = run("archive", "verify")
	assert.Equal(t, differs, code)
	assert.Contains(t, out, "unreadable: events/x.gz: gzip: invalid header\n")
	code, out, _ = run("restore")
	assert.Equal(t, differs, code)
	assert.Contains(t, out, "unreadable: events/x.gz: gzip: invalid header\n")
	assert.Contains(t, out, " there before, refused, nothing is written; 1 finding\n")

	for prefix, lines := range map[string][][]string{
		"archive": {{}, {"vrify"}, {"verify", "x"}, {"verify", "--repiar"}, {"verify", "--parallel", "0"}, {"verify", "--archive", "s3://x"}},
		"restore": {{"x"}, {"--dry"}, {"--rate", "-1"}, {"--from-table", "none"}},
	} {
		for _, args := range lines {
			code, out, failure := run(append([]string{prefix}, args...)...)
			assert.Equal(t, trouble, code, "%v", args)
			assert.Empty(t, out)
			assert.Regexp(t, "^"+prefix+": ", failure)
		}
	}
	t.Setenv("ARCHIVE", "")
	code, _, failure := run("restore")
	assert.Equal(t, trouble, code)
	assert.Equal(t, "restore: ARCHIVE is not set; it names the archive: a folder, or s3://bucket/prefix", failure)
	stop()
}

// The writer is a process of its own where no other process writes the archive.
func TestTheArchivesWriterRunsAlone(t *testing.T) { // not in parallel: it sets the environment
	system, stop := running(t)
	outside := httptest.NewServer(system.AWS)
	defer outside.Close()
	folder := t.TempDir()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": outside.URL, "AWS_REGION": "us-east-1", "ADMIN_ADDR": "127.0.0.1:0", "ARCHIVE_EVERY": "10ms",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "LOG_LEVEL": "error",
	} {
		t.Setenv(name, value)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		root := newRoot(&out, t.Output()) //nolint:contextcheck // ExecuteContext passes it
		root.SetArgs([]string{"archive", "write", "--archive", folder})
		ended <- root.ExecuteContext(ctx)
	}()
	res, err := http.Post("http://"+system.APIAddr+"/users", "application/json", strings.NewReader(`{"email":"dan@example.com"}`))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	waittest.Until(t, "a file of the archive", func() (any, bool) {
		files, err := filepath.Glob(filepath.Join(folder, "events", "*", "*", "*", "*", "*.gz"))
		return files, err == nil && len(files) == 1
	})
	end()
	require.NoError(t, <-ended)
	assert.Contains(t, out.String(), folder)
	stop()
}

func TestRunWritesItsArchiveToAFolderOnly(t *testing.T) {
	t.Parallel()
	var cfg app.Config
	for value, want := range map[string]string{
		"ARCHIVE=s3://bucket": "ARCHIVE=s3://bucket: want a folder; leftfold archive write writes to S3",
		"ARCHIVE_EVERY=5m":    "ARCHIVE_EVERY=5m0s: want more than 0 and at most 4m0s",
	} {
		name, text, _ := strings.Cut(value, "=")
		require.EqualError(t, load(name, text, &cfg), want)
	}
}

func load(name, text string, cfg *app.Config) error {
	return service.LoadConfig(app.Lookup(service.Fixed(map[string]string{name: text})), cfg)
}
