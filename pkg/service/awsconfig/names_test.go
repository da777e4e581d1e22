package awsconfig_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

func TestNamesAreThoseThatAWSAccepts(t *testing.T) {
	t.Parallel()
	x := strings.Repeat
	for _, tt := range []struct {
		of                string
		accepted, refused []string
	}{
		{"table", []string{"a.b", "A-_9", x("x", 255)}, []string{"ab", x("x", 256), "a b c", "a/bc", "ä1234", "abc\n"}},
		{"stream", []string{"a", "A.b-_9", x("x", 128)}, []string{"", x("x", 129), "a b", "a/b"}},
		{"stream consumer", []string{"a", "A.b-_9", x("x", 128)}, []string{"", x("x", 129), "a b", "a/b"}},
		{"queue", []string{"a.fifo", "A-_9.fifo", x("x", 71) + ".fifo"}, []string{"a", ".fifo", "a.b.fifo", "a b.fifo", x("x", 72) + ".fifo"}},
	} {
		for _, name := range tt.accepted {
			require.NoError(t, awsconfig.CheckName(tt.of, name), name)
		}
		for _, name := range tt.refused {
			require.ErrorContains(t, awsconfig.CheckName(tt.of, name), "no name of a "+tt.of, name)
		}
	}
	assert.ErrorContains(t, awsconfig.CheckName("bucket", "a"), "no rule")
}
