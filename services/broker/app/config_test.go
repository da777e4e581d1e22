package app_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/broker/app"
)

func load(t *testing.T, env map[string]string) (app.Config, error) {
	t.Helper()
	var cfg app.Config
	err := service.LoadConfig(service.Fixed(env), &cfg)
	return cfg, err
}

func TestKinesisIsPolledByDefault(t *testing.T) {
	t.Parallel()
	cfg, err := load(t, nil)
	require.NoError(t, err)
	assert.Equal(t, "polling", cfg.Mode)
	_, err = load(t, map[string]string{"STREAM_MODE": "fanout", "STREAM_FANOUT_CONSUMER": "mine"})
	require.NoError(t, err)
}

func TestAllMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, map[string]string{
		"STREAM_MODE": "push", "STREAM_FANOUT_CONSUMER": "a/b", "STREAM_RETENTION": "1s", "STREAM_CHECKPOINT": "0s",
		"STREAM_POLL_IDLE": "10ms",
	})
	for _, want := range []string{
		"STREAM_MODE=push: want polling or fanout", "STREAM_FANOUT_CONSUMER=a/b", "STREAM_RETENTION=1s", "STREAM_CHECKPOINT=0s",
		"STREAM_POLL_IDLE=10ms: want at least STREAM_POLL=200ms",
	} {
		require.ErrorContains(t, err, want)
	}
}
