package e2e_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestEachServiceStartsByHandAsWritten runs the block of docs/localstack.md, with other ports and the programs in another place.
func TestEachServiceStartsByHandAsWritten(t *testing.T) {
	t.Parallel()
	dir := programs(t)
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	page, err := os.ReadFile(root + "/docs/localstack.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)<!-- by hand -->\n```sh\n(.*?)```").FindSubmatch(page)
	require.NotNil(t, block)
	script, building, found := "", "", false
	for line := range strings.Lines(string(block[1])) {
		if strings.Contains(line, "go build") {
			building, found = line, true // which programs has done
		} else {
			script += line
		}
	}
	require.True(t, found)
	for _, name := range append(processes.ServiceNames(), "leftfold") {
		assert.Contains(t, building, " "+name, "the page builds it")
	}
	script = strings.ReplaceAll(script, "bin/", "'"+dir+"'/")
	admins := map[string]string{} // of the services
	at := map[string]string{}     // of each address of the page
	replace := func(address string) string {
		if at[address] == "" {
			free, err := processes.FreeAddresses(t.Context(), 1)
			require.NoError(t, err)
			at[address] = free[0]
		}
		return at[address]
	}
	script = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllStringFunc(script, replace)
	for _, m := range regexp.MustCompile(`ADMIN_ADDR=(\S+) .+/([a-z-]+) &`).FindAllStringSubmatch(script, -1) {
		admins[m[2]] = m[1]
	}
	require.Len(t, admins, len(processes.ServiceNames()))

	shell := exec.CommandContext(context.WithoutCancel(t.Context()), bash, "-euc", script+"cat >/dev/null\nkill $(jobs -p)\nwait\n")
	shell.Env = append(os.Environ(), "AWS_ADDR="+at["127.0.0.1:4566"])
	shell.Stdout, shell.Stderr = t.Output(), t.Output()
	stdin, err := shell.StdinPipe() // its end stops all, even if this process is killed
	require.NoError(t, err)
	require.NoError(t, shell.Start())
	t.Cleanup(func() {
		assert.NoError(t, stdin.Close())
		_ = shell.Wait() // its exit code is that of the last job
	})

	client := systemtest.Client{HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	get := func(address, path string) (systemtest.Answer, error) {
		client.Base = "http://" + address
		return client.Do(t.Context(), systemtest.Request{Method: http.MethodGet, Path: path})
	}
	for name, admin := range admins {
		waittest.Until(t, name+" to be ready", func() (any, bool) {
			got, err := get(admin, "/readyz")
			return string(got.Body), err == nil && got.Status == http.StatusOK
		})
	}
	client.Base = "http://" + at["127.0.0.1:8081"]
	register := systemtest.Request{Method: http.MethodPost, Path: "/users", Body: map[string]string{"email": "dan@example.com"}}
	got, err := client.Do(t.Context(), register)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, got.Status, "%s", got.Body)
	user, err := systemtest.Decode[systemtest.Receipt](got)
	require.NoError(t, err)
	for address, path := range map[string]string{"127.0.0.1:8083": "/users/" + user.ID, "127.0.0.1:8084": "/roles"} {
		waittest.Until(t, path, func() (any, bool) {
			got, err := get(at[address], path)
			return string(got.Body), err == nil && got.Status == http.StatusOK
		})
	}
}
