package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProgressFitsIntoATerminalAndSaysHowLongItTakes(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "  ░░░░░░░░░░░░░░░░░░░░   0%  0 of 8,070", progressLine(0, 8070, 0))
	assert.Equal(t, "  █████░░░░░░░░░░░░░░░  25%  2,000 of 8,000, 1,000/s, 6s left", progressLine(2000, 8000, 2*time.Second))
	longest := progressLine(7_999_999, 8_000_070, 23*time.Hour)
	assert.LessOrEqual(t, len([]rune(longest)), 80, longest)
}

func TestHopsCountFromTheBeginningOfTheStory(t *testing.T) {
	t.Parallel()
	before := cumulative{count: 2, bounds: []float64{1, 2}, counts: []uint64{1, 2}}
	after := cumulative{count: 12, bounds: []float64{1, 2}, counts: []uint64{1, 12}}
	passed := after.since(before)
	assert.Equal(t, cumulative{count: 10, bounds: []float64{1, 2}, counts: []uint64{0, 10}}, passed)
	assert.Equal(t, "1500.0 ms", passed.quantile(0.5))
	assert.Equal(t, after, after.since(cumulative{}), "a histogram that was not there before")
	assert.Equal(t, "-", cumulative{}.since(cumulative{}).quantile(0.5))
	restarted := cumulative{count: 12, bounds: []float64{1, 2}, counts: []uint64{0, 12}}
	assert.Equal(t, restarted, restarted.since(before), "a service that was killed counts from zero")
}

func TestEachEditionOfTheStoryHasItsOwnNames(t *testing.T) {
	t.Parallel()
	first, second := story{}, story{edition: "kqx"}
	assert.Equal(t, "reader", first.unique("reader"))
	assert.Equal(t, "reader-kqx", second.unique("reader"))
	assert.Equal(t, "ann@example.com", first.email("ann"))
	assert.Equal(t, "ann@kqx.example.com", second.email("ann"))
	assert.Regexp(t, "^[A-Z]+$", lettersOnly("A2B7CZ"), "a role's name may have no digits")
}

func TestTheStoryIsBounded(t *testing.T) {
	t.Parallel()
	require.NoError(t, (&Config{Users: MaxUsers, API: Alone}).Validate())
	for want, c := range map[string]Config{
		"DEMO_USERS=0: want 1 to 1,000,000":       {},
		"DEMO_USERS=1000001: want 1 to 1,000,000": {Users: MaxUsers + 1},
		"DEMO_RATE=-1: want 0 or more":            {Users: 1, Rate: -1},
		"DEMO_API=nowhere: want a URL or alone":   {Users: 1, API: "nowhere"},
	} {
		require.EqualError(t, c.Validate(), want)
	}
}
