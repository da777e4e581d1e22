package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

// isProgram is the variable that makes of this test's binary the program itself, so that a shell can run it.
const isProgram = "LEFTFOLD_IS_PROGRAM"

// Every command in a block of these pages is run as it stands, page by page and in order, by a shell beside a running system, ends well
// and prints what the page shows.
func TestTheOperatorsCommandsWork(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	for _, page := range []string{"operations", "admin", "rebuild", "history"} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			const token = "a-token-of-22-characters-or-more"
			system, stop := running(t, "AWS_REGION", "eu-central-1", "ADMIN_TOKEN", map[string]string{"operations": token}[page])
			o, terminal := operated{system, t}, newTerminal(t, "AWS_ENDPOINT_URL=http://"+system.AWSAddr, "ADMIN_URLS=http://"+system.AdminAddr)
			fill := strings.NewReplacer(
				"localhost:8080", system.APIAddr, "localhost:9090", system.AdminAddr, "https://<host>:9443", "http://"+system.AdminAddr,
				"<token>", token, "<region>", "eu-central-1", "<registry>", "registry", "<state bucket>", "state",
				"s3://<archive bucket>", "archive", "{id}", strings.TrimPrefix(somebody, "org/iam/user/"),
				"2026-03-01T12:00:00Z", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), // to come: the present
				"curl ", "curl --fail --retry 1000 ", // an error is one of the command, unless it is to be sent again
			)
			archived := func() { terminal.mustRun("leftfold archive verify --archive archive --delay 0s --repair") }
			before := map[string]func(){ // what the page's text has happen before a command that begins so
				"curl -s 'localhost:9090/projections/users/parked":        o.park,
				"curl -s -X POST localhost:9090/projections/users/parked": o.removeTheCause,
				"leftfold archive verify":                                 archived,
				"leftfold run --from ./archive":                           archived,
			}
			o.registered()
			for _, s := range stepsOf(t, read(t, "../../docs/"+page+".md")) {
				if reason := notRun(s.command); reason != "" {
					t.Logf("not run, since it %s: %s", reason, s.command)
					continue
				}
				for begin, do := range before {
					if strings.HasPrefix(s.command, begin) {
						do()
						delete(before, begin)
					}
				}
				command := fill.Replace(s.command)
				require.NotRegexp(t, `<[a-z]|\{[a-z]+\}|…`, command, "a placeholder that the test does not fill")
				s.compare(t, terminal.mustRun(command))
			}
			stop()
		})
	}
}

// notRun says why a command cannot be run here, if it cannot.
func notRun(command string) string {
	for begin, reason := range map[string]string{
		"terraform ":                "makes what AWS alone has",
		"deploy/terraform/release ": "runs Terraform",
		"aws ":                      "asks services of AWS that the embedded one does not have",
	} {
		if strings.HasPrefix(command, begin) {
			return reason
		}
	}
	return ""
}

// step is a command of a page, and what the page shows of its output, if anything.
type step struct{ command, shown, format string }

// stepsOf returns the commands of a page's blocks. A block with an output follows that of its command.
func stepsOf(t *testing.T, page string) (steps []step) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?ms)^ *```(\\w*)\n(.*?)^ *```").FindAllStringSubmatch(page, -1) {
		language, text := block[1], strings.ReplaceAll(block[2], "\\\n", "")
		switch language {
		case "sh", "console", "http":
			for line := range strings.Lines(text) {
				line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
				if path, ok := strings.CutPrefix(line, "GET "); ok {
					line = "curl -s 'localhost:8080" + path + "'"
				}
				steps = append(steps, step{command: line})
			}
		case "json", "text":
			last := &steps[len(steps)-1]
			last.shown, last.format = text, language
		case "promql": // .ci/alerts evaluates queries
		default:
			require.Fail(t, "a block that is neither commands nor output", "%s\n%s", language, text)
		}
	}
	require.NotEmpty(t, steps)
	return steps
}

// compare fails unless what was printed is like what the page shows: JSON with the same members of the same types; or a table with the
// same columns, and with the rows shown, by their first words and in order, among others.
func (s step) compare(t *testing.T, printed string) {
	t.Helper()
	switch s.format {
	case "json":
		var want, got any
		require.NoError(t, json.Unmarshal([]byte(s.shown), &want), s.command)
		require.NoError(t, json.Unmarshal([]byte(printed), &got), "%s\n%s", s.command, printed)
		assert.Equal(t, shape(want), shape(got), "%s\n%s", s.command, printed)
	case "text":
		rows := slices.Collect(strings.Lines(printed))
		for i, row := range slices.Collect(strings.Lines(s.shown)) {
			words := strings.Fields(row)
			if i > 0 {
				words = words[:3]
			}
			at := slices.IndexFunc(rows, func(row string) bool { return slices.Equal(words, strings.Fields(row)[:len(words)]) })
			require.GreaterOrEqual(t, at, 0, "%s has no row %q after those before:\n%s", s.command, words, printed)
			rows = rows[at+1:]
		}
	}
}

