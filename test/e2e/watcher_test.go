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

// watcher counts the calls of AWS that concern one command's subject, and injects a failure into one of them.
type watcher struct {
	point
	overtake func()  // called before the first write; nil: nothing happens
	strike   handler // the failure at the point's step
	struck   chan struct{}

	mu    sync.Mutex
	seen  map[string]int
	steps []step
}

func (s *stage) watch(p point) *watcher {
	l := &watcher{point: p, struck: make(chan struct{}), seen: map[string]int{}}
	if s.overtaken {
		l.overtake = func() {
			if p.name == "add role" {
				s.other.advance(role.Category, p.role) // the one that is guarded
				return
			}
			s.other.advance(p.of, p.id())
		}
	}
	s.watchers = append(slices.Clip(s.watchers), l)
	all := s.watchers
	s.proxy.handle(func(c call, send sending) (*http.Response, error) {
		for _, l := range all {
			if l.in(c.body) {
				return l.handle(c, send)
			}
		}
		return send()
	})
	return l
}

func (s *stage) forget() {
	s.watchers = nil
	s.proxy.handle(nil)
}

func (l *watcher) handle(c call, send sending) (*http.Response, error) {
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

// await waits until the command has reached its point.
func (l *watcher) await(t *testing.T) {
	t.Helper()
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-l.struck:
	case <-patience.Done():
		require.Fail(t, "the command never reached its point", l.point)
	}
}
