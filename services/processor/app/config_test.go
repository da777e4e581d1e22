package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

// A page that is not done in its time begins again, and never ends.
func TestAPageOfMembersHasTimeAtEachRate(t *testing.T) {
	t.Parallel()
	c := Config{StuckAfter: time.Minute}
	c.Auth.Mode = "none"
	for _, rate := range []float64{0, 0.01, 0.5, 20, 10_000} {
		c.RevokeRate = rate
		require.NoError(t, c.Validate(), rate)
		assert.Greater(t, revokeTimeout(rate), time.Minute, rate)
		if rate > 0 {
			assert.Greater(t, revokeTimeout(rate).Seconds(), 16*retirement.PageSize/rate, rate)
		}
	}
	for _, rate := range []float64{-1, 0.001} {
		c.RevokeRate = rate
		require.ErrorContains(t, c.Validate(), "RETIREMENT_RATE", rate)
	}
}
