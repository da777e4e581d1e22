package fleet

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newFleet makes one from the programs in a directory; variables are given as name and value in turn.
func newFleet(t *testing.T, dir string, without []string, variables ...string) (*Fleet, error) {
	t.Helper()
	values := map[string]string{"API_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "AWS_ADDR": "127.0.0.1:0"}
	for i := 0; i < len(variables); i += 2 {
		values[variables[i]] = variables[i+1]
	}
	lookup := app.Lookup(service.Fixed(values))
	var cfg app.Config
	require.NoError(t, service.LoadConfig(lookup, &cfg))
	o := Options{Leftfold: filepath.Join(dir, "leftfold"), Without: without, Out: io.Discard, Logs: io.Discard}
	return New(t.Context(), cfg, lookup, o)
}

// programs returns a directory that has programs of these names.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
	return dir
}

// servicesWithout returns the names of all services but these.
func servicesWithout(without ...string) []string {
	all, _ := serviceNames(app.Config{})
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(without, name) })
}

func TestProgramsThatAreMissingAreNamed(t *testing.T) {
	t.Parallel()
	dir := programs(t, servicesWithout("broker", "projector-user")...)
	_, err := newFleet(t, dir, nil)
	require.EqualError(t, err, "no programs broker, projector-user in "+dir+"; make services builds them there, beside leftfold")
	_, err = newFleet(t, dir, []string{"broker"})
	require.ErrorContains(t, err, "no programs projector-user in ", "one that is left out may be missing")
	_, err = newFleet(t, dir, []string{"brokers"})
	require.EqualError(t, err, "--without brokers: no service has this name")
}

func TestAPortInUseIsReportedBeforeAnythingIsStarted(t *testing.T) {
	t.Parallel()
	dir := programs(t, servicesWithout()...)
	for _, variable := range []string{"API_ADDR", "ADMIN_ADDR", "AWS_ADDR"} {
		taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addr := taken.Addr().String()
		_, err = newFleet(t, dir, nil, variable, addr)
		require.ErrorContains(t, err, variable+"="+addr+": ")
		require.ErrorContains(t, err, " has this port; stop that, or set another address")
		assert.Equal(t, variable != "AWS_ADDR", strings.HasSuffix(err.Error(), " ports from "+variable+"="+addr+" on"), err)
		require.NoError(t, taken.Close())
	}
	_, err := newFleet(t, dir, nil, "API_ADDR", "127.0.0.1:http")
	require.EqualError(t, err, "API_ADDR=127.0.0.1:http: port http: want a number up to 65535")
}

func TestProcessesShareTheCores(t *testing.T) { // sets the environment: not in parallel
	processors := func() (values []string) {
		for _, v := range environment(service.Fixed(nil), "127.0.0.1:4566", "eu-west-1") {
			if value, ok := strings.CutPrefix(v, "GOMAXPROCS="); ok && value != "" {
				values = append(values, value)
			}
		}
		return values
	}
	t.Setenv("GOMAXPROCS", "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	assert.Equal(t, []string{"4"}, processors())
	runtime.GOMAXPROCS(1)
	assert.Equal(t, []string{"1"}, processors())
	t.Setenv("GOMAXPROCS", "3")
	assert.Equal(t, []string{"3"}, processors(), "as the environment says")
}

func TestEachLineNamesItsProcess(t *testing.T) {
	t.Parallel()
	services := []Service{{Name: "command-api"}, {Name: "broker"}}
	var logs bytes.Buffer
	plain, colours := Options{Logs: &logs}, Options{Logs: &logs, Colour: true}
	broker, api := plain.output(services, "broker"), plain.output(services, "command-api")
	for _, write := range []struct {
		to   io.Writer
		text string
	}{{broker, "one\ntwo\nthr"}, {api, "half"}, {broker, "ee\n"}, {api, " a line\n\n"}, {colours.output(services, "aws"), "red\n"}} {
		n, err := io.WriteString(write.to, write.text)
		require.NoError(t, err)
		assert.Len(t, write.text, n)
	}
	assert.Equal(t, "broker      | one\nbroker      | two\nbroker      | three\ncommand-api | half a line\ncommand-api | \n"+
		"\x1b[31maws         | \x1b[0mred\n", logs.String())
}
