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

type config struct {
	part
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

func TestLoadConfigReportsAllMistakesAtOnceByVariable(t *testing.T) {
	t.Parallel()
	var c config
	err := service.LoadConfig(env(map[string]string{"TEST_WAIT": "soon", "TEST_SIZE": "big"}), &c)
	require.ErrorContains(t, err, "TEST_WAIT=soon: ")
	require.ErrorContains(t, err, "TEST_SIZE=big: invalid syntax; it is how much")
	assert.NotContains(t, err.Error(), "Nested", "an operator knows no Go fields")
}

func TestLoadConfigAsksTheStructAtTheEnd(t *testing.T) {
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

func TestHelpIsForThoseWhoAskAndMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"-h", "-help", "--help", "help"} {
		assert.True(t, service.WantsHelp([]string{arg}), arg)
	}
	for _, args := range [][]string{nil, {"run"}, {"help", "run"}} {
		assert.False(t, service.WantsHelp(args), args)
	}
	assert.EqualError(t, service.UnknownArguments([]string{"claims", "adit"}), `unknown arguments "claims adit"; -help lists what there is`)
}
