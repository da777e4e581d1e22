package app

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
)

// life is one of a service: what it does when it ends is answered by err.
type life struct {
	instance string
	begun    chan struct{}
	ended    chan error
}

// A killed service reaches AWS no more, not even to release what it holds, and lives again as another instance with metrics of its own.
func TestAKilledServiceLivesAgain(t *testing.T) {
	t.Parallel()
	aws := localaws.New(localaws.Options{})
	t.Cleanup(aws.Close)
	lives := make(chan life, 3)
	k := newKillable(Service{"streamer", func(_ context.Context, p service.Platform) (service.App, error) {
		p.Metrics.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "moved_total"}))
		one := life{p.Instance, make(chan struct{}), make(chan error, 1)}
		lives <- one
		return service.App{Parts: []service.Part{{Name: "moves", Run: func(ctx context.Context) error {
			close(one.begun)
			<-ctx.Done()
			request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "http://localaws.invalid/", http.NoBody)
			if err != nil {
				return err
			}
			answer, err := p.AWS.HTTPClient.Do(request)
			if err == nil {
				err = answer.Body.Close()
			}
			one.ended <- err
			return nil
		}}}}, nil
	}}, time.Minute)
	platform, registry, err := service.NewPlatform(service.Config{LogFormat: "text", StopTimeout: time.Minute}, t.Output())
	require.NoError(t, err)
	platform.AWS = aws.Config()
	app, err := k.app(t.Context(), platform)
	require.NoError(t, err)
	require.Len(t, app.Parts, 1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Parts[0].Run(ctx) }()

	first := <-lives
	<-first.begun
	k.Kill()
	require.ErrorIs(t, <-first.ended, errKilled)
	second := <-lives
	<-second.begun
	assert.NotEqual(t, first.instance, second.instance)
	families, err := registry.Gather()
	require.NoError(t, err)
	moved := 0
	for _, f := range families {
		if f.GetName() == "leftfold_moved_total" {
			moved += len(f.GetMetric())
		}
	}
	assert.Equal(t, 1, moved, "those of the first life are gone")

	stop()
	require.NoError(t, <-second.ended, "a service that is stopped releases what it holds")
	require.NoError(t, <-ended)
}
