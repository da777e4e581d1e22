package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that starts a process stops it by its standard input, or by ending itself.
func TestTheEndOfStandardInputStopsAProcess(t *testing.T) {
	stdin, starter := io.Pipe()
	ctx := untilAsked(true, stdin)
	_, err := io.WriteString(starter, "what is written means nothing\n")
	require.NoError(t, err)
	require.NoError(t, ctx.Err())
	require.NoError(t, starter.Close())
	<-ctx.Done()
}

func TestASignalStopsAProcess(t *testing.T) {
	for _, withStdin := range []bool{false, true} {
		stdin, starter := io.Pipe()
		ctx := untilAsked(withStdin, stdin)
		self, err := os.FindProcess(os.Getpid())
		require.NoError(t, err)
		if err := self.Signal(syscall.SIGTERM); err != nil {
			t.Skip("a process cannot send itself this signal here")
		}
		<-ctx.Done()
		require.NoError(t, starter.Close())
	}
}

func TestAStopDuringTheStartIsNoError(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	cancelled := fmt.Errorf("create a table: %w", context.Canceled)
	require.NoError(t, IgnoreStop(stopped, cancelled))
	require.ErrorIs(t, IgnoreStop(t.Context(), cancelled), context.Canceled, "nobody has asked for it")
	require.Error(t, IgnoreStop(stopped, errors.New("no such table")))
}
