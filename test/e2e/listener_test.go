package e2e_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
)

// listener hears the calls of AWS that are about one command's subject.
type listener struct {
	point
	overtake func() // before the first write; nil: nobody does
	strike   ear    // the accident at the point's step
	struck   chan struct{}

	mu    sync.Mutex
	seen  map[string]int
	steps []step
}

func (s *stage) listenTo(p point) *listener {
	l := &listener{point: p, struck: make(chan struct{}), seen: map[string]int{}}
	if s.overtaken {
		l.overtake = func() {
			if p.name == "add role" {
				s.stranger.stir(role.Category, p.role) // the one that is guarded
				return
			}
			s.stranger.stir(p.of, p.id())
		}
	}
	s.listeners = append(slices.Clip(s.listeners), l)
	all := s.listeners
	s.tap.listen(func(c call, send sending) (*http.Response, error) {
		for _, l := range all {
			if l.in(c.body) {
				return l.hear(c, send)
			}
		}
		return send()
	})
	return l
}

func (s *stage) forget() {
	s.listeners = nil
	s.tap.listen(nil)
}

func (l *listener) hear(c call, send sending) (*http.Response, error) {
	l.mu.Lock()
	l.seen[c.String()]++
	now := step{c.String(), l.seen[c.String()]}
	l.steps = append(l.steps, now)
	var overtake func()
	if now.writes() {
		overtake, l.overtake = l.overtake, nil
	}
	l.mu.Unlock()
	if overtake != nil {
		overtake()
	}
	if now != l.at {
		return send()
	}
	return l.strike(c, send)
}

// await waits until the command has come to its point.
func (l *listener) await(t *testing.T) {
	t.Helper()
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-l.struck:
	case <-patience.Done():
		require.Fail(t, "it never came to that", l.point)
	}
}
