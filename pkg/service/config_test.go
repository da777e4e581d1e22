package service_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
)

type part struct {
	Size int `envconfig:"TEST_SIZE" default:"7" desc:"how much"`
}

type list struct {
	Sizes []int         `envconfig:"TEST_SIZES" desc:"how much of each"`
	Key   string        `envconfig:"TEST_KEY" secret:"true" desc:"never printed"`
	Life  time.Duration `envconfig:"TEST_LIFE" desc:"how long it lives"`
}

func (l *list) SetDefaults() { l.Life = 2 * time.Hour }

type config struct {
	part
	List   list
	Nested struct {
		Wait time.Duration `envconfig:"TEST_WAIT" default:"2s" desc:"how long"`
	}
	Name string `envconfig:"TEST_NAME" default:"left" desc:"what it is called"`
}

func (c *config) Validate() error {
	if c.Name == "right" {
		return errors.New("TEST_NAME: want left")
	}
	return nil
}

func env(vars map[string]string) service.Lookup { return service.Fixed(vars) }

func TestLoadConfigTakesDefaultsAndVariables(t *testing.T) {
	t.Parallel()
	var c config
	require.NoError(t, service.LoadConfig(env(map[string]string{"TEST_WAIT": "3m", "TEST_NAME": ""}), &c))
	assert.Equal(t, 7, c.Size)
	assert.Equal(t, 3*time.Minute, c.Nested.Wait)
	assert.Equal(t, "left", c.Name, "an empty variable counts as unset")
}

func TestListsMayHaveSpacesAndDefaultsMayComeFromCode(t *testing.T) {
	t.Parallel()
	var c config
	require.NoError(t, service.LoadConfig(env(map[string]string{"TEST_SIZES": " 1, 2 ,3 "}), &c))
	assert.Equal(t, []int{1, 2, 3}, c.List.Sizes)
	assert.Equal(t, 2*time.Hour, c.List.Life)
	require.NoError(t, service.LoadConfig(env(map[string]string{"TEST_LIFE": "0s"}), &c))
	assert.Zero(t, c.List.Life, "a value that is set wins, zero too")
}

func TestTheConfigurationIsPrintedWithoutSecrets(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	vars := map[string]string{"TEST_SIZE": "9", "TEST_KEY": "hush", "TEST_NAME": ""}
	require.NoError(t, service.WriteConfig(&out, env(vars), &config{}))
	assert.Equal(t, "TEST_SIZE=9\nTEST_SIZES=\nTEST_KEY=******\nTEST_LIFE=2h\nTEST_WAIT=2s\nTEST_NAME=left\n", out.String())

	out.Reset()
	vars["TEST_SIZE"], vars["TEST_WAIT"] = "big", "soon"
	err := service.WriteConfig(&out, env(vars), &config{})
	require.ErrorContains(t, err, "TEST_SIZE=big: ")
	require.ErrorContains(t, err, "TEST_WAIT=soon: ")
	assert.Empty(t, out.String())
}

func TestLoadConfigReportsAllMistakesAtOnceByVariable(t *testing.T) {
	t.Parallel()
	var c config
	err := service.LoadConfig(env(map[string]string{"TEST_WAIT": "soon", "TEST_SIZE": "big"}), &c)
	require.ErrorContains(t, err, "TEST_WAIT=soon: ")
	require.ErrorContains(t, err, "TEST_SIZE=big: invalid syntax; it is how much")
	assert.NotContains(t, err.Error(), "Nested", "Go fields mean nothing to an operator")
}

func TestLoadConfigValidatesTheStructAtTheEnd(t *testing.T) {
	t.Parallel()
	var c config
	err := service.LoadConfig(env(map[string]string{"TEST_NAME": "right"}), &c)
	require.EqualError(t, err, "TEST_NAME: want left")
}

func TestHelpNamesEveryVariable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, service.WriteHelp(&out, "prog", "does it", &config{}, &config{}))
	for _, want := range []string{"TEST_SIZE", "how much", "[7]", "TEST_WAIT", "TEST_NAME"} {
		assert.Contains(t, out.String(), want)
	}
	assert.Equal(t, 1, strings.Count(out.String(), "TEST_NAME"), "each variable is listed once")
}

func TestHelpHasTheUsualNamesAndUnknownArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"-h", "-help", "--help", "help"} {
		assert.True(t, service.WantsHelp([]string{arg}), arg)
	}
	for _, args := range [][]string{nil, {"run"}, {"help", "run"}} {
		assert.False(t, service.WantsHelp(args), args)
	}
	assert.EqualError(t, service.UnknownArguments([]string{"claims", "adit"}), `unknown arguments "claims adit"; -help lists what there is`)
}
