package readservice_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// projected is a projection, and the steps that were taken.
type projected struct {
	mu   sync.Mutex
	took []generation.Step
}

func (p *projected) steps() []generation.Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.took)
}

// operator takes a minute for each step.
type operator struct {
	*projected

	on func(generation.Progress)
}

func (o operator) State(context.Context) (generation.State, error) {
	if len(o.steps()) > 0 { // rebuilt
		return generation.State{Phase: generation.Ready, Other: &generation.Generation{Number: 2}, Current: generation.Generation{Number: 1}}, nil
	}
	return generation.Initial(), nil
}

func (o operator) take(ctx context.Context, s generation.Step, err error) (generation.State, error) {
	o.on(generation.Progress{Doing: generation.Reading, Events: 40, Fresh: 30, Expected: 100, Streams: 7})
	if err := retry.Sleep(ctx, time.Minute); err != nil {
		return generation.State{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.took = append(o.took, s)
	return generation.State{Phase: generation.Ready}, err
}

func (o operator) Rebuild(ctx context.Context) (generation.State, error) {
	return o.take(ctx, generation.Rebuild, nil)
}

func (o operator) Switch(ctx context.Context) (generation.State, error) {
	return o.take(ctx, generation.Switch, errors.New("the other generation lacks something"))
}

func (o operator) Rollback(ctx context.Context) (generation.State, error) {
	return o.take(ctx, generation.Rollback, nil)
}

func (o operator) Retire(ctx context.Context) (generation.State, error) {
	return o.take(ctx, generation.Retire, nil)
}

// TestOneStepAtATimeIsTakenInTheBackground, and only one that the phase allows.
func TestOneStepAtATimeIsTakenInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		of := &projected{}
		steps := readservice.NewSteps("things", func(on func(generation.Progress), _ func(projectionaudit.Finding)) readservice.Operator {
			return operator{of, on}
		}, time.Now, slog.New(slog.DiscardHandler))
		router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
		steps.Register(httpapi.NewAPI(router))
		type shown struct {
			Step, State, Doing, Phase, Problem, Code string
			Events, Fresh, Expected, Streams         int64
		}
		ask := func(method, what string, status int) (out shown) {
			t.Helper()
			res := answer(t, router, method, "/projections/things/generations/"+what, &out)
			require.Equal(t, status, res.Code, res.Body)
			return out
		}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- steps.Run(ctx) }()

		assert.Equal(t, "never", ask(http.MethodGet, "step", http.StatusOK).State)
		assert.Equal(t, "step_not_possible", ask(http.MethodPost, "switch", http.StatusConflict).Code)
		ask(http.MethodPost, "jump", http.StatusUnprocessableEntity)
		assert.Equal(t, shown{Step: "rebuild", State: "running"}, ask(http.MethodPost, "rebuild", http.StatusAccepted))
		synctest.Wait()
		under := shown{Step: "rebuild", State: "running", Doing: "reading", Events: 40, Fresh: 30, Expected: 100, Streams: 7}
		assert.Equal(t, under, ask(http.MethodGet, "step", http.StatusOK))
		assert.Equal(t, under, ask(http.MethodPost, "retire", http.StatusAccepted), "that one is under way")
		time.Sleep(time.Minute)
		synctest.Wait()
		ended := ask(http.MethodGet, "step", http.StatusOK)
		assert.Equal(t, []string{"done", "ready"}, []string{ended.State, ended.Phase})

		ask(http.MethodPost, "switch", http.StatusAccepted)
		time.Sleep(time.Minute)
		synctest.Wait()
		failed := ask(http.MethodGet, "step", http.StatusOK)
		assert.Equal(t, "failed", failed.State)
		assert.Equal(t, "the other generation lacks something", failed.Problem)
		assert.Equal(t, []generation.Step{generation.Rebuild, generation.Switch}, of.steps())

		ask(http.MethodPost, "retire", http.StatusAccepted)
		synctest.Wait()
		stop()
		require.NoError(t, <-stopped)
		assert.Equal(t, "failed", ask(http.MethodGet, "step", http.StatusOK).State, "another process continues it")
	})
}
