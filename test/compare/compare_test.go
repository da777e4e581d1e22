package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/test/compare/internal/report"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "fake" {
		fake(os.Args[2], os.Args[3])
		return
	}
	goleak.VerifyTestMain(m)
}

// fake is a driver. It puts one item for each event and offers the tasks update, bare and lost.
func fake(behaviour, task string) {
	call := func(operation, body string) error {
		r, _ := http.NewRequest(http.MethodPost, os.Getenv("AWS_ENDPOINT_URL"), strings.NewReader(body))
		r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	table := `{"TableName":"` + os.Getenv("TABLE") + `"`
	put := func() error { return call("PutItem", table+`,"Item":{"id":{"S":"1"}}}`) }
	events, _ := strconv.Atoi(os.Getenv("EVENTS"))
	switch {
	case task == "setup":
		_ = call("CreateTable", table+`,"BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],`+
			`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}]}`)
		fmt.Println("{}")
	case behaviour == "idle" && task == "update":
		fmt.Println(`{"done":0}`)
	case task == "update", task == "bare":
		_ = call("DescribeTable", table+"}") // part of the start
		for range events {
			_ = put()
		}
		fmt.Printf("{\"done\":%d}\n", events)
	case task == "lost":
		err := put()
		if again := put(); again != nil {
			err = again
		}
		fmt.Printf("{\"read\":1,\"error\":%q}\n", fmt.Sprint(err))
	default:
		fmt.Println(`{"offered":false}`)
	}
}

// describe writes the peer.json of a fake driver.
func describe(t *testing.T, peers, name, behaviour string) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(map[string]any{
		"name": name, "version": "1", "language": "Go", "homepage": "https://example.com", "licence": "MIT", "strengths": "none",
		"install": [][]string{}, "run": []string{program, "fake", behaviour},
	})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(peers, name), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(peers, name, "peer.json"), text, 0o600))
}

// compare runs the program and returns what it reports and prints.
func compare(t *testing.T, args ...string) (report.Results, string, error) {
	t.Helper()
	out := t.TempDir()
	page := "<!-- comparison: written by a program -->\n<!-- end of comparison -->\n"
	require.NoError(t, os.WriteFile(filepath.Join(out, "comparison.md"), []byte(page), 0o600))
	var log bytes.Buffer
	failed := program(t.Context(), append([]string{"-out", out}, args...), &log)
	text, err := os.ReadFile(filepath.Join(out, "comparison.json"))
	require.NoError(t, err, log.String())
	var results report.Results
	require.NoError(t, json.Unmarshal(text, &results))
	return results, log.String(), failed
}

func TestWhatIsInstalledIsComparedAndTheRestSkipped(t *testing.T) {
	peers, scratch := t.TempDir(), t.TempDir()
	describe(t, peers, "works", "works")
	require.NoError(t, program(t.Context(), []string{"-install", "-peers", peers, "-scratch", scratch}, t.Output()))
	describe(t, peers, "absent", "works")

	results, log, err := compare(t, "-peers", peers, "-scratch", scratch, "-rounds", "2", "-updates", "3")
	require.NoError(t, err)
	assert.Contains(t, log, "absent: skipped: not installed (make compare-install)\n")
	assert.Equal(t, []string{"absent"}, results.Skipped)
	require.Len(t, results.Contenders, 1)
	seen := results.Contenders[0]
	require.Len(t, seen.Update, 2)
	for _, cost := range seen.Update {
		cost.CPU = 0
		assert.Equal(t, report.Cost{Calls: 1, WriteUnits: 1}, cost, "the start's call is not counted")
	}
	assert.Empty(t, seen.Open, "not offered")
	assert.Empty(t, seen.Failed)
}

func TestALostAnswerIsLostOnceAfterTheWriteTookEffect(t *testing.T) {
	peers, scratch := t.TempDir(), t.TempDir()
	describe(t, peers, "works", "works")
	require.NoError(t, program(t.Context(), []string{"-install", "-peers", peers, "-scratch", scratch}, t.Output()))
	results, _, err := compare(t, "-peers", peers, "-scratch", scratch, "-rounds", "1", "-updates", "1")
	require.NoError(t, err)
	require.Len(t, results.Contenders[0].Lost, 1)
	assert.NotEqual(t, "<nil>", results.Contenders[0].Lost[0].Error, "the first put; the second is answered")
}

func TestADriverThatDoesLessFails(t *testing.T) {
	peers, scratch := t.TempDir(), t.TempDir()
	describe(t, peers, "idle", "idle")
	require.NoError(t, program(t.Context(), []string{"-install", "-peers", peers, "-scratch", scratch}, t.Output()))
	results, _, err := compare(t, "-peers", peers, "-scratch", scratch, "-rounds", "2", "-updates", "3")
	require.ErrorContains(t, err, "idle: update: did 0 of 3")
	assert.Empty(t, results.Contenders[0].Update)
	assert.NotEmpty(t, results.Contenders[0].Bare, "other tasks go on")
}

func TestAProgramThatIsMissingIsNoError(t *testing.T) {
	peers := t.TempDir()
	describe(t, peers, "foreign", "works")
	file := filepath.Join(peers, "foreign", "peer.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	text = bytes.Replace(text, []byte(`"install":[]`), []byte(`"install":[["leftfold-has-no-such-program"]]`), 1)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	var log bytes.Buffer
	require.NoError(t, program(t.Context(), []string{"-install", "-peers", peers, "-scratch", t.TempDir()}, &log))
	assert.Contains(t, log.String(), "foreign: skipped: leftfold-has-no-such-program is not installed\n")
}

func TestAnUnknownLibraryIsNamed(t *testing.T) {
	require.ErrorContains(t, program(t.Context(), []string{"-peers", "peers", "other"}, new(bytes.Buffer)), `there is no library "other"`)
}

// The table says of Leftfold what its documents promise.
func TestLeftfoldDoesNothingWrong(t *testing.T) {
	scratch := t.TempDir()
	work, err := filepath.Abs(filepath.Join("..", "..", "go.work"))
	require.NoError(t, err)
	t.Setenv("GOWORK", work) // the driver is built outside of the tree
	require.NoError(t, program(t.Context(), []string{"-install", "-peers", "peers", "-scratch", scratch, "leftfold"}, t.Output()))
	results, log, err := compare(t, "-peers", "peers", "-scratch", scratch, "-rounds", "1", "-updates", "20", "-streams", "5", "leftfold")
	require.NoError(t, err, log)
	require.Len(t, results.Contenders, 2)
	for _, seen := range results.Contenders {
		assert.Equal(t, seen.Race[0].Accepted, seen.Race[0].Read)
		assert.Equal(t, []report.Gap{{Accepted: false}}, seen.Gap)
		assert.Equal(t, []report.Lost{{Read: 1}}, seen.Lost)
		assert.Equal(t, []report.Unique{{Accepted: 1}}, seen.Unique)
		assert.Equal(t, []report.Big{{Written: bigEvents, Read: bigEvents}}, seen.Big)
		open := seen.Open[0]
		open.CPU = 0
		assert.Equal(t, report.Cost{Calls: 1, WriteUnits: 1}, open)
	}
}
