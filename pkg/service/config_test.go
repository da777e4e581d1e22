package service_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
)

type part struct {
	_    struct{} `group:"First"`
	Size int      `envconfig:"TEST_SIZE" default:"7" desc:"how much"`
}

type list struct {
	_     struct{}      `group:"Second"`
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
	vars := map[string]string{"TEST_WAIT": "soon", "TEST_SIZE": "big", "TEST_NAME": "right"}
	require.EqualError(t, service.LoadConfig(env(vars), &c, &config{}), "TEST_SIZE=big: not a whole number (how much)\n"+
		"TEST_WAIT=soon: not a duration such as 500ms, 10s or 1h30m (how long)\n"+
		"TEST_NAME: want left", "those that cannot be read, and those that are not valid, each once")
}

func TestWhatCannotBeReadIsSaidInPlainWords(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ variable, text, want string }{
		"a number with a unit":  {"TEST_SIZE", "7k", "not a whole number"},
		"a number out of range": {"TEST_SIZE", "99999999999999999999", "too large a number"},
		"a number of a list":    {"TEST_SIZES", "1,x", "not a whole number"},
		"a duration, no unit":   {"TEST_WAIT", "10", "not a duration such as 500ms, 10s or 1h30m"},
		"words for a number":    {"TEST_RATIO", "half", "not a number"},
		"not a number":          {"TEST_RATIO", "NaN", "not a number"},
		"no finite number":      {"TEST_RATIO", "-Inf", "not a number"},
		"a switch":              {"TEST_ON", "maybe", "neither true nor false"},
		"a level":               {"TEST_LEVEL", "loud", "unknown name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c struct {
				config
				Ratio float64    `envconfig:"TEST_RATIO" default:"0.5" desc:"which part"`
				On    bool       `envconfig:"TEST_ON" desc:"whether"`
				Level slog.Level `envconfig:"TEST_LEVEL" desc:"debug, info, warn or error"`
			}
			err := service.LoadConfig(env(map[string]string{tt.variable: tt.text}), &c)
			require.ErrorContains(t, err, tt.variable+"="+tt.text+": "+tt.want+" (")
		})
	}
}

func TestLoadConfigValidatesTheStructAtTheEnd(t *testing.T) {
	t.Parallel()
	var c config
	err := service.LoadConfig(env(map[string]string{"TEST_NAME": "right"}), &c)
	require.EqualError(t, err, "TEST_NAME: want left")
}
