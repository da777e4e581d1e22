package hold_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/localaws/internal/hold"
)

// shelf is something to read.
type shelf struct {
	mu      sync.Mutex
	changes hold.Changes
	filled  bool
}

func (s *shelf) nothing() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filled {
		return nil
	}
	return s.changes.Next()
}

func (s *shelf) change(filled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filled = filled
	s.changes.Signal()
}

func TestAReadWaitsUntilThereIsSomethingOrTheEnd(t *testing.T) {
	t.Parallel()
	type meanwhile func(s *shelf, closed chan struct{}, leave context.CancelFunc)
	const long = 5 * time.Second
	for name, tt := range map[string]struct {
		longest time.Duration
		then    meanwhile // after a second
		waited  time.Duration
	}{
		"there is nothing":             {long, func(*shelf, chan struct{}, context.CancelFunc) {}, long},
		"something comes":              {long, func(s *shelf, _ chan struct{}, _ context.CancelFunc) { s.change(true) }, time.Second},
		"a change that brings nothing": {long, func(s *shelf, _ chan struct{}, _ context.CancelFunc) { s.change(false) }, long},
		"the server ends":              {long, func(_ *shelf, closed chan struct{}, _ context.CancelFunc) { close(closed) }, time.Second},
		"the client leaves":            {long, func(_ *shelf, _ chan struct{}, leave context.CancelFunc) { leave() }, time.Second},
		"it is not to wait":            {0, func(*shelf, chan struct{}, context.CancelFunc) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, closed, began := &shelf{}, make(chan struct{}), time.Now()
				time.AfterFunc(time.Second, func() { tt.then(s, closed, cancel) })
				hold.While(ctx, s.nothing, tt.longest, closed)
				assert.Equal(t, tt.waited, time.Since(began))
				time.Sleep(2 * time.Second) // the timer of a case that did not wait for it
			})
		})
	}
}