// shape is a value of JSON with types in place of what a run decides. What has not run or ended yet has no such times.
func shape(value any) any {
	switch v := value.(type) {
	case map[string]any:
		members := map[string]any{}
		for name, member := range v {
			if !slices.Contains([]string{"startedAt", "endedAt"}, name) {
				members[name] = shape(member)
			}
		}
		return members
	case []any:
		if len(v) == 0 {
			return v
		}
		return []any{shape(v[0])}
	default:
		return fmt.Sprintf("%T", v)
	}
}

// terminal is a shell in a directory of its own, whose path has the program. What a line exports lasts.
type terminal struct {
	t       *testing.T
	dir     string
	env     []string
	exports string
}

func newTerminal(t *testing.T, variables ...string) *terminal {
	t.Helper()
	dir := t.TempDir()
	program, err := os.Executable()
	require.NoError(t, err)
	for _, name := range []string{"leftfold", "leftfold-1.4.0", "leftfold-1.5.0"} {
		require.NoError(t, os.Symlink(program, filepath.Join(dir, name)))
	}
	config := filepath.Join(dir, "config")
	require.NoError(t, os.WriteFile(config, []byte("[profile leftfold-operator]\n"), 0o600))
	return &terminal{t: t, dir: dir, env: append(variables,
		"PATH="+dir+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOME="+dir, "TMPDIR="+dir, isProgram+"=1", "STOP_TIMEOUT=5m",
		"API_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0", "AWS_ADDR=127.0.0.1:0", // of what it runs itself
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_CONFIG_FILE="+config,
	)}
}

// mustRun runs a command to its end, or until it says that only Ctrl-C ends it. It returns what it prints.
func (o *terminal) mustRun(command string) string {
	o.t.Helper()
	if strings.HasPrefix(command, "export ") {
		o.exports += command + "\n"
		return ""
	}
	cmd := exec.CommandContext(o.t.Context(), "bash", "-euc", o.exports+"exec "+command)
	cmd.Dir, cmd.Env = o.dir, o.env
	var printed, failure strings.Builder
	cmd.Stderr = &failure
	out, err := cmd.StdoutPipe()
	require.NoError(o.t, err)
	require.NoError(o.t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		_, _ = fmt.Fprintln(&printed, lines.Text())
		if lines.Text() == "Ctrl-C stops it." {
			require.NoError(o.t, cmd.Process.Signal(os.Interrupt))
		}
	}
	require.NoError(o.t, cmd.Wait(), "%s\n%s%s", command, &printed, &failure)
	return printed.String()
}

// registered has somebody registered and renamed, by six events, and visible.
func (o operated) registered() {
	o.t.Helper()
	id := strings.TrimPrefix(somebody, "org/iam/user/")
	send := func(method, path, body string) {
		header := http.Header{"Content-Type": {"application/json"}}
		status, answer := httpRequest{method: method, url: "http://" + o.APIAddr + path, header: header, body: body}.send(o.t)
		require.Equal(o.t, http.StatusAccepted, status, answer)
	}
	send(http.MethodPost, "/users", `{"id":"`+id+`","email":"dan@example.com"}`)
	for _, name := range []string{"Ada", "Bea", "Cleo", "Dora", "Eve"} {
		send(http.MethodPut, "/users/"+id, `{"firstName":"`+name+`","lastName":"Lovelace"}`)
	}
	waittest.Until(o.t, "somebody", func() (any, bool) {
		status, answer := httpRequest{method: http.MethodGet, url: "http://" + o.APIAddr + "/users/" + id + "?min_version=6"}.send(o.t)
		return answer, status == http.StatusOK
	})
	waittest.Until(o.t, "the trail", func() (any, bool) {
		_, answer := httpRequest{method: http.MethodGet, url: "http://" + o.APIAddr + "/events?actor=anonymous"}.send(o.t)
		return answer, strings.Count(answer, `"version"`) == 6
	})
}

// park has a later build write an event that this one does not know, and two that wait for it.
func (o operated) park() {
	o.t.Helper()
	o.log("7", "teleported", `{}`)
	o.log("8", "enabled", `{}`)
	o.log("9", "disabled", `{}`)
	for _, p := range o.Config.Names.Consumers() {
		waittest.Until(o.t, "three events that wait", func() (any, bool) {
			_, answer := httpRequest{method: http.MethodGet, url: "http://" + o.AdminAddr + "/projections/" + p.Name + "/parked"}.send(o.t)
			return answer, strings.Contains(answer, `"waiting":3`)
		})
	}
}

// removeTheCause has this build know the event.
func (o operated) removeTheCause() {
	o.t.Helper()
	o.log("7", "disabled", `{}`)
}
