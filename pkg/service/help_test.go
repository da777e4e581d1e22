package service_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
)

func TestHelpExplainsEveryVariableOnceByGroup(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, service.WriteHelp(&out, "prog", "does it", &config{}, &config{}))
	_, variables, _ := strings.Cut(out.String(), "[defaults]:\n")
	own, _, _ := strings.Cut(variables, "\nAWS, as")
	assert.Equal(t, `
First:
  TEST_SIZE               how much [7]

Second:
  TEST_SIZES              how much of each
  TEST_KEY                never printed
  TEST_LIFE               how long it lives [2h]

Others:
  TEST_WAIT               how long [2s]
  TEST_NAME               what it is called [left]
`, own)
}

func TestHelpFitsIntoATerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, service.WriteHelp(&out, "prog", strings.Repeat("does it ", 20), &service.Config{}, &service.API{}))
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(line), service.Columns+1, line)
	}
	assert.Regexp(t, `(?m)^  OTEL_RESOURCE_ATTRIBUTES\n {26}attributes of all traces`, out.String(), "a long name has a line of its own")
}

func TestHelpHasTheUsualNamesAndUnknownArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"-h", "-help", "--help", "help"} {
		assert.True(t, service.WantsHelp([]string{arg}), arg)
	}
	for _, args := range [][]string{nil, {"run"}, {"help", "run"}} {
		assert.False(t, service.WantsHelp(args), args)
	}
	assert.EqualError(t, service.UnknownArguments("prog claims", []string{"adit"}),
		`unknown arguments "adit"; prog claims --help lists what there is`)
}

func TestTheVersionIsPrintedAsOneLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, service.WriteVersion(&out, "prog"))
	assert.Regexp(t, `^prog \S+, commit \S+, go1\.\S+, \w+/\w+\n$`, out.String())
}
