package amount_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

func TestAmountsReadAsTextDoes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		0: "0 users", 1: "1 user", 2: "2 users", 999: "999 users", 1000: "1,000 users", 1234567: "1,234,567 users",
	} {
		assert.Equal(t, want, amount.Of(n, "user"))
	}
}
